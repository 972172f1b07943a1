"""How scenes are drawn: outlines against areas, textures, perspective, and the tables behind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.scenes.concepts import MATERIALS, OBJECTS, PARTS
from jaxdissect.scenes.drawing import layout, tables
from jaxdissect.scenes.drawing.layout import Pieces
from jaxdissect.scenes.drawing.materials import PLAIN, TEXTURE_TABLE, TEXTURES, Texture
from jaxdissect.scenes.drawing.raster import distance, paint, pixel_centers, wave
from jaxdissect.scenes.drawing.textures import scatter, texture
from jaxdissect.scenes.rendering import _draw

WHOLE = {
    **dict.fromkeys(("x", "y"), 0.5),
    **dict.fromkeys(("cosine", "columns", "rows", "steep", "opacity", "soft", "grain"), 1.0),
    **dict.fromkeys(("step_x", "step_y"), 2.0),
    "half_width": 0.3,
    "half_height": 0.2,
    "cut": -9.0,
}


def piece(**numbers):
    """One piece: a box of 0.6 x 0.4 in the middle, but for what is given."""
    fields = dict.fromkeys(Pieces._fields, 0.0) | WHOLE | numbers
    return Pieces(**{name: jnp.float32(value) for name, value in fields.items()})


def area(outline):
    steps = (jnp.arange(500, dtype=jnp.float32) + 0.5) / 500
    return float((distance(outline, *jnp.meshgrid(steps, steps)) < 0).mean())


@pytest.mark.parametrize(
    "numbers, expected",
    [
        ({}, 0.24),
        ({"round_shape": 1}, np.pi * 0.3 * 0.2),
        ({"round_shape": 1, "cut": 0}, np.pi * 0.3 * 0.2 / 2),
        ({"taper": 1}, 0.12),
        ({"taper": 0.5}, 0.18),
        ({"taper": -0.4}, 0.288),
        ({"shear": 0.5}, 0.24),
        ({"cosine": 0.6, "sine": 0.8}, 0.24),
        ({"corner": 0.2}, 0.4 * 0.2 + np.pi * 0.2**2),
        ({"columns": 3, "step_x": 0.3, "half_width": 0.1}, 3 * 0.08),
        ({"rows": 2, "step_y": 0.5, "half_height": 0.1}, 2 * 0.12),
        ({"warp": 0.02, "waves_x": 5, "waves_y": 5}, 0.24),
    ],
)
def test_outline_has_its_area(numbers, expected):
    assert area(piece(**numbers)) == pytest.approx(expected, rel=0.02)


def test_outline_is_a_distance_near_its_border():
    """It grows by 1 per unit of length, or edges would be blurred or jagged."""
    x, y = pixel_centers()
    for outline in [
        piece(),
        piece(corner=0.1),
        piece(round_shape=1),
        piece(taper=1, steep=1 / np.hypot(1, 0.3 / 0.4)),
    ]:
        values = np.asarray(distance(outline, x, y))
        steepness = np.hypot(*np.gradient(values, 1 / 64))
        near = np.abs(values) < 0.03
        assert near.sum() > 100 and np.median(np.abs(steepness[near] - 1)) < 0.05


def test_wave_swings_once_per_turn():
    turns = jnp.linspace(0, 3, 301)
    np.testing.assert_allclose(wave(turns[None])[0], np.cos(2 * np.pi * turns), atol=0.03)


def test_what_is_painted_later_is_in_front_and_edges_mix():
    both = [piece(half_width=1, half_height=1, red=1), piece(blue=1, half_width=0.25 + 1 / 128)]
    pieces = jax.tree.map(lambda *fields: jnp.stack(fields), *both)
    draw = jax.jit(paint)
    canvas = draw(pieces._replace(number=jnp.int32(2)))
    assert np.asarray(canvas.front).mean() == pytest.approx(0.4 * 0.5, abs=0.02)
    row, front = np.asarray(canvas.blue)[32], np.asarray(canvas.front)[32]
    np.testing.assert_allclose(row[15:17], [0.5, 1.0], atol=1e-3)
    np.testing.assert_array_equal(front[16:48], 1)
    np.testing.assert_allclose(canvas.red + canvas.blue, 1.0, atol=1e-6)
    alone = draw(pieces._replace(number=jnp.int32(1), opacity=jnp.array([1.0, 0.0])))
    assert not np.asarray(alone.front).any() and (np.asarray(alone.red) == 1).all()


def test_scattered_numbers_look_random():
    columns, rows = jnp.meshgrid(jnp.arange(-64, 64), jnp.arange(-64, 64))
    numbers = np.asarray(scatter(columns, rows))
    assert abs(numbers.mean()) < 0.02 and numbers.std() == pytest.approx(3**-0.5, rel=0.03)
    assert abs(np.mean(numbers[1:] * numbers[:-1])) < 0.02
    assert abs(np.mean(numbers[:, 1:] * numbers[:, :-1])) < 0.02


def drawn_texture(numbers):
    x, y = (64 * axis for axis in pixel_centers())
    return texture(Texture(*(jnp.full_like(x, number) for number in numbers)), x, y)


def test_every_material_has_a_texture_of_its_own():
    assert list(TEXTURES) == list(MATERIALS) and len(set(TEXTURES.values())) == len(MATERIALS)
    for name in MATERIALS:
        gain, joint = map(np.asarray, drawn_texture(TEXTURES[name]))
        assert gain.std() > 0.01 or joint.mean() > 0.1, name
        assert np.abs(gain).max() < 0.8 and joint.min() >= 0 and joint.max() <= 1
    gain, joint = drawn_texture(PLAIN)
    assert not gain.any() and not joint.any()
    assert TEXTURE_TABLE.shape == (1 + len(MATERIALS), len(Texture._fields))


def test_bricks_lie_in_rows_with_joints_between():
    _, joint = drawn_texture(TEXTURES["brick"])
    rows = np.asarray(joint).mean(axis=1)
    assert rows.max() > 0.8 and rows.min() < 0.2
    assert np.mean(rows > 0.5) == pytest.approx(1 / TEXTURES["brick"].height, abs=0.1)


def test_what_is_nearer_is_lower_and_larger():
    keys = jax.random.split(jax.random.key(0), 64)
    street = 0

    def stand(key):
        draws = _draw(key, layout.DRAWS)
        view = layout._view(draws["view"], jnp.int32(street))
        places = layout._rows(tables.PLACES, jnp.int32(street))
        return view, layout._specimens(draws["places"], places, view)

    view, specimens = jax.vmap(stand)(keys)
    standing = ~tables.PLACES["behind"][street]
    # A metre is as long as the ground there lies below the horizon, in heights of the camera.
    below = (view.horizon[:, None] - specimens.y)[:, standing]
    np.testing.assert_allclose(
        specimens.metre[:, standing], below / view.camera[:, None], rtol=1e-3
    )
    assert (np.argsort(specimens.depth[:, standing]) == np.argsort(below)).mean() > 0.9


def test_every_object_and_part_belongs_to_some_prop():
    pieces = tables.PIECES
    shown = {*np.unique(pieces["object"]), *np.unique(pieces["part"])} - {0}
    assert shown == set(range(1, 1 + len(OBJECTS) + len(PARTS)))
    materials = tables.SWATCHES.material
    assert set(np.unique(materials)) == set(range(1 + len(MATERIALS)))


def test_what_stands_on_something_is_there_only_with_it():
    parents = tables.PLACES["parent"]
    inner = parents != np.arange(parents.shape[1])
    assert inner.sum() > 10
    # Frames are not nested, and what stands in one is declared, and so painted, after it.
    assert not np.take_along_axis(inner, parents, axis=1)[inner].any()
    assert (parents <= np.arange(parents.shape[1])).all()
