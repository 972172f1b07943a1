"""Connected components of label maps, the boxes around them, and their halves.

A component is a set of pixels of one label that hang together, corners included. Its id is where
its first pixel in reading order lies, so that ids depend on nothing but the map itself.

Letters of shapes: H W pixels; `*batch` any leading axes, whose maps do not see each other.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32, Integer

from jaxdissect.arrays.representation import short_repr

NEIGHBORS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if row or column)
"""Steps from a pixel to the eight around it."""


class Boxes(NamedTuple):
    """For every pixel the outermost rows and columns of its component, all inclusive."""

    top: Int32[Array, "*batch H W"]
    bottom: Int32[Array, "*batch H W"]
    left: Int32[Array, "*batch H W"]
    right: Int32[Array, "*batch H W"]

    __repr__ = short_repr


def connected_components(labels: Integer[Array, "*batch H W"]) -> Int32[Array, "*batch H W"]:
    """Number the components of label maps.

    Every pixel points to one of its component that does not come after it, at first to itself.
    In every step a pixel looks at those to which its neighbours' pointers point in two hops, and
    both the pixel and the one that it pointed to turn to the first of them; once nothing turns,
    all point to the first pixel of the component. Pointers over long distances double their reach
    with every step: a spiral or comb of 64 x 64 pixels takes 13. This is the algorithm FastSV
    (Zhang, Azad & Hu, "FastSV: a distributed-memory connected component algorithm with fast
    convergence", SIAM PP 2020) on the graph of the pixels.

    Args:
        labels: Maps of any integer dtype; 0 is background.

    Returns:
        1 + row * W + column of the first pixel, in reading order, of the component that a pixel
        belongs to; 0 for background.

    Raises:
        ValueError: If the labels are not integers with two axes or more.
    """
    if labels.ndim < 2 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"`labels` (={labels.dtype}{labels.shape}) must be integers with axes [..., H, W]"
        )
    return _components_of_maps(labels)


@partial(jnp.vectorize, signature="(h,w)->(h,w)")
def _components_of_maps(labels: Array) -> Array:
    foreground = labels != 0
    linked = [(near == labels) & foreground for near in _neighbors(labels)]

    def turn(state: tuple[Array, Array]) -> tuple[Array, Array]:
        pointers, _ = state
        ahead = pointers[pointers].reshape(labels.shape)
        first = ahead
        for link, near in zip(linked, _neighbors(ahead), strict=True):
            first = jnp.minimum(first, jnp.where(link, near, ahead))
        first = first.ravel()
        turned = jnp.minimum(pointers.at[pointers].min(first), first)
        return turned, (turned != pointers).any()

    start = jnp.arange(labels.size, dtype=jnp.int32), jnp.array(True)
    pointers, _ = lax.while_loop(lambda state: state[1], turn, start)
    return jnp.where(foreground, 1 + pointers.reshape(labels.shape), 0)


def bounding_boxes(ids: Int32[Array, "*batch H W"]) -> Boxes:
    """Find the boxes around components.

    Args:
        ids: Numbers of components, 0 to H * W, as `connected_components` gives them.

    Returns:
        At every pixel the box of its id; the background, 0, has a box like any other.
    """
    return Boxes(*_sides_of_maps(ids))


@partial(jnp.vectorize, signature="(h,w)->(h,w),(h,w),(h,w),(h,w)")
def _sides_of_maps(ids: Array) -> tuple[Array, Array, Array, Array]:
    rows, columns = jnp.indices(ids.shape, dtype=jnp.int32)
    # One maximum finds all four sides: top and left are the least places, the greatest negated.
    places = jnp.stack([-rows, rows, -columns, columns], axis=-1)
    none = jnp.full((ids.size + 1, 4), -max(ids.shape), jnp.int32)
    top, bottom, left, right = jnp.moveaxis(none.at[ids].max(places)[ids], -1, 0)
    return -top, bottom, -left, right


def every_component(ids: Int32[Array, "*batch H W"]) -> Bool[Array, "*batch H W"]:
    """Choose all components."""
    return ids > 0


def all_but_last_component(ids: Int32[Array, "*batch H W"]) -> Bool[Array, "*batch H W"]:
    """Choose all components of every map except the one whose first pixel comes last."""
    return (ids > 0) & (ids < ids.max((-2, -1), keepdims=True))


def halves(
    labels: Integer[Array, "*batch H W"],
    num_objects: int,
    *,
    divided: Callable[[Array], Array] = every_component,
) -> Int32[Array, "*batch H W 2"]:
    """Label the top, left, bottom and right halves of every object that stands by itself.

    A component whose box spans rows t to b is top above row floor((t + b + 1) / 2) and bottom from
    there on; left and right likewise. (A single pixel is bottom and right.)

    Args:
        labels: Object maps with ids 1 to `num_objects`, 0 is background.
        num_objects: Number of objects O; half k of object i has id k * O + i, with k = 1 top,
            2 left, 3 bottom, 4 right: the ids of `jaxdissect.arrays.concepts.QUADRANTS`.
        divided: From the ids of components to those that are divided; others have no halves.

    Returns:
        Ids of top and bottom in the first channel, of left and right in the second; 0 where there
        is no component.
    """
    ids = connected_components(labels)
    box = bounding_boxes(ids)
    rows = jnp.arange(labels.shape[-2], dtype=jnp.int32)[:, None]
    columns = jnp.arange(labels.shape[-1], dtype=jnp.int32)[None, :]
    above = jnp.broadcast_to(rows, ids.shape) < (box.top + box.bottom + 1) // 2
    before = jnp.broadcast_to(columns, ids.shape) < (box.left + box.right + 1) // 2
    blocks = jnp.stack([jnp.where(above, 1, 3), jnp.where(before, 2, 4)], axis=-1)
    objects = labels.astype(jnp.int32)[..., None]
    return jnp.where(divided(ids)[..., None], blocks * num_objects + objects, 0)


def _neighbors(values: Array) -> list[Array]:
    """Maps [H, W] of the values one pixel away, each way; 0, the background, lies outside."""
    height, width = values.shape
    padded = jnp.pad(values, 1)
    return [
        padded[1 + row : 1 + row + height, 1 + column : 1 + column + width]
        for row, column in NEIGHBORS
    ]
