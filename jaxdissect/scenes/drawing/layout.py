"""Draw a layout: which props stand where, as one table of outlines and surfaces.

All random choices of a scene but its light are made here, on small tables; nothing here knows of
pixels. Points are x to the right and y upwards, both from 0 to 1 across the image.

Letters of shapes: S places, Q paints, M pieces.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32

from jaxdissect.scenes.concepts import MATERIALS
from jaxdissect.scenes.drawing import tables

MOOD_CHANCES = (0.36, 0.22, 0.18, 0.12, 0.12)  # in the order of `light.LIGHTS`
COLOR_CHANGE = 0.07  # by how much a specimen's color differs from its swatch, at most
SMALLEST = 1e-4  # half of any width or height; nothing is divided by zero
BEHIND = -2.0  # depth of what is painted first

Table = dict[str, Array]
Draws = Float32[Array, "..."]


class View(NamedTuple):
    """Where the camera is, and the hour.

    Attributes:
        horizon: Height of the horizon in the image, 0 to 1.
        camera: Height of the camera above the ground, in metres.
        back: How far below the horizon the ground ends, as a share of the horizon's height.
        plan: In [0, 1): which of the scene's alternatives are taken.
        mirrored: Whether left and right change places.
        mood: Which of the moods of the day or of rooms.
    """

    horizon: Float32[Array, ""]
    camera: Float32[Array, ""]
    back: Float32[Array, ""]
    plan: Float32[Array, ""]
    mirrored: Bool[Array, ""]
    mood: Int32[Array, ""]


class Specimens(NamedTuple):
    """What stands at the places of a scene."""

    prop: Int32[Array, "S"]
    match: Int32[Array, "S"]  # place whose paints it has, often its own
    x: Float32[Array, "S"]  # centre
    y: Float32[Array, "S"]  # foot
    width: Float32[Array, "S"]  # negative: mirrored
    height: Float32[Array, "S"]
    metre: Float32[Array, "S"]  # length of a metre there; of backdrops, that of a tenth
    depth: Float32[Array, "S"]  # what has more is in front
    variant: Float32[Array, "S"]  # in [0, 1)
    cells: Float32[Array, "S"]  # in [0, 1), decides the number of cells of grids
    present: Bool[Array, "S"]


class Paints(NamedTuple):
    """Material (row of `materials.TEXTURE_TABLE`) and sRGB color of every paint."""

    material: Int32[Array, "S Q"]
    color: Float32[Array, "S Q 3"]


class Pieces(NamedTuple):
    """Outlines and surfaces, back to front; those that are absent come last.

    Attributes:
        number: How many are present.
        x, y: Centre.
        cosine, sine: Cosine and sine of the turn around it, counterclockwise.
        half_width, half_height: Half the size of one copy.
        columns, rows, step_x, step_y: Number of copies, and distance between them.
        taper, shear, cut, round_shape, opacity, soft, bulge, fade, ribs, plane: See `world.Piece`.
        steep: Sine of the angle between the sides and the ground.
        corner: Radius of corners.
        warp, waves_x, waves_y, phase: Height of the waves that bend the outline, number of them
            per unit of x and of y, and where they begin.
        red, green, blue: Color.
        object, part: Ids of concepts.
        material: Row of `materials.TEXTURE_TABLE`.
        grain: Size of the texture, 1 = as in that table.
        origin_x, origin_y: Where the texture begins, in pixels.
    """

    number: Int32[Array, ""]
    x: Float32[Array, "M"]
    y: Float32[Array, "M"]
    cosine: Float32[Array, "M"]
    sine: Float32[Array, "M"]
    half_width: Float32[Array, "M"]
    half_height: Float32[Array, "M"]
    columns: Float32[Array, "M"]
    rows: Float32[Array, "M"]
    step_x: Float32[Array, "M"]
    step_y: Float32[Array, "M"]
    taper: Float32[Array, "M"]
    steep: Float32[Array, "M"]
    shear: Float32[Array, "M"]
    cut: Float32[Array, "M"]
    round_shape: Float32[Array, "M"]
    corner: Float32[Array, "M"]
    warp: Float32[Array, "M"]
    waves_x: Float32[Array, "M"]
    waves_y: Float32[Array, "M"]
    phase: Float32[Array, "M"]
    opacity: Float32[Array, "M"]
    soft: Float32[Array, "M"]
    red: Float32[Array, "M"]
    green: Float32[Array, "M"]
    blue: Float32[Array, "M"]
    bulge: Float32[Array, "M"]
    fade: Float32[Array, "M"]
    ribs: Float32[Array, "M"]
    plane: Float32[Array, "M"]
    object: Float32[Array, "M"]
    part: Float32[Array, "M"]
    material: Float32[Array, "M"]
    grain: Float32[Array, "M"]
    origin_x: Float32[Array, "M"]
    origin_y: Float32[Array, "M"]


Painter = Callable[[Draws, Specimens, View], Paints]

NUM_PLACES = tables.PLACES["prop"].shape[1]
NUM_PIECES = tables.PIECES["place"].shape[1]
DRAWS = {
    "view": (6,),
    "places": (9, NUM_PLACES),
    "paints": (NUM_PLACES, tables.SWATCHES.number.shape[1], 4),
    "pieces": (7, NUM_PIECES),
}
"""How many random numbers in [0, 1) a layout takes for what."""


def arrange(
    draws: dict[str, Draws], scene: Int32[Array, ""], painter: Painter
) -> tuple[View, Pieces]:
    """Draw the layout of a scene.

    Args:
        draws: Random numbers of the shapes `DRAWS`.
        scene: Position in `render.SCENES`.
        painter: Chooses materials and colors; shapes do not depend on it.
    """
    view = _view(draws["view"], scene)
    specimens = _specimens(draws["places"], _rows(tables.PLACES, scene), view)
    paints = painter(draws["paints"], specimens, view)
    return view, _pieces(draws["pieces"], _rows(tables.PIECES, scene), specimens, paints)


def chosen_paints(draws: Draws, specimens: Specimens, view: View) -> Paints:
    """Choose for every paint one of its swatches, and vary the color."""
    prop = specimens.prop
    known = jax.tree.map(jnp.asarray, tables.SWATCHES)
    number = known.number[prop]
    draws = draws[specimens.match]
    swatch = jnp.floor(draws[..., 3] * number.astype(jnp.float32)).astype(jnp.int32)
    swatch = jnp.where(known.by_mood[prop][:, None], view.mood, swatch)
    at = (prop[:, None], jnp.arange(number.shape[1])[None], swatch)
    # Brightness changes with all channels, the hue with each on its own.
    change = COLOR_CHANGE * (draws[..., :1] + draws[..., :3] - 1.0)
    return Paints(known.material[at], jnp.clip(known.color[at] + change, 0.0, 1.0))


def random_paints(draws: Draws, specimens: Specimens, view: View) -> Paints:
    """Choose for every paint any material and any color."""
    draws = draws[specimens.match]
    material = 1 + jnp.floor(draws[..., 3] * len(MATERIALS)).astype(jnp.int32)
    return Paints(material, 0.05 + 0.9 * draws[..., :3])


def _rows(table: tables.Table, scene: Int32[Array, ""]) -> Table:
    """Return the columns of one scene, gathered at once."""
    widths = [column[0, 0].size for column in table.values()]
    flat = [column.reshape(*column.shape[:2], -1) for column in table.values()]
    rows = jnp.asarray(np.concatenate(flat, axis=-1, dtype=np.float32))[scene]
    parts = jnp.split(rows, np.cumsum(widths)[:-1], axis=-1)
    return {
        name: part.reshape(-1, *column.shape[2:]).astype(column.dtype)
        for (name, column), part in zip(table.items(), parts, strict=True)
    }


def _between(draws: Array, ranges: Array) -> Array:
    """Map numbers in [0, 1) into ranges (low, high) in the last axis."""
    return ranges[..., 0] + draws * (ranges[..., 1] - ranges[..., 0])


def _view(draws: Draws, scene: Int32[Array, ""]) -> View:
    ranges = jnp.asarray(tables.VIEWS)[scene]
    horizon, camera, back = _between(draws[:3], ranges)
    mood = (draws[4] >= np.cumsum(MOOD_CHANCES[:-1], dtype=np.float32)).sum(dtype=jnp.int32)
    return View(horizon, camera, back, draws[3], draws[5] < 0.5, mood)


def _specimens(draws: Draws, places: Table, view: View) -> Specimens:
    # What is on something shares its scale and depth, and lies in its frame.
    parent = places["parent"]
    alone = parent == jnp.arange(NUM_PLACES)
    near = view.back + (1.0 - view.back) * _between(draws[0], places["near"])[parent]
    metre = jnp.where(places["backdrop"], 1.0, near * view.horizon / view.camera)
    x = _between(draws[1], places["x"])
    x = jnp.where(alone & view.mirrored, 1.0 - x, x)
    rise = _between(draws[2], places["rise"])
    y = view.horizon * (1.0 - near) + rise * metre
    height = metre * _between(draws[3], places["height"])
    width = height * _between(draws[4], places["aspect"])
    width = jnp.where(draws[5] < 0.5, width, -width)
    depth = jnp.where(places["behind"], BEHIND, near)
    present = _within(view.plan, places["when"]) & (draws[6] < places["chance"])
    return Specimens(
        prop=places["prop"],
        match=places["match"],
        x=jnp.where(alone, x, x[parent] + width[parent] * x),
        y=jnp.where(alone, y, y[parent] + height[parent] * rise),
        width=width,
        height=height,
        metre=jnp.where(places["backdrop"], 0.1, metre),
        depth=depth,
        variant=draws[7],
        cells=draws[8],
        present=present & present[parent],
    )


def _within(values: Array, ranges: Array) -> Array:
    return (values >= ranges[..., 0]) & (values < ranges[..., 1])


def _pieces(draws: Draws, pieces: Table, specimens: Specimens, paints: Paints) -> Pieces:
    place = pieces["place"]
    owner = jax.tree.map(lambda field: field[place], specimens)
    mirror = jnp.sign(owner.width)

    sway = pieces["sway"][:, None] * (2.0 * draws[:2].T - 1.0)
    at = pieces["at"] + sway
    span_x, span_y = (
        jnp.abs(extent) * size * (1.0 + pieces["vary"] * (2.0 * draw - 1.0))
        for extent, size, draw in zip(
            (owner.width, owner.height), pieces["size"].T, draws[2:4], strict=True
        )
    )
    columns, rows = (
        jnp.floor(low + owner.cells * (high + 1.0 - low))
        for low, high in (pieces["columns"].T, pieces["rows"].T)
    )
    step_x, step_y = span_x / columns, span_y / rows
    half_width, half_height = (
        jnp.maximum(step * fill / 2, SMALLEST)
        for step, fill in zip((step_x, step_y), pieces["fill"].T, strict=True)
    )
    shorter = jnp.minimum(half_width, half_height)
    angle = mirror * pieces["angle"]

    casts = pieces["paint"] < 0
    paint = jnp.maximum(pieces["paint"], 0)
    color = paints.color[place, paint] * pieces["shade"][:, None]
    red, green, blue = jnp.where(casts[:, None], 0.0, color).T
    present = owner.present & _within(owner.variant, pieces["when"])
    drawn = Pieces(
        number=present.sum(dtype=jnp.int32),
        x=owner.x + owner.width * at[:, 0],
        y=owner.y + owner.height * at[:, 1],
        cosine=jnp.cos(angle),
        sine=jnp.sin(angle),
        half_width=half_width,
        half_height=half_height,
        columns=columns,
        rows=rows,
        step_x=step_x,
        step_y=step_y,
        taper=pieces["taper"],
        steep=1.0 / jnp.hypot(1.0, pieces["taper"] * half_width / (2.0 * half_height)),
        shear=pieces["shear"] * owner.width / owner.height,
        cut=pieces["cut"],
        round_shape=pieces["round_shape"].astype(jnp.float32),
        corner=pieces["corner"] * shorter,
        warp=pieces["warp"] * shorter,
        waves_x=pieces["waves"] / (2.0 * half_width),
        waves_y=pieces["waves"] / (2.0 * half_height),
        phase=draws[4],
        opacity=jnp.where(present, pieces["opacity"], 0.0),
        soft=pieces["soft"],
        red=red,
        green=green,
        blue=blue,
        bulge=pieces["bulge"],
        fade=pieces["fade"],
        ribs=pieces["ribs"],
        plane=pieces["plane"].astype(jnp.float32),
        object=pieces["object"].astype(jnp.float32),
        part=pieces["part"].astype(jnp.float32),
        material=jnp.where(casts, 0, paints.material[place, paint]).astype(jnp.float32),
        # Far bricks are smaller, but not so small that they could not be seen.
        grain=jnp.clip(jnp.sqrt(owner.metre / 0.1), 0.8, 1.5),
        origin_x=64.0 * draws[5],
        origin_y=64.0 * draws[6],
    )
    order = jnp.argsort(jnp.where(present, owner.depth, jnp.inf))
    return Pieces(drawn.number, *jnp.stack(drawn[1:])[:, order])
