"""Original and stylised images: against a literal oracle, the reference, and in any batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import golden

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.presets import Preset, annotated_pixels
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.stats import region_overlap
from jaxdissect.styles.style_study import study_style

KNOWN = vocabulary([("cat", "object"), ("dog", "object"), ("fur", "material")])
# Scopes add channels to the labels, which the second dissection must not take for labels.
PRESET = Preset("test", fraction=0.1, min_iou=0.1, scope=annotated_pixels)
GRID = (4, 3)
LAYERS = ("early", "late")


def eighths(rng, shape):
    """Numbers whose sums and products here are exact, so that any order gives the same bits."""
    return (rng.integers(-8, 9, shape) / 8).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    """`early` is twice as large as the label grid, `late` just as large."""
    rng = np.random.default_rng(0)

    def convolve(x, kernel, stride):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (stride,) * 2, "SAME", None, None, numbers)

    return StagedNetwork(
        {
            "early": lambda params, x: jax.nn.relu(convolve(x, params["early"], 1)),
            "late": lambda params, x: convolve(x, params["late"], 2),
        },
        {
            "early": jnp.asarray(eighths(rng, (3, 3, 3, 4))),
            "late": jnp.asarray(eighths(rng, (3, 3, 4, 6))),
        },
    )


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(1)
    image = eighths(rng, (13, 8, 6, 3))
    noise = eighths(rng, image.shape)
    return {
        "image": image,
        "stylised": np.where(rng.random(image.shape) < 0.08, noise, image),
        "labels": rng.integers(0, 4, (13, 8, 6, 2)).astype(np.int32),
    }


def study(network, examples, **options):
    options = {"layers": LAYERS, "preset": PRESET, "grid": GRID, "batch_size": 4} | options
    return study_style(network, Stored(examples), annotated(KNOWN), **options)


@pytest.fixture(scope="module")
def found(network, examples):
    return study(network, examples)


def on_grid(network, images, layer):
    """Pixels [N, H, W, U] by hand: the mean of each 2 x 2 cells of the early layer."""
    maps = network.activations(network.params, jnp.asarray(images), layers=(layer,))[layer]
    maps = np.asarray(maps)
    if layer == "early":
        maps = maps.reshape(len(maps), 4, 2, 3, 2, -1).mean((2, 4))
    return maps


@pytest.mark.parametrize("layer", LAYERS)
def test_counts_equal_the_oracle(network, examples, found, layer):
    active = []
    for key in ("image", "stylised"):
        pixels = on_grid(network, examples[key], layer).reshape(13 * 12, -1)
        rank = int(0.1 * len(pixels))
        active.append(pixels > np.sort(pixels, axis=0)[::-1][rank])
    counts = found.layers[layer].pixels
    np.testing.assert_array_equal(counts.both, (active[0] & active[1]).sum(0))
    np.testing.assert_array_equal(counts.first, active[0].sum(0))
    np.testing.assert_array_equal(counts.second, active[1].sum(0))
    assert counts.total == 13 * 12 and counts.both.any()
    assert (counts.both < counts.first).any()


def test_both_dissections_have_the_same_labels(network, examples, found):
    alone = dissect(
        network,
        Stored({"image": examples["stylised"], "labels": examples["labels"]}),
        annotated(KNOWN),
        layers=LAYERS,
        preset=PRESET,
        grid=GRID,
        batch_size=4,
    )
    for layer in LAYERS:
        here = found.layers[layer].stylised
        np.testing.assert_array_equal(here.thresholds, alone[layer].thresholds)
        np.testing.assert_array_equal(here.iou, alone[layer].iou)
        np.testing.assert_array_equal(here.top_examples, alone[layer].top_examples)


def test_units_are_divided(found):
    for layer in found.layers.values():
        assert layer.name == layer.original.name
        shape, texture = layer.shape_sensitive, layer.texture_sensitive
        interpretable = np.flatnonzero(layer.is_interpretable)
        np.testing.assert_array_equal(np.sort([*shape, *texture]), interpretable)
        assert (layer.iou[shape] > 0.1).all() and (layer.iou[texture] <= 0.1).all()
        assert (np.diff(layer.iou[shape]) <= 0).all() and (np.diff(layer.iou[texture]) >= 0).all()
        np.testing.assert_array_equal(layer.concept_iou[0], layer.original.best_iou)
        for unit, concept in enumerate(layer.original.best_concept):
            assert layer.concept_iou[1, unit] == layer.stylised.iou[concept, unit]
    assert any(len(layer.shape_sensitive) for layer in found.layers.values())


def test_equal_images_agree_wholly(network, examples):
    same = study(
        network, examples | {"stylised": examples["image"]}, min_style_iou=1.0, layers=("late",)
    )
    for layer in same.layers.values():
        np.testing.assert_array_equal(layer.iou, layer.pixels.first > 0)
        np.testing.assert_array_equal(*layer.concept_iou)
        assert not len(layer.shape_sensitive)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 13, "memory_budget": 8 * 13 * 12 * 5},  # for one of the layers
        {"mesh": 4, "memory_budget": 0, "layers": ("late",)},
    ],
)
def test_result_is_the_same(network, examples, found, options):
    if "mesh" in options:
        options = options | {"mesh": jax.make_mesh((4,), ("batch",))}
    again = study(network, examples, **options)
    for name, layer in again.layers.items():
        for a, b in zip(layer.pixels, found.layers[name].pixels, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(layer.stylised.iou, found.layers[name].stylised.iou)


def test_score_of_the_reference():
    """The golden activations stand in for a network; the grid is their own resolution."""
    arrays, _ = golden.load("shapebias_a")
    shown = {
        key: arrays[name].transpose(0, 2, 3, 1)
        for key, name in (("image", "original"), ("stylised", "stylized"))
    }
    labels = np.zeros((10, 12, 12, 1), np.int32)
    levels = ({"layer": arrays["level_original"]}, {"layer": arrays["level_stylized"]})
    layer = study_style(
        StagedNetwork({"layer": lambda params, x: x}, {}),
        Stored(shown | {"labels": labels}),
        annotated(KNOWN),
        layers=("layer",),
        grid=(12, 12),
        thresholds=levels,
    ).layers["layer"]
    counts = layer.pixels
    np.testing.assert_allclose(counts.both / counts.total, arrays["intersect"], atol=1e-7)
    np.testing.assert_allclose(region_overlap.reference_score(counts), arrays["score"], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"min_style_iou": 1.5}, r"`min_style_iou` \(=1.5\)"),
        ({"stylised": np.zeros((13, 8, 5, 3), np.float32)}, {}, "pairs of equal shape"),
        ({"stylised": None}, {}, "'stylised' None"),
        ({}, {"layers": ()}, "`layers`"),
    ],
)
def test_what_cannot_be_studied(network, examples, changes, options, message):
    given = {key: value for key, value in (examples | changes).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        study(network, given, **options)
