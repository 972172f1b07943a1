"""What props are made of: an object of the small world is a table of pieces.

A *prop* (a tree, a house) lists its *pieces* from back to front. A piece is a box or an ellipse,
bent, folded and textured, given in the prop's own frame: x from -0.5 to 0.5 is the prop's width,
y from 0 (where it stands) to 1 its height. Pieces take their color and material from a *paint*:
one of several swatches, chosen for every specimen anew, so a house's wall may be brick or wood.
All of it is plain data, turned into arrays by `tables` and into images by `render`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Range = tuple[float, float]
Pair = tuple[float, float]
Cells = int | tuple[int, int]


@dataclass(frozen=True)
class Swatch:
    """A material (None: of no material that could be named) and its sRGB color in [0, 1]."""

    material: str | None
    color: tuple[float, float, float]


@dataclass(frozen=True)
class Piece:
    """One outline of a prop.

    Attributes:
        part: Name of the part it shows, None = the object alone.
        paint: Name of one of the prop's paints; None casts a shadow: it darkens, but has no label.
        at: Centre, in the prop's frame.
        size: Width and height, in the prop's frame.
        object: Name of the object it shows, where that is not the prop's (a door of a house).
        round_shape: An ellipse, else a box.
        angle: Turn around the centre in radians, counterclockwise.
        taper: How much narrower the top is than the bottom: 1 makes a box a triangle.
        shear: How far the top leans to the right per unit of height.
        corner: Radius of a box's corners, as a share of half its shorter side.
        warp: Height of the waves that bend the outline, as a share of half its shorter side.
        waves: How many of these waves fit along a side.
        cut: Everything below is cut off: -1 is the bottom of the outline, 1 its top.
        grid: Columns and rows of equal copies that together fill `size`; (low, high) draws the
            number, the same for all pieces of a specimen that give the same range.
        fill: Share of its cell of the grid that a copy takes.
        sway: The centre moves by up to this, in the prop's frame.
        vary: The size changes by up to this share.
        when: The piece is there when the variant of the specimen, a random number in [0, 1), lies
            between these.
        opacity: How much it hides what is behind; pieces below a half leave the labels alone.
        soft: Width of its edge in pixels.
        shade: Factor of the paint's color.
        bulge: How much brighter the side towards the light is.
        fade: How much brighter the top is than the middle (and the bottom darker).
        ribs: Number of light and dark folds side by side.
        plane: It lies on the ground or ceiling: its texture recedes towards the horizon.
    """

    part: str | None
    paint: str | None
    at: Pair
    size: Pair
    object: str | None = None
    round_shape: bool = False
    angle: float = 0.0
    taper: float = 0.0
    shear: float = 0.0
    corner: float = 0.0
    warp: float = 0.0
    waves: float = 3.0
    cut: float = -9.0
    grid: tuple[Cells, Cells] = (1, 1)
    fill: Pair = (1.0, 1.0)
    sway: float = 0.0
    vary: float = 0.0
    when: Range = (0.0, 1.0)
    opacity: float = 1.0
    soft: float = 1.0
    shade: float = 1.0
    bulge: float = 0.06
    fade: float = 0.0
    ribs: float = 0.0
    plane: bool = False


@dataclass(frozen=True)
class Prop:
    """An object of the small world.

    Attributes:
        object: Name of the object it shows.
        height: Range of its height, in metres.
        aspect: Range of its width as a share of its height.
        paints: Swatches by the name of the paint; one of each is chosen per specimen.
        pieces: From back to front.
        by_mood: Choose swatches by the mood of the image (the time of day), not by chance.
    """

    object: str
    height: Range
    aspect: Range
    paints: Mapping[str, tuple[Swatch, ...]]
    pieces: tuple[Piece, ...]
    by_mood: bool = False


@dataclass(frozen=True)
class Place:
    """Where a specimen of a prop may stand in a scene.

    Attributes:
        prop: What stands there.
        x: Range of its centre across the image, 0 left to 1 right.
        near: Range of how near it stands: 0 at the back (the horizon, the wall of a room), 1 at
            the lower edge of the image. What is nearer is larger, lower, and in front.
        rise: Range of its height above the ground there, in metres.
        height: Range of its height, in metres; None = the prop's.
        aspect: Range of width by height; None = the prop's.
        chance: Probability that it is there.
        when: It is there when the plan of the image, a number in [0, 1), lies between these.
        behind: It is painted before all that stands, in the order of the scene: walls, rugs.
        backdrop: It is painted behind, and its heights are shares of the image, not metres.
        name: Name by which other places refer to it in `on` and `match`.
        on: Name of the place of which it is part: `x` and `rise` are then given in the frame of
            the prop standing there, and it is there only if that is.
        match: Name of the place whose colors and materials it has: paints of the same position in
            their props, which should offer the same swatches.
    """

    prop: Prop
    x: Range = (0.0, 1.0)
    near: Range = (0.0, 0.0)
    rise: Range = (0.0, 0.0)
    height: Range | None = None
    aspect: Range | None = None
    chance: float = 1.0
    when: Range = (0.0, 1.0)
    behind: bool = False
    backdrop: bool = False
    name: str | None = None
    on: str | None = None
    match: str | None = None


@dataclass(frozen=True)
class Scene:
    """A kind of scene: where the camera is, and what may be in front of it.

    Attributes:
        name: Name of the scene.
        horizon: Range of the horizon's height in the image, 0 bottom to 1 top.
        camera: Range of the camera's height above the ground, in metres.
        back: Range of how far below the horizon the ground ends, as a share of the horizon's
            height: 0 for a plain, more for the wall of a room.
        indoors: Whether the light is that of a room.
        places: What may be there.
    """

    name: str
    horizon: Range
    camera: Range
    back: Range
    indoors: bool
    places: tuple[Place, ...] = field(default=())


def box(part: str | None, paint: str, at: Pair, size: Pair, **options) -> Piece:
    """Make a piece that is a box."""
    return Piece(part, paint, at, size, **options)


def ellipse(part: str | None, paint: str, at: Pair, size: Pair, **options) -> Piece:
    """Make a piece that is an ellipse."""
    return Piece(part, paint, at, size, round_shape=True, **options)


def shadow(width: float = 1.0, *, height: float = 0.08, opacity: float = 0.3) -> Piece:
    """Make the soft shadow in which a prop stands."""
    size, at = (width, height), (0.0, 0.0)
    return Piece(None, None, at, size, round_shape=True, opacity=opacity, soft=3.0, bulge=0.0)


def row(place: Place, number: int, *, jitter: float = 0.3) -> tuple[Place, ...]:
    """Repeat a place side by side over its range of x, each copy moving within its stretch.

    Args:
        place: What to repeat.
        number: How many copies.
        jitter: How far a copy may move, as a share of its stretch.
    """
    low, high = place.x
    step = (high - low) / number
    centers = [low + (i + 0.5) * step for i in range(number)]
    reach = jitter * step
    return tuple(replace(place, x=(center - reach, center + reach)) for center in centers)
