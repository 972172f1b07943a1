"""Connected components, their boxes and halves, against a flood fill and the reference."""

import functools
import inspect
import types

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import golden

from jaxdissect.arrays import components
from jaxdissect.arrays.components import (
    all_but_last_component,
    bounding_boxes,
    connected_components,
    every_component,
    halves,
)

# Few shapes, as each is compiled.
maps = hnp.arrays(
    np.int32,
    st.sampled_from([(1, 6), (5, 1), (3, 3), (6, 9)]),
    elements=st.sampled_from([0, 0, 1, 2, 3]),
)
components_jit = jax.jit(connected_components)
boxes_jit = jax.jit(bounding_boxes)
halves_jit = jax.jit(halves, static_argnames=("num_objects", "divided"))


def flood_fill(labels: np.ndarray) -> np.ndarray:
    """Ids of one map: every unseen pixel in reading order fills the component it begins."""
    height, width = labels.shape
    ids = np.zeros((height, width), np.int32)
    for start in np.flatnonzero(labels):
        if ids.flat[start]:
            continue
        waiting = [divmod(int(start), width)]
        ids.flat[start] = start + 1
        while waiting:
            row, column = waiting.pop()
            for y in range(max(row - 1, 0), min(row + 2, height)):
                for x in range(max(column - 1, 0), min(column + 2, width)):
                    if labels[y, x] == labels[row, column] and not ids[y, x]:
                        ids[y, x] = start + 1
                        waiting.append((y, x))
    return ids


def halves_by_component(labels: np.ndarray, num_objects: int, last: bool = True) -> np.ndarray:
    """Halves of one map, component by component."""
    ids = flood_fill(labels)
    result = np.zeros((*labels.shape, 2), np.int32)
    for component in np.unique(ids[ids > 0])[: None if last else -1]:
        rows, columns = np.nonzero(ids == component)
        label = labels[rows[0], columns[0]]
        middle = (rows.min() + rows.max() + 1) // 2
        result[rows, columns, 0] = np.where(rows < middle, 1, 3) * num_objects + label
        middle = (columns.min() + columns.max() + 1) // 2
        result[rows, columns, 1] = np.where(columns < middle, 2, 4) * num_objects + label
    return result


def spiral(side: int) -> np.ndarray:
    """A one pixel wide path inwards, one pixel away from itself."""
    path = np.zeros((side, side), np.int32)
    row, column, step = 0, -1, (0, 1)
    for run in [side, *(n for n in range(side - 1, 0, -2) for _ in range(2))]:
        for _ in range(run):
            row, column = row + step[0], column + step[1]
            path[row, column] = 1
        step = (step[1], -step[0])
    return path


def comb(side: int) -> np.ndarray:
    teeth = np.zeros((side, side), np.int32)
    teeth[:, ::2] = 1
    teeth[-1] = 1
    return teeth


def serpentine(side: int) -> np.ndarray:
    path = np.zeros((side, side), np.int32)
    path[::2] = 1
    path[1::4, -1] = 1
    path[3::4, 0] = 1
    return path


MAZES = {
    "spiral": spiral(64),
    "spiral from inside": spiral(64)[::-1, ::-1],
    "comb": comb(64),
    "comb upside down": comb(64)[::-1],
    "comb sideways": comb(64).T,
    "serpentine": serpentine(64),
    "serpentine sideways": serpentine(64).T,
    "diagonals": np.indices((64, 64)).sum(0).astype(np.int32) % 3,
    "half full": (np.random.RandomState(0).rand(64, 64) < 0.41).astype(np.int32),
    "one label": np.ones((64, 64), np.int32),
}


@settings(deadline=None, derandomize=True)
@given(maps)
def test_components_are_those_of_a_flood_fill(labels):
    np.testing.assert_array_equal(components_jit(jnp.asarray(labels)), flood_fill(labels))


@pytest.mark.parametrize("maze", MAZES)
def test_winding_components(maze):
    np.testing.assert_array_equal(components_jit(jnp.asarray(MAZES[maze])), flood_fill(MAZES[maze]))


def test_mazes_wind():
    """The tests above are worth little unless paths are long."""
    assert MAZES["spiral"].sum() > 2000 and flood_fill(MAZES["spiral"]).max() == 1
    assert MAZES["serpentine"].sum() > 2000 and flood_fill(MAZES["serpentine"]).max() == 1


@pytest.mark.parametrize("maze", MAZES)
def test_sixteen_steps_suffice(maze, monkeypatch):
    def sixteen_steps(condition, body, state):
        del condition
        return functools.reduce(lambda state, _: body(state), range(16), state)

    monkeypatch.setattr(components, "lax", types.SimpleNamespace(while_loop=sixteen_steps))
    ids = jax.jit(inspect.unwrap(connected_components))(jnp.asarray(MAZES[maze]))
    np.testing.assert_array_equal(ids, flood_fill(MAZES[maze]))


@pytest.mark.parametrize("transform", ["eager", "vmap", "sharded", "alone"])
def test_components_of_batches(transform):
    labels = np.random.RandomState(1).randint(-1, 3, (4, 2, 6, 7)).astype(np.int16)
    given = jnp.asarray(labels)
    if transform == "sharded":
        mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
        given = jax.device_put(given, jax.NamedSharding(mesh, jax.P("batch")))
    run = {
        "eager": connected_components,
        "vmap": jax.vmap(connected_components),
        "sharded": components_jit,
        "alone": lambda given: jnp.stack([components_jit(given[i]) for i in range(4)]),
    }[transform]
    expected = [[flood_fill(one) for one in pair] for pair in labels]
    ids = run(given)
    assert ids.dtype == jnp.int32
    np.testing.assert_array_equal(ids, expected)


@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 3), (0, 0)])
def test_components_of_empty_maps(shape):
    assert connected_components(jnp.zeros(shape, jnp.uint8)).shape == shape


def test_components_of_what_are_no_labels_are_refused():
    unchecked = inspect.unwrap(connected_components)
    with pytest.raises(ValueError, match=r"`labels` \(=float32\(2, 2\)\) must be integers"):
        unchecked(jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"`labels` \(=int32\(2,\)\)"):
        unchecked(jnp.zeros(2, jnp.int32))


@settings(deadline=None, derandomize=True)
@given(maps)
def test_bounding_boxes(labels):
    ids = flood_fill(labels)
    boxes = boxes_jit(jnp.asarray(ids))
    for component in np.unique(ids):
        inside = ids == component
        rows, columns = np.nonzero(inside)
        expected = rows.min(), rows.max(), columns.min(), columns.max()
        assert [set(np.asarray(side)[inside].tolist()) for side in boxes] == [
            {side} for side in expected
        ]


@settings(deadline=None, derandomize=True)
@given(maps, st.booleans())
def test_halves(labels, last):
    divided = every_component if last else all_but_last_component
    found = halves_jit(jnp.asarray(labels), 5, divided=divided)
    np.testing.assert_array_equal(found, halves_by_component(labels, 5, last))


def test_halves_of_a_pixel_are_bottom_and_right():
    pixel = halves_jit(jnp.asarray([[0, 2]], jnp.int32), 10)
    np.testing.assert_array_equal(pixel, [[[0, 0], [32, 42]]])


@pytest.mark.parametrize("name", ["quad_a", "quad_b"])
def test_halves_and_components_are_those_of_the_reference(name):
    arrays, meta = golden.load(name)
    labels = jnp.asarray(arrays["object_labels"])
    # The reference counts "none" among the objects.
    found = halves_jit(labels, meta["nobj"] - 1, divided=all_but_last_component)
    np.testing.assert_array_equal(found, np.moveaxis(arrays["output"][:, 3:], 1, -1))
    assert (arrays["output"][:, 3:] > 0).any()

    ids = np.asarray(components_jit(labels))
    listed = [
        (i, component) for i in range(len(ids)) for component in np.unique(ids[i][ids[i] > 0])[:-1]
    ]
    assert [i for i, _ in listed] == arrays["component_image"].tolist()
    masks = np.unpackbits(arrays["component_masks"], axis=-1)[..., : labels.shape[-1]]
    np.testing.assert_array_equal([ids[i] == component for i, component in listed], masks)
