"""Drawn data of the stages of dissection: whole numbers, the same on every device.

Shapes: P pixels, U units, V checked units, K labels per pixel, C concepts, I images, G pixels of
the label grid along each side.

Activations are made by a hash of their places, in integers alone, so that devices and NumPy agree
on every bit, and no version of a random generator changes them.
"""

import math
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32, Int64

from jaxdissect.stats import agreement

_HALF = 2**16


@partial(jax.jit, static_argnums=(0, 1))
def drawn_values(rows: int, units: int) -> Float32[Array, "P U"]:
    """Draw activations in device memory: rectified, half of them zero, whole numbers up to 65,535.

    The difference of two even numbers and their range has a triangular distribution, whose upper
    end is like that of units. Neighbouring pixels do not depend on each other.

    Args:
        rows: P; `rows` times `units` below 2**32.
        units: U.
    """
    row = jax.lax.broadcasted_iota(jnp.uint32, (rows, units), 0)
    unit = jax.lax.broadcasted_iota(jnp.uint32, (rows, units), 1)
    return _value(jnp, row * jnp.uint32(units) + unit)


def drawn_columns(rows: int, units: int, chosen: np.ndarray) -> Float32[np.ndarray, "P V"]:
    """Draw the same in NumPy, for some of the units."""
    row = np.arange(rows, dtype=np.uint32)[:, None]
    return _value(np, row * np.uint32(units) + chosen.astype(np.uint32)[None])


def _value(numbers: Any, place: Any) -> Any:
    """Hash 32 bits (two rounds of multiplying and shifting), and add up both halves."""
    u = numbers.uint32
    x = place + u(0x9E3779B9)
    x = (x ^ (x >> u(16))) * u(0x7FEB352D)
    x = (x ^ (x >> u(15))) * u(0x846CA68B)
    x = x ^ (x >> u(16))
    total = (x & u(0xFFFF)).astype(numbers.int32) + (x >> u(16)).astype(numbers.int32)
    return numbers.maximum(total - (_HALF - 1), 0).astype(numbers.float32)


def level(share: float) -> float:
    """Find the value that a share of the activations exceed, at most half of them."""
    return float(math.floor(_HALF * (1 - math.sqrt(2 * share))))


def drawn_labels(
    images: int, grid: int, *, concepts: int, channels: int, labels_per_image: int
) -> Int32[np.ndarray, "I G G K"]:
    """Draw labels in blocks of 8 x 8 pixels: each channel is labelled everywhere.

    Args:
        images: I.
        grid: G.
        concepts: Ids are in [1, concepts).
        channels: K.
        labels_per_image: Drawn for each image, and so about as many different ones.
    """
    blocks = -(-grid // 8)
    found = np.empty((images, grid, grid, channels), np.int32)
    for index in range(images):
        random = np.random.default_rng(index)
        chosen = random.integers(1, concepts, labels_per_image)
        labels = chosen[random.integers(0, labels_per_image, (blocks, blocks, channels))]
        found[index] = labels.repeat(8, axis=0).repeat(8, axis=1)[:grid, :grid]
    return found


def labels_of_pixels(labels: Int32[np.ndarray, "I G G K"]) -> Int32[Array, "P K"]:
    """Put the labels of all pixels on the device, none twice in a pixel."""
    return jax.jit(agreement.without_repeats)(jnp.asarray(labels.reshape(-1, labels.shape[-1])))


def checked_units(units: int, number: int = 16) -> np.ndarray:
    """Choose the units that NumPy counts too, evenly spread."""
    return np.unique(np.linspace(0, units - 1, min(number, units)).round().astype(int))


def distinct_labels(labels: Int32[np.ndarray, "P K"]) -> Int32[np.ndarray, "P K"]:
    """Order the labels of every pixel in NumPy, with 0 in the place of repeated ones."""
    ordered = np.sort(labels, axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = 0
    return ordered


def count_in_numpy(
    active: Bool[np.ndarray, "P V"], labels: Int32[np.ndarray, "P K"], concepts: int
) -> tuple[Int64[np.ndarray, "C V"], Int64[np.ndarray, "C"]]:
    """Count active pixels by label in int64; row 0 counts all pixels.

    Args:
        active: Where some units are active.
        labels: None twice in a pixel, see `distinct_labels`.
        concepts: C.

    Returns:
        Pixels shared by labels and units, and pixels of each label.
    """
    concept = np.bincount(labels.reshape(-1), minlength=concepts).astype(np.int64)
    concept[0] = len(labels)
    shared = np.zeros((concepts, active.shape[1]), np.int64)
    for unit, here in enumerate(active.T):
        shared[:, unit] = np.bincount(labels[here].reshape(-1), minlength=concepts)
        shared[0, unit] = here.sum()
    return shared, concept


def sorted_threshold(
    columns: Float32[np.ndarray, "P V"], fraction: float
) -> Float32[np.ndarray, "V"]:
    """Find in NumPy the smallest values that no more than a fraction of the pixels exceed."""
    place = len(columns) - 1 - math.floor(Fraction(str(fraction)) * len(columns))
    return np.stack([np.partition(column, place)[place] for column in columns.T])


def at_least(**sizes: int) -> None:
    """Check that sizes are at least 1.

    Raises:
        ValueError: If one is not; the message names it.
    """
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")
