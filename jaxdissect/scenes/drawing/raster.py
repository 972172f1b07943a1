"""Draw a table of pieces: which of them is in front at every pixel, and what shines through.

Every piece is a signed distance, negative inside: a box or an ellipse, turned, repeated, sheared,
tapered, and bent by waves. Pieces are painted over one another from back to front, with soft edges;
the piece that covers most of a pixel labels it. The loop ends with the last piece that is present,
and its steps paint several pieces each, so that the image stays in the fast memory meanwhile.

Letters of shapes: H W = 64 pixels, M pieces.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32

from jaxdissect.scenes.drawing.layout import Pieces

IMAGE_SIZE = 64
PIECES_PER_STEP = 4

Plane = Float32[Array, "H W"]


class Canvas(NamedTuple):
    """What has been painted.

    Attributes:
        red, green, blue: Colors of pieces, mixed where edges meet, before texture and light.
        front: Position of the piece in front.
    """

    red: Plane
    green: Plane
    blue: Plane
    front: Int32[Array, "H W"]


def pixel_centers() -> tuple[Plane, Plane]:
    """Return x to the right and y upwards, 0 to 1 across the image."""
    steps = (jnp.arange(IMAGE_SIZE, dtype=jnp.float32) + 0.5) / IMAGE_SIZE
    x, y = jnp.meshgrid(steps, 1.0 - steps)
    return x, y


def paint(pieces: Pieces) -> Canvas:
    """Paint pieces over one another."""
    x, y = pixel_centers()
    nothing = jnp.zeros_like(x)
    empty = Canvas(nothing, nothing, nothing, jnp.zeros(x.shape, jnp.int32))
    rows = Pieces(pieces.number, *map(_in_steps, pieces[1:]))
    rows = rows._replace(opacity=_in_steps(pieces.opacity, mode="constant"))

    def step(state: tuple[Array, Canvas]) -> tuple[Array, Canvas]:
        number, canvas = state
        for i in range(PIECES_PER_STEP):
            piece = Pieces(pieces.number, *(field[number, i] for field in rows[1:]))
            inside = jnp.clip(0.5 - distance(piece, x, y) * (IMAGE_SIZE / piece.soft), 0.0, 1.0)
            canvas = _paint_over(canvas, piece, number * PIECES_PER_STEP + i, inside)
        return number + 1, canvas

    def unfinished(state: tuple[Array, Canvas]) -> Array:
        return state[0] * PIECES_PER_STEP < pieces.number

    return jax.lax.while_loop(unfinished, step, (jnp.int32(0), empty))[1]


def _in_steps(field: Array, *, mode: str = "edge") -> Array:
    """Cut a field into steps; the last is filled up with its last number, or with zeros."""
    missing = -len(field) % PIECES_PER_STEP
    return jnp.pad(field, (0, missing), mode=mode).reshape(-1, PIECES_PER_STEP)


def _paint_over(canvas: Canvas, piece: Pieces, position: Array, inside: Plane) -> Canvas:
    """Lay a piece over the canvas where pixels, or shares of them, are inside."""
    cover = piece.opacity * inside
    return Canvas(
        canvas.red + cover * (piece.red - canvas.red),
        canvas.green + cover * (piece.green - canvas.green),
        canvas.blue + cover * (piece.blue - canvas.blue),
        jnp.where(cover >= 0.5, position, canvas.front),
    )


def in_front(pieces: Pieces, canvas: Canvas) -> Pieces:
    """Return the piece in front at every pixel, each field [H, W]."""
    return jax.tree.map(lambda field: field[canvas.front] if field.ndim else field, pieces)


def place_within(piece: Pieces, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Return where points lie relative to the centre of the copy of the piece next to them."""
    right, up = x - piece.x, y - piece.y
    across = piece.cosine * right + piece.sine * up
    along = piece.cosine * up - piece.sine * right
    across = _fold(across, piece.columns, piece.step_x)
    return across, _fold(along, piece.rows, piece.step_y)


def _fold(position: Plane, number: Array, step: Array) -> Plane:
    """Measure positions from the centre of the nearest of several copies side by side."""
    middle = 0.5 * number
    cell = jnp.clip(jnp.floor(position / step + middle), 0.0, number - 1.0)
    return position - (cell + 0.5 - middle) * step


def distance(piece: Pieces, x: Plane, y: Plane) -> Plane:
    """Return the signed distance to a piece's outline (away from the border, a bound on it)."""
    across, along = place_within(piece, x, y)
    across = across - piece.shear * along
    bent = across + piece.warp * wave(along * piece.waves_y + piece.phase)
    along = along + piece.warp * wave(across * piece.waves_x + piece.phase)
    v = along / piece.half_height
    width = jnp.maximum(piece.half_width * (1.0 - piece.taper * (0.5 * v + 0.5)), 1e-4)
    u = bent / width
    # Boxes and ellipses need a square root each; they share it, as it takes the longest.
    right = (jnp.abs(bent) - width) * piece.steep + piece.corner
    up = jnp.abs(along) - piece.half_height + piece.corner
    beyond = jnp.maximum(right, 0.0) ** 2 + jnp.maximum(up, 0.0) ** 2
    is_round = piece.round_shape > 0.5
    root = jnp.sqrt(jnp.where(is_round, u * u + v * v, beyond))
    box = root + jnp.minimum(jnp.maximum(right, up), 0.0) - piece.corner
    slope = (u / width) ** 2 + (v / piece.half_height) ** 2
    ellipse = root * (root - 1.0) * jax.lax.rsqrt(slope + 1e-6)  # to first order
    outline = jnp.where(is_round, ellipse, box)
    return jnp.maximum(outline, piece.cut * piece.half_height - along)


def wave(turns: Plane) -> Plane:
    """Swing between -1 and 1 once per turn, nearly like a cosine but cheaper."""
    triangle = 4.0 * jnp.abs(turns - jnp.floor(turns) - 0.5) - 1.0
    return triangle * (1.5 - 0.5 * triangle * triangle)
