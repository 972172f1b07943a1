"""The correctness gate: whether a timed answer is right.

A row whose answer is wrong fails, however fast it was. Counts are integers and must be equal, and
their fingerprint is recorded, so that other machines, numbers of devices and versions can be
compared with it; what is computed in floating point must be within a tolerance that says why.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a check of an answer found.

    Attributes:
        passed: Whether the answer is right.
        against: What it was compared with, such as "NumPy in int64, 64 of the units".
        fingerprint: SHA-256 of the exact answer, the same on every device; empty where it is not
            exact.
        difference: Greatest difference, in the unit of the tolerance; None where it must be equal.
        tolerance: How large it may be; None where the answer must be equal.
        reason: Why the tolerance is what it is; empty where the answer must be equal.
    """

    passed: bool
    against: str
    fingerprint: str = ""
    difference: float | None = None
    tolerance: float | None = None
    reason: str = ""


def equal(found: Any, expected: Any, *, against: str, answer: Any = None) -> Gate:
    """Check that arrays of integers or booleans are equal.

    Args:
        found: The answer, or the part of it that is checked: a pytree of arrays.
        expected: The same from elsewhere.
        against: What `expected` comes from.
        answer: The whole answer, of which the fingerprint is taken; `found` where None.
    """
    ours, theirs = jax.tree.leaves(found), jax.tree.leaves(expected)
    passed = (
        len(ours) > 0
        and len(ours) == len(theirs)
        and all(
            np.array_equal(np.asarray(one), np.asarray(other))
            for one, other in zip(ours, theirs, strict=True)
        )
    )
    return Gate(
        passed=passed,
        against=against,
        fingerprint=fingerprint(found if answer is None else answer),
    )


def within(found: Any, expected: Any, tolerance: float, *, reason: str, against: str) -> Gate:
    """Check that arrays differ by no more than a share of the greatest expected magnitude.

    Values that are not finite, other shapes and no values at all are never right.

    Args:
        found: The answer: a pytree of arrays.
        expected: The same from elsewhere.
        tolerance: Greatest allowed |found - expected| / max |expected|, of each array.
        reason: Why it is that large.
        against: What `expected` comes from.
    """
    pairs = list(zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))
    worst = 0.0 if pairs else float("inf")  # nothing is never right
    for one, other in pairs:
        ours, theirs = np.asarray(one, np.float64), np.asarray(other, np.float64)
        alike = ours.shape == theirs.shape and ours.size > 0
        if not alike or not np.isfinite(ours).all() or not np.isfinite(theirs).all():
            worst = float("inf")
            break
        scale = max(float(np.abs(theirs).max(initial=0.0)), 1e-30)
        worst = max(worst, float(np.abs(ours - theirs).max(initial=0.0)) / scale)
    return Gate(
        passed=worst <= tolerance,
        against=against,
        difference=worst,
        tolerance=tolerance,
        reason=reason,
    )


def fingerprint(answer: Any) -> str:
    """Take the SHA-256 of a pytree of integers or booleans, whatever their width and device."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(answer):
        values = np.asarray(leaf)
        if values.dtype.kind not in "iub":
            raise TypeError(
                f"{values.dtype} has no fingerprint: only integers are the same everywhere"
            )
        digest.update(str(values.shape).encode())
        digest.update(np.ascontiguousarray(values, np.int64).tobytes())
    return digest.hexdigest()
