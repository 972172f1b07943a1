"""Compare the arrays of a file of weights with what a network takes."""

from collections.abc import Mapping

import numpy as np


def refuse_others(
    arrays: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Compare every name and shape.

    Raises:
        ValueError: if arrays are missing, there are other ones, or shapes differ; all are listed.
    """
    found = {name: array.shape for name, array in arrays.items()}
    problems = [
        f"{name}: expected {expected.get(name, 'no such array')}, got {found.get(name, 'nothing')}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if problems:
        raise ValueError("weights in `folder` do not fit the network:\n" + "\n".join(problems))
