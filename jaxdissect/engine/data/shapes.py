"""Pictures of shapes, drawn as they are asked for: a data set that needs no download.

A picture shows one to four shapes, which may overlap, on a background. Every surface, the
background among them, has a color near one of the basic color terms, a texture in a darker or
lighter ink, and all share a light from one side and some noise. What is drawn is known, so each
pixel comes with the shape in front and the texture of its surface, without anyone annotating.

Outlines and textures alike are signed distances: negative inside, positive outside, 0 on the
border (a few corners are only bounded). A picture is a pure function of a random key, to be
mapped and compiled: `jax.jit(jax.vmap(render))`.

Letters of shapes: H W = 64 pixels, S kinds of shapes, L = 1 background + 4 layers of shapes, back
to front. Points are x to the right and y upwards; the picture spans [-1, 1] in both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, Key

Distance = Float[Array, "H W"]
Outline = Callable[[Distance, Distance], Distance]
Range = tuple[float, float]

IMAGE_SIZE = 64
MAX_SHAPES = 4
MIN_VISIBLE = 60  # pixels from which a kind of shape is present; the smallest shape has about 130
BLOCK_SIZE = 64  # neighbouring examples of a data set, drawn at once


# Outlines: the distance to a shape whose farthest points lie about 1 from the origin.


def disc(x: Distance, y: Distance) -> Distance:
    return jnp.hypot(x, y) - 0.85


def ring(x: Distance, y: Distance) -> Distance:
    return jnp.abs(jnp.hypot(x, y) - 0.72) - 0.22


def square(x: Distance, y: Distance) -> Distance:
    return _rectangle(x, y, 0.75, 0.75)


def triangle(x: Distance, y: Distance) -> Distance:
    return _pointed(x, y, points=3, notch=0.5)


def cross(x: Distance, y: Distance) -> Distance:
    return jnp.minimum(_rectangle(x, y, 0.95, 0.3), _rectangle(x, y, 0.3, 0.95))


def star(x: Distance, y: Distance) -> Distance:
    return _pointed(x, y, points=5, notch=0.45)


def heart(x: Distance, y: Distance) -> Distance:
    """A square on its corner, with a half disc on either of its upper sides."""
    side, low = 0.58, y + 0.12
    along, across = (x + low) * 0.5**0.5, (low - x) * 0.5**0.5
    lobes = jnp.minimum(jnp.hypot(along - side, across), jnp.hypot(along, across - side)) - side
    return jnp.minimum(_rectangle(along, across, side, side), lobes)


def crescent(x: Distance, y: Distance) -> Distance:
    return jnp.maximum(jnp.hypot(x, y) - 0.95, 0.78 - jnp.hypot(x - 0.42, y))


def _rectangle(x: Distance, y: Distance, width: float, height: float) -> Distance:
    """Distance to an upright rectangle of twice that width and height."""
    right, up = jnp.abs(x) - width, jnp.abs(y) - height
    outside = jnp.hypot(jnp.maximum(right, 0.0), jnp.maximum(up, 0.0))
    return outside + jnp.minimum(jnp.maximum(right, up), 0.0)


def _pointed(x: Distance, y: Distance, *, points: int, notch: float) -> Distance:
    """Distance to a star with one point up: points at radius 1, notches at radius `notch`.

    A sector from a point to the next notch is folded over all others; there the border is one
    line. With notches at cos(pi / points) the star is a regular polygon.
    """
    half = np.pi / points
    angle = jnp.arctan2(x, y) % (2.0 * half)
    angle = jnp.minimum(angle, 2.0 * half - angle)
    radius = jnp.hypot(x, y)
    along, across = radius * jnp.cos(angle), radius * jnp.sin(angle)
    # The line through the point (1, 0) and the notch, its normal pointing outwards.
    normal = np.array([notch * np.sin(half), 1.0 - notch * np.cos(half)])
    normal /= np.linalg.norm(normal)
    return float(normal[0]) * (along - 1.0) + float(normal[1]) * across


# Textures: the distance to the inked part of a pattern that repeats with period 1 in x and y.


def solid(x: Distance, y: Distance) -> Distance:
    return jnp.ones_like(x)


def striped(x: Distance, y: Distance) -> Distance:
    return _to_nearest(x) - 0.25


def dotted(x: Distance, y: Distance) -> Distance:
    return jnp.hypot(_to_nearest(x), _to_nearest(y)) - 0.3


def checkered(x: Distance, y: Distance) -> Distance:
    column, row = _to_nearest(x) - 0.25, _to_nearest(y) - 0.25
    return jnp.sign(column * row) * jnp.minimum(jnp.abs(column), jnp.abs(row))


def latticed(x: Distance, y: Distance) -> Distance:
    return jnp.minimum(_to_nearest(x), _to_nearest(y)) - 0.12


def zigzagged(x: Distance, y: Distance) -> Distance:
    # Stripes that lean by 45 degrees one way, then the other.
    return (_to_nearest(x + _to_nearest(y)) - 0.25) * 0.5**0.5


def _to_nearest(x: Distance) -> Distance:
    """Distance to the nearest integer, 0 to 0.5."""
    return jnp.abs(x - jnp.round(x))


SHAPES = (disc, ring, square, triangle, cross, star, heart, crescent)
TEXTURES = (solid, striped, dotted, checkered, latticed, zigzagged)

CONCEPTS: tuple[tuple[str, str], ...] = (
    *((shape.__name__, "object") for shape in SHAPES),
    *((texture.__name__, "texture") for texture in TEXTURES),
)
"""(name, category) of the label ids from 1 on."""

# sRGB of one colour for each of the basic color terms (`jaxdissect.arrays.colors`, same order):
# black, blue, brown, grey, green, orange, pink, purple, red, white, yellow.
PALETTE = np.array(
    [
        [0.06, 0.15, 0.45, 0.52, 0.16, 0.96, 0.97, 0.52, 0.83, 0.95, 0.96],
        [0.06, 0.32, 0.27, 0.52, 0.60, 0.55, 0.60, 0.18, 0.10, 0.95, 0.87],
        [0.07, 0.85, 0.12, 0.52, 0.22, 0.10, 0.75, 0.66, 0.12, 0.94, 0.18],
    ],
    np.float32,
).T


class ShapesExample(NamedTuple):
    """A picture and what it shows.

    Attributes:
        image: RGB in [0, 1].
        labels: Ids of `CONCEPTS`, 0 = none: the shape in front (channel 0) and the texture of
            the surface in front, background included (channel 1).
        present: Which shapes show `MIN_VISIBLE` pixels or more.
    """

    image: Float32[Array, "H W 3"]
    labels: Int32[Array, "H W 2"]
    present: Bool[Array, "S"]


class Placement(NamedTuple):
    """Where what is drawn around the origin at scale 1 comes to lie in the picture."""

    center: Float32[Array, "*L 2"]
    radius: Float32[Array, "*L"]  # the scale; for textures the length of a period
    angle: Float32[Array, "*L"]  # radians, counterclockwise


class Surface(NamedTuple):
    """Two colors (sRGB in [0, 1]) and the texture they make."""

    paper: Float32[Array, "*L 3"]
    ink: Float32[Array, "*L 3"]
    texture: Int[Array, "*L"]  # position in TEXTURES
    placement: Placement


def render(key: Key[Array, ""]) -> ShapesExample:
    """Draw a picture and its labels.

    Args:
        key: Typed random key; the same key gives the same picture.

    Raises:
        ValueError: If `key` is not one typed key.
    """
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.shape:
        raise ValueError(f"`key` (={key.dtype}{list(key.shape)}) must be one typed key")
    number_key, kind_key, place_key, color_key, surface_key, light_key = jax.random.split(key, 6)
    number = jax.random.randint(number_key, (), 1, MAX_SHAPES + 1)
    kinds = jax.random.randint(kind_key, (MAX_SHAPES,), 0, len(SHAPES))
    # Different terms, or a shape could vanish in what lies behind it.
    terms = jnp.argsort(jax.random.uniform(color_key, (len(PALETTE),)))[: 1 + MAX_SHAPES]
    surfaces = jax.vmap(_draw_surface)(jax.random.split(surface_key, 1 + MAX_SHAPES), terms)

    outlines = jax.vmap(partial(_distance, SHAPES))(kinds, _draw_placements(place_key))
    drawn = (jnp.arange(MAX_SHAPES) < number)[:, None, None]
    # The background is everywhere, shapes beyond the drawn number are nowhere.
    outlines = jnp.where(drawn, outlines, jnp.inf)
    outlines = jnp.concatenate([jnp.full_like(outlines[:1], -jnp.inf), outlines])
    image = _light(light_key, _composite(outlines, jax.vmap(_paint)(surfaces)))

    front = MAX_SHAPES - jnp.argmax(outlines[::-1] < 0.0, axis=0)
    objects = jnp.concatenate([jnp.zeros(1, kinds.dtype), kinds + 1])[front]
    textures = (surfaces.texture + 1 + len(SHAPES))[front]
    labels = jnp.stack([objects, textures], axis=-1).astype(jnp.int32)
    return ShapesExample(image, labels, present_shapes(labels))


def present_shapes(labels: Int[Array, "H W 2"]) -> Bool[Array, "S"]:
    """Say which kinds of shapes show `MIN_VISIBLE` pixels or more."""
    kinds = jnp.arange(1, 1 + len(SHAPES))[:, None, None]
    return (labels[None, ..., 0] == kinds).sum(axis=(1, 2)) >= MIN_VISIBLE


def _draw_placements(key: Key[Array, ""]) -> Placement:
    """Place each shape in a quarter of its own, sizes and jitter large enough to overlap."""
    quarter_key, placement_key = jax.random.split(key)
    quarters = jnp.array([[-0.4, -0.4], [-0.4, 0.4], [0.4, -0.4], [0.4, 0.4]])
    draw = partial(_draw_placement, offset=(-0.2, 0.2), radius=(0.34, 0.56), angle=(-0.5, 0.5))
    placements = jax.vmap(draw)(jax.random.split(placement_key, MAX_SHAPES))
    shuffled = quarters[jnp.argsort(jax.random.uniform(quarter_key, (MAX_SHAPES,)))]
    return placements._replace(center=placements.center + shuffled)


def _draw_surface(key: Key[Array, ""], term: Int[Array, ""]) -> Surface:
    """Vary the color of a term, and choose ink and texture."""
    color_key, texture_key, placement_key = jax.random.split(key, 3)
    near = (-0.06, 0.06)
    *variation, amount = _uniform(color_key, near, near, near, (0.25, 0.5))
    paper = jnp.clip(jnp.asarray(PALETTE)[term] + jnp.stack(variation), 0.0, 1.0)
    # Towards white on dark paper, towards black on light paper.
    ink = paper + amount * ((paper.mean() < 0.5).astype(paper.dtype) - paper)
    texture = jax.random.randint(texture_key, (), 0, len(TEXTURES))
    placement = _draw_placement(placement_key, (-0.15, 0.15), (0.17, 0.28), (0.0, np.pi))
    return Surface(paper, ink, texture, placement)


def _draw_placement(key: Key[Array, ""], offset: Range, radius: Range, angle: Range) -> Placement:
    """Draw each number of a placement uniformly from its range."""
    x, y, drawn_radius, drawn_angle = _uniform(key, offset, offset, radius, angle)
    return Placement(jnp.stack([x, y]), drawn_radius, drawn_angle)


def _uniform(key: Key[Array, ""], *ranges: Range) -> Float32[Array, "N"]:
    """Draw one number from each range; at once, because every draw takes long to compile."""
    low, high = np.array(ranges, np.float32).T
    return jax.random.uniform(key, low.shape, minval=low, maxval=high)


def _paint(surface: Surface) -> Float32[Array, "H W 3"]:
    """Fill the whole picture with a surface."""
    inked = _coverage(_distance(TEXTURES, surface.texture, surface.placement))[..., None]
    paper, ink = surface.paper[None, None], surface.ink[None, None]
    return paper + inked * (ink - paper)


def _distance(outlines: Sequence[Outline], kind: Int[Array, ""], placement: Placement) -> Distance:
    """Signed distance, in pixels, to the outline of a kind where it is placed."""
    steps = (jnp.arange(IMAGE_SIZE, dtype=jnp.float32) + 0.5) * (2.0 / IMAGE_SIZE) - 1.0
    right, up = jnp.meshgrid(steps - placement.center[0], -steps - placement.center[1])
    cosine, sine = jnp.cos(placement.angle), jnp.sin(placement.angle)
    x = (cosine * right + sine * up) / placement.radius
    y = (cosine * up - sine * right) / placement.radius
    return jax.lax.switch(kind, outlines, x, y) * (placement.radius * (IMAGE_SIZE / 2))


def _coverage(distance: Float[Array, "*L H W"]) -> Float[Array, "*L H W"]:
    """Share of each pixel that lies inside, from the distance of its centre in pixels."""
    return jnp.clip(0.5 - distance, 0.0, 1.0)


def _composite(
    outlines: Float[Array, "L H W"], paintings: Float32[Array, "L H W 3"]
) -> Float32[Array, "H W 3"]:
    """Lay the layers over one another: a layer shows through what those in front leave free."""
    cover = _coverage(outlines)
    free = jnp.cumprod(1.0 - cover[::-1], axis=0)[::-1]
    free = jnp.concatenate([free[1:], jnp.ones_like(free[:1])])
    return ((cover * free)[..., None] * paintings).sum(axis=0)


def _light(key: Key[Array, ""], image: Float32[Array, "H W 3"]) -> Float32[Array, "H W 3"]:
    """Light the picture from one side, and add noise."""
    light_key, noise_key = jax.random.split(key)
    angle, strength, level = _uniform(light_key, (0.0, 2.0 * np.pi), (0.0, 0.25), (0.01, 0.04))
    steps = jnp.linspace(-1.0, 1.0, IMAGE_SIZE)
    right, down = jnp.meshgrid(steps, steps)
    gain = 1.0 + strength * (jnp.cos(angle) * right + jnp.sin(angle) * down)
    noise = level * jax.random.normal(noise_key, image.shape)
    return jnp.clip(image * gain[..., None] + noise, 0.0, 1.0)


@dataclass(frozen=True)
class ShapesDataset:
    """A source of pictures; built by `shapes_dataset`.

    `source[i]` is a dictionary of read-only NumPy arrays: "image", float32 [64, 64, 3] in [0, 1],
    and "labels", int32 [64, 64, 2], see `ShapesExample`. Pictures are drawn in blocks, of which
    the last few are kept. Threads may share a source.
    """

    num_examples: int
    seed: int = 0

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        block, position = divmod(range(self.num_examples)[index], BLOCK_SIZE)
        return {name: array[position] for name, array in _block(self.seed, block).items()}


def shapes_dataset(num_examples: int, *, seed: int = 0) -> ShapesDataset:
    """Make a data set of pictures of shapes.

    Example `i` depends on `seed` and `i` alone: a longer data set begins with the shorter one.

    Args:
        num_examples: How many pictures.
        seed: Another seed gives other pictures.

    Raises:
        ValueError: If `num_examples` is not positive.
    """
    if num_examples < 1:
        raise ValueError(f"`num_examples` (={num_examples}) must be at least 1")
    return ShapesDataset(num_examples, seed)


@lru_cache(maxsize=16)
def _block(seed: int, block: int) -> dict[str, np.ndarray]:
    """Draw the examples of a block, 5 MB."""
    places = jnp.arange(BLOCK_SIZE) + block * BLOCK_SIZE
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(places)
    example = _render_all(keys)
    return {"image": np.asarray(example.image), "labels": np.asarray(example.labels)}


_render_all = jax.jit(jax.vmap(render))
