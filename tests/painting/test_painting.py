"""Paintings: strokes to cells, cells to edits, documents, and the same pixels from them again."""

import itertools
import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toy_generators import SIZES, generator
from support.toy_paintings import DOTS, dab, drawn, painting

from jaxdissect.generators import Generator, paint_units
from jaxdissect.painting import (
    Paint,
    PaintedStroke,
    Stroke,
    as_bytes,
    from_json,
    replay,
    to_json,
)
from jaxdissect.painting.document import MAX_STROKES, Painting
from jaxdissect.painting.rendering import edit_of, painted_cells, renderer
from jaxdissect.painting.strokes import MAX_POINTS, cells_under, pixels_under, rows_crossed

# --- strokes to cells -----------------------------------------------------------------------------


def sixteenth(value):
    return Fraction(round(value * 16), 16)


def squared_distance(p, a, b):
    """From p to the piece from a to b, exactly."""
    along, from_a = (
        [y - x for x, y in zip(a, b, strict=True)],
        [y - x for x, y in zip(a, p, strict=True)],
    )
    length = sum(x * x for x in along)
    share = (
        Fraction(0)
        if not length
        else sum(x * y for x, y in zip(along, from_a, strict=True)) / length
    )
    share = min(max(share, Fraction(0)), Fraction(1))
    return sum((x - share * y) ** 2 for x, y in zip(from_a, along, strict=True))


def brute_pixels(stroke, height, width):
    """The definition, pixel after pixel, in exact fractions."""
    points = [(sixteenth(x), sixteenth(y)) for x, y in stroke.points]
    radius = Fraction(round(stroke.brush * 8), 16)
    pieces = list(itertools.pairwise(points)) or [(points[0], points[0])]
    under = np.zeros((height, width), bool)
    for i, j in np.ndindex(height, width):
        center = (j + Fraction(1, 2), i + Fraction(1, 2))
        under[i, j] = any(squared_distance(center, *piece) <= radius**2 for piece in pieces)
    for x, y in points:
        under[min(int(y), height - 1), min(int(x), width - 1)] = True
    return under


def lines(height, width):
    """Points of a stroke. Types of what a strategy builds must not be checked: that is random."""
    point = st.tuples(st.floats(0, width), st.floats(0, height))
    return st.lists(point, min_size=1, max_size=4).map(tuple)


@settings(max_examples=40, deadline=None)
@given(points=lines(7, 12), brush=st.floats(1, 9))
def test_pixels_are_those_of_the_definition(points, brush):
    stroke = Stroke(points, brush)
    np.testing.assert_array_equal(pixels_under(stroke, (7, 12)), brute_pixels(stroke, 7, 12))


@settings(max_examples=40, deadline=None)
@given(
    points=lines(8, 12),
    brush=st.floats(1, 9),
    cells=st.tuples(st.integers(1, 8), st.integers(1, 12)),
)
def test_cells_are_those_with_a_pixel_under_the_brush(points, brush, cells):
    stroke = Stroke(points, brush)
    expected = np.zeros(cells, bool)
    for i, j in np.argwhere(brute_pixels(stroke, 8, 12)):
        row = int((i + Fraction(1, 2)) * cells[0] / 8)
        column = int((j + Fraction(1, 2)) * cells[1] / 12)
        expected[row, column] = True
    np.testing.assert_array_equal(cells_under(stroke, (8, 12), cells), expected)


def test_every_point_of_a_cell_maps_to_it():
    for row, column in np.ndindex(8, 8):
        expected = np.zeros((8, 8), bool)
        expected[row, column] = True
        for dx, dy in ((0, 0), (4, 4), (7.9, 0.0), (7.9, 7.9)):
            dot = dab(column * 8 + dx, row * 8 + dy)
            np.testing.assert_array_equal(cells_under(dot, (64, 64), (8, 8)), expected)


def test_a_line_has_no_gaps_and_large_images_do_not_overflow():
    line = Stroke(((0.0, 0.0), (1024.0, 1024.0)), 1.0)
    under = pixels_under(line, (1024, 1024))
    np.testing.assert_array_equal(under, np.eye(1024, dtype=bool))
    wide = pixels_under(Stroke(((0.0, 1024.0), (1024.0, 0.0)), 1024.0), (1024, 1024))
    assert wide[0, 1023] and wide[512, 512] and wide[300, 300] and not wide[0, 0]


@pytest.mark.parametrize(
    ("points", "brush", "message"),
    [
        ((), 1.0, "1 to 512 points"),
        (((1.0, 1.0),) * (MAX_POINTS + 1), 1.0, "not 513"),
        (((1.0, 1.0),), 0.5, "`brush`"),
        (((1.0, 1.0),), float("nan"), "`brush`"),
        (((1.0, float("nan")),), 1.0, "`points`"),
        (((-1.0, 1.0),), 1.0, "`points`"),
    ],
)
def test_bad_strokes(points, brush, message):
    with pytest.raises(ValueError, match=message):
        Stroke(points, brush)


def test_strokes_beyond_the_image_and_cells_without_pixels():
    with pytest.raises(ValueError, match="within the image, 0 to 8 across"):
        pixels_under(dab(9.0, 1.0), (64, 8))
    with pytest.raises(ValueError, match=r"`cells` \(=9\) must be 1 to 8"):
        cells_under(dab(1.0, 1.0), (8, 8), (9, 8))
    with pytest.raises(ValueError, match="`image_size`"):
        pixels_under(dab(1.0, 1.0), (2000, 8))


# --- paintings to edits ---------------------------------------------------------------------------


def test_the_last_stroke_counts_at_every_cell_and_unit():
    made = painting(
        drawn(1, 1),  # cell (0, 0): units 1, 4, 7
        drawn(1, 1, "cold", strength=0.5),  # units 4 and 0 there anew
        drawn(7, 7),
        drawn(7, 7, action="erase"),
        drawn(3, 5, strength=2.0),
        drawn(5, 5),
        PaintedStroke(dab(5, 5), "restore"),
    )
    keep, add = edit_of(made, (4, 4), 10)
    expected = {(0, 0, 1): (0, 2), (0, 0, 4): (0.5, 2.5), (0, 0, 7): (0, 3.5)}
    expected |= {(0, 0, 0): (0.5, 0.75)}
    expected |= {(3, 3, unit): (0, 0) for unit in (1, 4, 7)}
    expected |= {(2, 1, 1): (0, 4), (2, 1, 4): (0, -2), (2, 1, 7): (0, 7)}
    for place in np.ndindex(4, 4, 10):
        assert (float(keep[place]), float(add[place])) == expected.get(place, (1, 0)), place
    assert np.argwhere(painted_cells(made, (4, 4))).tolist() == [[0, 0], [2, 1], [3, 3]]


def test_no_trace_is_left_of_what_is_undone():
    """No strokes, strokes of no strength and restored ones: the bytes of the generator itself."""
    subject = Generator(generator(), SIZES[0])
    render = renderer(subject, "layer2")
    empty = painting()
    nothing = [
        empty,
        painting(drawn(1, 1, strength=0.0), drawn(5, 2, "cold", brush=4.0, strength=0.0)),
        painting(drawn(1, 1), PaintedStroke(dab(4, 4, brush=20.0), "restore")),
    ]
    latent = jnp.asarray(empty.latent())
    images = [
        np.asarray(render(subject.params, latent, edit_of(made, (4, 4), 10))) for made in nothing
    ]
    unedited = jax.jit(lambda params, z: (subject.network.apply(params, z)[0] + 1) / 2)
    plain = np.clip(np.asarray(unedited(subject.network.params, latent[None]))[0], 0, 1)
    np.testing.assert_array_equal(as_bytes(images[0]), as_bytes(plain))
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])


@pytest.mark.parametrize("layer", ["layer2", "layer3"])
def test_a_painting_is_what_paint_does(layer):
    subject = Generator(generator(), SIZES[0])
    made = painting(drawn(2, 6, brush=3.0, strength=0.75), layer=layer)
    cells, units = {"layer2": ((4, 4), 10), "layer3": ((8, 8), 8)}[layer]
    where = 0.75 * jnp.asarray(cells_under(made.strokes[0].stroke, (8, 8), cells), jnp.float32)
    warm = DOTS["warm"]

    @jax.jit
    def expected(params, latents):
        values = jnp.array(warm.values)
        return paint_units(subject, params, latents, layer, warm.units, values, where)

    image = expected(subject.params, jnp.asarray(made.latent())[None])[0]
    np.testing.assert_allclose(replay(generator(), made), image, atol=1e-6)
    assert units > max(warm.units)


# --- documents ------------------------------------------------------------------------------------

FULL = painting(
    drawn(1.5, 1.0625),
    PaintedStroke(Stroke(((0.0, 0.0), (8.0, 3.3)), 2.5), "erase", "cold", 0.1),
    PaintedStroke(dab(5, 5), "restore"),
    model="toy",
)


def test_documents_say_everything():
    again = from_json(to_json(FULL))
    assert again == FULL
    assert to_json(again) == to_json(FULL)
    np.testing.assert_array_equal(replay(generator(), again), replay(generator(), FULL))


def broken(*path, value=None, delete=False):
    document = json.loads(to_json(FULL))
    place = document
    for step in path[:-1]:
        place = place[step]
    if delete:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON"),
        (b"\xff\xfe\x00", "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        ("[" + "1" * 5000 + "]", "must be JSON"),
        ("[]", "JSON object with 'format'"),
        (broken("version", value=2), r"`version` \(=2\) must be 1"),
        (broken("layer", delete=True), "lacks layer"),
        (broken("more", value=1), "what it should not: 'more'"),
        (broken("seed", value=True), r"`seed` \(=True\) must be an integer"),
        (broken("seed", value=-1), r"`seed` \(=-1\) must be at least 0"),
        (broken("image_size", value=[8]), "must be a list of 2"),
        (broken("model", value="x" * 201), "text of at most 200"),
        (broken("paints", value=[]), "`paints`.* must be an object"),
        (broken("paints", "warm", value={"units": [1]}), "lacks values"),
        (broken("paints", "warm", "units", value=[1, 1, 2]), "warm.*different units"),
        (broken("paints", "warm", "values", value=[1]), "3 finite numbers"),
        (broken("paints", "warm", "units", value=[0] * 5000), "at most 4096 entries"),
        (broken("strokes", 0, "paint", value="hot"), "paints that are not in `paints`"),
        (broken("strokes", 0, "paint", value=None), r"strokes\[0\]: `paint`"),
        (broken("strokes", 0, "action", value="smear"), "must be one of: draw, erase, restore"),
        (broken("strokes", 1, "strength", value=2.5), r"strokes\[1\]: `strength`"),
        (broken("strokes", 1, "brush", value="1"), r"`strokes\[1\].brush` \(='1'\)"),
        (broken("strokes", 2, "points", value=[[1, 2, 3]]), r"points\[0\]"),
        (broken("strokes", 2, "points", value=[[1, 2]] * 513), "not 513"),
        (broken("strokes", 2, "points", value=[[1, 1e999]]), "must be JSON: it has no Infinity"),
        (to_json(FULL).replace("1.0625", "1e999"), r"points\[0\]\[1\]` \(=inf\) must be a number"),
        (broken("strokes", value=[json.loads(to_json(FULL))["strokes"][0]] * 201), "at most 200"),
    ],
)
def test_broken_documents(text, message):
    with pytest.raises(ValueError, match=message):
        from_json(text)


def test_what_does_not_fit_the_generator():
    assert MAX_STROKES == 200
    with pytest.raises(ValueError, match="`image_size`.*must be that of the generator's"):
        replay(generator(), painting(image_size=(16, 8)))
    with pytest.raises(ValueError, match="layer9"):
        replay(generator(), painting(layer="layer9"))
    with pytest.raises(ValueError, match=r"`units` must be in \[0, 10\), got \[10\]"):
        replay(generator(), painting(paints={"x": Paint((10,), (1.0,))}))
    with pytest.raises(ValueError, match="other parameters"):
        replay(generator(), painting(digest="0123456789abcdef"))


def test_strokes_are_bounded_in_time_too():
    """As many strokes as are allowed, of as many points, each across all of a large image."""
    points = tuple((1024.0 * (i % 2), 1024.0 * ((i * 257) % 512) / 511) for i in range(512))
    stroke = PaintedStroke(Stroke(points, 1.0), "restore")
    assert rows_crossed(stroke.stroke, (1024, 1024)) > 250_000
    with pytest.raises(ValueError, match="`strokes` must cross at most 16777216 rows"):
        Painting("layer", (1024, 1024), 8, 0, 0, {}, (stroke,) * 100)
    assert Painting("layer", (64, 64), 8, 0, 0, {}, (stroke,) * 100).strokes
