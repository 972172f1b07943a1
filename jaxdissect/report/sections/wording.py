"""Numbers in sentences: shares, changes, intervals, and how many there are of something."""

import math

MINUS = "\N{MINUS SIGN}"


def percent(share: int | float) -> str:
    """Write a share as a percentage: `98.0%`."""
    return f"{share:.1%}".replace("-", MINUS)


def decimal(value: int | float, *, digits: int = 3) -> str:
    """Write a number with three decimals, or with more where it would vanish: `0.898`, `0.00012`.

    Args:
        value: The number.
        digits: Decimals; also significant digits of what is smaller than they show.
    """
    if not math.isfinite(value):
        return "unknown"
    small = value != 0 and abs(value) < 10**-digits
    text = f"{value:.{digits}g}" if small else f"{value:.{digits}f}"
    return text.replace("-", MINUS)


def change(value: int | float, *, digits: int = 3) -> str:
    """Write a change with its sign: `+0.1`, `−0.1`."""
    return ("+" if value > 0 else "") + decimal(value, digits=digits)


def interval(low: int | float, high: int | float, *, digits: int = 3) -> str:
    """Write an interval: `−0.222 to 0.013`."""
    return f"{decimal(low, digits=digits)} to {decimal(high, digits=digits)}"


def count(number: int | float, name: str, plural: str | None = None) -> str:
    """Write how many there are of something: `1 unit`, `1,280 units`.

    Args:
        number: How many.
        name: What one is called.
        plural: What several are called; by default with an s.
    """
    return f"{int(number):,} {name if number == 1 else plural or f'{name}s'}"


def the_first(number: int | float, name: str) -> str:
    """Write so many first ones after "the": `best unit`, `4 best units`."""
    return name if number == 1 else count(number, name)


def images(number: int | float | None, which: str = "") -> str:
    """Write how many images there are, if that is known: `300 images`, `300 other images`."""
    return f"{which}images" if number is None else count(number, f"{which}image")
