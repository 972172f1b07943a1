"""Check the numbers that a user gives, before anything is read or computed."""

import math


def check_at_least(options: object, **least: int) -> None:
    """Check that numbers are finite and not too small.

    Args:
        options: The options of a command. One that is None passes; of several numbers in a tuple
            each is checked.
        least: The smallest number that each option may be, by its name.

    Raises:
        ValueError: If a number is smaller, infinite or not a number.
    """
    for name, low in least.items():
        _check(options, name, low, math.inf, f"at least {low}")


def check_within(options: object, **limits: tuple[int, int]) -> None:
    """Check that numbers lie between limits, which are allowed too.

    Args:
        options: The options of a command, as in `check_at_least`.
        limits: The smallest and the greatest number that each option may be, by its name.

    Raises:
        ValueError: If a number lies outside its limits.
    """
    for name, (low, high) in limits.items():
        _check(options, name, low, float(high), f"{low} to {high}")


def check_share(options: object, *names: str) -> None:
    """Check that numbers are at least 0 and below 1.

    Args:
        options: The options of a command, as in `check_at_least`.
        names: The options to check.

    Raises:
        ValueError: If a number is negative, or 1 or more.
    """
    for name in names:
        _check(options, name, 0, math.nextafter(1, 0), "at least 0 and below 1")


def _check(options: object, name: str, low: int, high: float, expected: str) -> None:
    value = getattr(options, name)
    numbers = value if isinstance(value, tuple) else () if value is None else (value,)
    if not all(low <= number <= high and math.isfinite(number) for number in numbers):
        raise ValueError(f"`{name}` (={value}) must be {expected}")
