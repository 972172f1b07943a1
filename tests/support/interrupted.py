"""Runs that are interrupted, and resume."""

import dataclasses

import jax
import numpy as np


class Killed(Exception):
    """What ends a run."""


class Ending:
    """A progress that ends a run when so many steps are done, of a pass and all before it."""

    def __init__(self, steps):
        self.left, self.starts, self._pass = steps, [], None

    def __call__(self, description, done, total):
        if description != self._pass:
            self._pass = description
            self.starts.append(done)
            return
        self.left -= 1
        if not self.left:
            raise Killed


def leaves(result):
    """Arrays of a result, also of dataclasses."""
    if dataclasses.is_dataclass(result):
        result = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if isinstance(result, dict):
        return [leaf for name in sorted(result) for leaf in leaves(result[name])]
    if isinstance(result, (list, tuple)):
        return [leaf for item in result for leaf in leaves(item)]
    return jax.tree.leaves(result)


def assert_same(found, expected):
    """Check that results are the same to the last bit."""
    found, expected = leaves(found), leaves(expected)
    assert len(found) == len(expected) > 1
    for array, other in zip(found, expected, strict=True):
        if hasattr(other, "dtype"):
            assert array.dtype == other.dtype
            np.testing.assert_array_equal(array, other)


def assert_resumes(run, folder, *, steps=2, **then):
    """Check that a run that ends after some steps resumes, with the result of a whole one.

    Args:
        run: Takes `checkpoints`, `save_every`, `progress`, and `then`.
        folder: For the checkpoints.
        steps: After how many it ends; each is saved.
        then: What is other when it resumes.
    """
    expected = run()
    try:
        run(checkpoints=folder, save_every=1, progress=Ending(steps))
    except Killed:
        pass
    else:
        raise AssertionError("it ended before")
    resuming = Ending(10**6)
    assert_same(run(checkpoints=folder, save_every=1, progress=resuming, **then), expected)
    assert resuming.starts[0] > 0
    done = Ending(10**6)
    assert_same(run(checkpoints=folder, progress=done), expected)
    assert 10**6 - done.left == 0  # all was read
