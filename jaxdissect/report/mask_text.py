"""Masks as short texts: the lengths of the runs of pixels that are off and on, in turn."""

import numpy as np
from jaxtyping import Bool

_DIGITS = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", np.uint8
)
_BASE, _BITS = 32, 5


def mask_texts(masks: Bool[np.ndarray, "N P"]) -> list[str]:
    """Write masks as texts.

    The first run is of pixels that are off, and may be empty; a last run of those is left out. A
    length is written in base 32, lowest digit first, a character each: character d stands for
    digit d of which no more follow, character 32 + d for one with more to follow, of A to Z, a to
    z, 0 to 9, - and _.

    Args:
        masks: Pixels of each mask, row by row.
    """
    number, pixels = masks.shape
    before = np.zeros((number, pixels + 2), bool)  # off before the first and after the last
    before[:, 1:-1] = masks
    row, change = np.nonzero(before[:, 1:] != before[:, :-1])
    first = np.ones(len(row), bool)
    first[1:] = row[1:] != row[:-1]
    lengths = change - np.where(first, 0, np.concatenate([[0], change[:-1]]))
    most = max(1, -(-int(pixels).bit_length() // _BITS))
    powers = np.arange(most) * _BITS
    digits = (lengths[:, None] >> powers) & (_BASE - 1)
    more = (lengths[:, None] >> (powers + _BITS)) > 0
    written = np.concatenate([np.ones((len(lengths), 1), bool), more[:, :-1]], axis=1)
    letters = _DIGITS[digits + _BASE * more]
    text = letters[written].tobytes().decode("ascii")
    counts = np.bincount(row, weights=written.sum(axis=1), minlength=number).astype(np.int64)
    ends = np.cumsum(counts)
    return [text[start:end] for start, end in zip(ends - counts, ends, strict=True)]
