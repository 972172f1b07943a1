"""Images of a small world, every pixel labelled: scenes that need no download.

An image shows one of ten kinds of scenes. Each is a set of places where props (trees, houses,
cars, tables, ...) may stand, with a camera above the ground: what is nearer is larger, lower, and
in front. Pose, size, number, material, color, texture, light and hour vary. What is drawn is known,
so every pixel comes with the object, part, and material in front, and the name of its color.

An image is a pure function of a random key and the number of the scene, to be mapped and compiled:
`jax.jit(jax.vmap(render))(keys, scenes)`.

Letters of shapes: H W = 64 pixels, K = 4 channels of labels.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float32, Int, Int32, Key

from jaxdissect.arrays.colors import color_labels
from jaxdissect.arrays.representation import short_repr
from jaxdissect.scenes.concepts import FIRST_COLOR, MATERIALS, label
from jaxdissect.scenes.drawing import layout, light, raster, tables

SCENES: tuple[str, ...] = tuple(scene.name for scene in tables.LAYOUTS)
"""Names of the scenes; `scene` of an image is a position in it."""

MATERIAL_LABELS = np.array([label(name, "material") for name in (None, *MATERIALS)])


class RenderedScene(NamedTuple):
    """An image and what it shows.

    Attributes:
        image: RGB in [0, 1], multiples of 1 / 255.
        labels: Ids of `scene_vocabulary()`, 0 = none: the object, part and material in front, and
            the color.
        scene: Position in `SCENES`.
    """

    image: Float32[Array, "H W 3"]
    labels: Int32[Array, "H W 4"]
    scene: Int32[Array, ""]

    __repr__ = short_repr


def render(key: Key[Array, ""], scene: int | Int[Array, ""]) -> RenderedScene:
    """Draw a scene and its labels.

    Args:
        key: Typed random key; the same key gives the same image.
        scene: Position in `SCENES`.

    Raises:
        ValueError: If `key` is not one typed key, or `scene` no position in `SCENES` (checked only
            when it is not traced).
    """
    _check_key("key", key)
    return _render(key, scene, layout.chosen_paints)


def stylised(
    key: Key[Array, ""], scene: int | Int[Array, ""], style_key: Key[Array, ""]
) -> RenderedScene:
    """Draw the layout of `render(key, scene)` in any textures and colors.

    Outlines, and with them the labels of objects and parts, are the same to the pixel; so is the
    light. The material and color of every paint of every specimen are chosen at random, and
    labelled.

    Args:
        key: Typed random key of the layout.
        scene: Position in `SCENES`.
        style_key: Typed random key of materials and colors.

    Raises:
        ValueError: If `key` or `style_key` is not one typed key, or `scene` no position in `SCENES`
            (checked only when it is not traced).
    """
    _check_key("key", key)
    _check_key("style_key", style_key)

    def painter(_: layout.Draws, specimens: layout.Specimens, view: layout.View) -> layout.Paints:
        draws = jax.random.uniform(style_key, layout.DRAWS["paints"])
        return layout.random_paints(draws, specimens, view)

    return _render(key, scene, painter)


def _check_key(name: str, key: Array) -> None:
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.shape:
        raise ValueError(f"`{name}` (={key.dtype}{list(key.shape)}) must be one typed key")


def _render(
    key: Key[Array, ""], scene: int | Int[Array, ""], painter: layout.Painter
) -> RenderedScene:
    if not isinstance(scene, Tracer) and not 0 <= int(scene) < len(SCENES):
        raise ValueError(
            f"`scene` (={int(scene)}) must be a position in SCENES, 0 to {len(SCENES) - 1}"
        )
    number = jnp.asarray(scene, jnp.int32)
    draws = _draw(key, layout.DRAWS | {"light": (light.NUM_DRAWS,)})
    view, pieces = layout.arrange(draws, number, painter)
    with jax.named_scope("paint"):
        canvas = raster.paint(pieces)
        front = raster.in_front(pieces, canvas)
    with jax.named_scope("light"):
        indoors = jnp.asarray(tables.INDOORS)[number]
        image = light.illuminate(draws["light"], canvas, front, view, indoors)
    with jax.named_scope("label"):
        material = jnp.asarray(MATERIAL_LABELS, jnp.int32)[front.material.astype(jnp.int32)]
        color = color_labels(image) + (FIRST_COLOR - 1)
        objects, parts = front.object.astype(jnp.int32), front.part.astype(jnp.int32)
        labels = jnp.stack([objects, parts, material, color], axis=-1)
    return RenderedScene(image, labels, number)


def _draw(
    key: Key[Array, ""], shapes: dict[str, tuple[int, ...]]
) -> dict[str, Float32[Array, "..."]]:
    """Draw all random numbers of an image at once, because every draw takes long to compile."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    parts = jnp.split(jax.random.uniform(key, (sum(sizes),)), np.cumsum(sizes)[:-1])
    return {
        name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
