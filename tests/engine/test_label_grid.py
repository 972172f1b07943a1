"""Labelers, scopes, and what is kept in memory between passes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.arrays.resampling import clamp_border, pixel_centers, resample
from jaxdissect.dissection import presets
from jaxdissect.engine.label_grid import LayerOnGrid, map_examples, sum_examples
from jaxdissect.engine.labelers import annotated, at_pixel_centers, colored, together
from jaxdissect.engine.memory_plan import plan_memory


def reading(shape, units=3, grid=(8, 8)):
    return LayerOnGrid(grid, shape, units, pixel_centers, clamp_border)


def test_labels_are_read_at_pixel_centres():
    labels = np.arange(36).reshape(1, 6, 6, 1)
    assert (
        at_pixel_centers(jnp.asarray(labels), (6, 6))[0, :, :, 0].tolist()
        == labels[0, :, :, 0].tolist()
    )
    assert at_pixel_centers(jnp.asarray(labels), (2, 3))[0, :, :, 0].tolist() == [
        [7, 9, 11],
        [25, 27, 29],
    ]
    doubled = at_pixel_centers(jnp.asarray(labels), (12, 12))[0, :, :, 0]
    assert doubled.tolist() == labels[0, :, :, 0].repeat(2, 0).repeat(2, 1).tolist()


def test_joined_labelers_translate_their_ids():
    first = annotated(vocabulary([("cat", "object"), ("dog", "object")]), key="a")
    second = annotated(vocabulary([("fur", "material"), ("cat", "object")]), key="b")
    joined = together(first, second, colored())
    batch = {
        "a": jnp.array([[[[2], [0]]]]),
        "b": jnp.array([[[[2], [1]]]]),
        "image": jnp.zeros((1, 1, 2, 3)),
    }
    labels = np.asarray(joined.label(joined.params, batch, (1, 2)))[0, 0]
    index = joined.vocabulary.index
    assert labels.tolist() == [
        [index("dog"), index("cat"), index("black")],
        [0, index("fur"), index("black")],
    ]
    with pytest.raises(ValueError, match="`labelers` must not be empty"):
        together()


def test_scopes():
    labels = jnp.array([[[[1, 0], [3, 2]], [[0, 0], [0, 0]]], [[[0, 0], [3, 0]], [[0, 0], [0, 0]]]])
    category_of = np.array([0, 0, 0, 1])  # 1, 2 of category 0; 3 of category 1; scopes are 4, 5
    pixels = presets.annotated_pixels(labels, category_of, 2)
    assert pixels.tolist() == [
        [[[4, 0], [4, 5]], [[0, 0], [0, 0]]],
        [[[0, 0], [0, 5]], [[0, 0], [0, 0]]],
    ]
    images = presets.annotated_images(labels, category_of, 2)
    assert (images[0] == jnp.array([4, 5]).reshape(1, 1, 2)).all()
    assert (images[1] == jnp.array([0, 5]).reshape(1, 1, 2)).all()
    assert presets.all_pixels(labels, category_of, 2).shape == (2, 2, 2, 0)


def test_the_smaller_of_layer_and_grid_is_kept():
    small, large = reading((4, 4)), reading((16, 16))
    assert not small.keeps_grid and small.kept_shape == (4, 4, 3)
    assert large.keeps_grid and large.kept_shape == (8, 8, 3)
    maps = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    np.testing.assert_array_equal(
        jax.jit(lambda m: large.kept_on_grid(large.keep(m)))(maps),
        jax.jit(lambda m: map_examples(large.on_grid, m))(maps),
    )
    np.testing.assert_allclose(large.keep(maps), resample(maps, (8, 8)), atol=1e-6)


def test_memory_plan_keeps_the_smallest_layers():
    readings = {"a": reading((16, 16)), "b": reading((2, 2)), "c": reading((4, 4))}
    sizes = {"a": 4 * 10 * 192, "b": 4 * 10 * 12, "c": 4 * 10 * 48}
    everything = plan_memory(readings, 10, sum(sizes.values()))
    assert everything.kept == ("a", "b", "c") and everything.again == ()
    assert "one forward pass per image" in str(everything)
    some = plan_memory(readings, 10, sizes["b"] + sizes["c"])
    assert some.kept == ("b", "c") and some.again == ("a",)
    assert some.kept_bytes == sizes["b"] + sizes["c"]
    assert str(plan_memory(readings, 10, 0)).startswith("keeping no layer")
    collected = [plan_memory(readings, 10, 2**33, devices=d).collected_bytes for d in (1, 4, 99)]
    assert collected == [2**30, 2**28, 2**27]


def test_sums_over_examples():
    values = jnp.arange(12, dtype=jnp.int32).reshape(4, 3)
    total = sum_examples(lambda x, w: {"sum": jnp.where(w, x, 0)}, values, values[:, 0] > 2)
    assert total["sum"].tolist() == [3 + 6 + 9, 4 + 7 + 10, 5 + 8 + 11]
