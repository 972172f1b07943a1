"""What one of several processes does for all of them: it alone reads and writes checkpoints.

All processes call these functions, in the same order.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import PyTree

Result = TypeVar("Result")

_LONGEST = 4096  # bytes of a message


def on_first_process(function: Callable[[], Result]) -> Result | None:
    """Call a function in the first process; None in the others.

    Raises:
        ValueError, OSError: In every process, if the function raises one in the first.
    """
    if jax.process_count() == 1:
        return function()
    result, problem = None, None
    if jax.process_index() == 0:
        try:
            result = function()
        except (ValueError, OSError) as error:
            problem = error
    message = np.zeros(_LONGEST, np.uint8)
    if problem is not None:
        text = (str(problem) or type(problem).__name__).encode()[:_LONGEST]
        message[: len(text)] = np.frombuffer(text, np.uint8)
    message = from_first_process(message)
    if problem is not None:
        raise problem
    if message.any():
        raise ValueError(message.tobytes().rstrip(b"\0").decode(errors="replace"))
    return result


def from_first_process(arrays: PyTree) -> Any:
    """Give arrays of the first process to all of them, bit by bit.

    Args:
        arrays: Those of this process, of which in other processes shapes and types count.

    Returns:
        NumPy arrays.
    """
    arrays = jax.tree.map(np.asarray, arrays)
    if jax.process_count() == 1:
        return arrays
    from jax.experimental import multihost_utils

    raw = jax.tree.map(lambda array: np.frombuffer(array.tobytes(), np.uint8), arrays)
    given = multihost_utils.broadcast_one_to_all(raw)
    return jax.tree.map(
        lambda array, found: (
            np.frombuffer(np.asarray(found).tobytes(), array.dtype).reshape(array.shape).copy()
        ),
        arrays,
        given,
    )


def any_process(asked: bool) -> bool:
    """Whether it is so in any of the processes."""
    if jax.process_count() == 1:
        return asked
    from jax.experimental import multihost_utils

    return bool(np.asarray(multihost_utils.process_allgather(np.array(asked))).any())
