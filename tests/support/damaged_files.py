"""Ways in which a saved file is damaged."""


def flipped(content, place):
    """Flip a bit of a byte."""
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "flipped": lambda content: flipped(content, len(content) // 3),
    "empty": lambda content: b"",
    "text": lambda content: b"not what it was\n",
    "list": lambda content: b"[1, 2]",
    "binary": lambda content: bytes(range(128, 256)),
}
"""What becomes of the content of a file, by the kind of damage."""
