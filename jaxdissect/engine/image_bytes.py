"""Arrays of at most 256 different numbers, as bytes: images on their way to the device.

Files and drawn scenes hold a byte for each color of a pixel. As bytes they take a quarter of the
memory, and of the way to the device, of the float32 that steps compute with. The device looks them
up in a table of 256 numbers, which are those that NumPy computes: the same bits on every device,
which a division by 255 on the device would not give.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxdissect.arrays.representation import short_repr

Array = Any  # of NumPy or JAX

OF_FILES = np.arange(256, dtype=np.uint8).astype(np.float32) / 255
"""Colors in [0, 1] of the bytes of image files."""

OF_LABELS = np.arange(256, dtype=np.int32)
"""Numbers that are themselves: of labels below 256."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Bytes:
    """An array whose elements are places in a table.

    NumPy takes it for the array that it stands for, `np.asarray(images)`; the device makes that of
    it by `looked_up`.

    Attributes:
        values: uint8 [...], of NumPy or JAX.
        table: The number of every byte, [256].
    """

    values: Array
    table: Array

    __repr__ = short_repr

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers that the bytes stand for."""
        return self.table.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.values.ndim

    @property
    def nbytes(self) -> int:
        """Bytes that travel."""
        return self.values.nbytes

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, places: Any) -> "Bytes":
        return Bytes(self.values[places], self.table)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("numbers of bytes are a copy")
        return np.asarray(np.asarray(self.table)[np.asarray(self.values)], dtype)


def labels_as_bytes(labels: np.ndarray) -> "np.ndarray | Bytes":
    """Return int32 labels, none of them negative, as bytes if all are below 256."""
    if labels.size and labels.max() < 256:
        return Bytes(labels.astype(np.uint8), OF_LABELS)
    return labels


def looked_up(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `Bytes` of a batch on the device by the arrays that they stand for.

    A program of its own, so that steps see nothing but arrays. Where there are none, nothing runs.

    Args:
        batch: Arrays or `Bytes` by name, on the devices; the arrays are sharded like the bytes.
    """
    packed = {name: value for name, value in batch.items() if isinstance(value, Bytes)}
    return {**batch, **_look_up(packed)} if packed else dict(batch)


@jax.jit
def _look_up(packed: dict[str, Bytes]) -> dict[str, jax.Array]:
    with jax.named_scope("bytes to floats"):
        return {
            # A byte is never out of bounds, and to check costs four times as much on CPU.
            name: found.table.at[found.values].get(mode="promise_in_bounds")
            for name, found in packed.items()
        }
