"""What went wrong, as a row or a study records it."""


def in_words(problem: Exception) -> str:
    """Write an exception in a line, cut where it is very long."""
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {text:.1000}" if text else type(problem).__name__
