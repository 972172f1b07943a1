"""Thresholds are compared with maps of the very program that they were found from.

Two programs that hold the same network may round differently. Here every program does: a network
that is another one whenever it is traced, and programs compiled with other options in every pass.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.arrays import resampling
from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.presets import Preset
from jaxdissect.dissection.run import dissect
from jaxdissect.dissection.unit_images import top_images
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.data.pairs import Paired
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.tapped_network import TappedNetwork
from jaxdissect.styles.style_study import study_style

CONCEPTS = vocabulary([("cat", "object"), ("dog", "object")])
TENTH = Preset("a tenth", fraction=0.1, min_iou=0.0)
UNITS, CONSTANT = 5, 4


def examples(number=9):
    rng = np.random.default_rng(0)
    return {
        "image": rng.random((number, 12, 10, 3)).astype(np.float32),
        "labels": rng.integers(0, 3, (number, 12, 10, 1)).astype(np.int32),
    }


def restless_network():
    """A network that is scaled by another factor whenever it is traced; its last unit is even."""
    traced = []

    def run(params, images, tap):
        traced.append(None)
        scale = 1 + len(traced) / 64
        x = images[:, ::2, ::2] @ params
        x = jnp.concatenate([x, jnp.full_like(x[..., :1], 0.3)], axis=-1)
        return tap("mixed", x * scale)

    weights = np.random.default_rng(1).standard_normal((3, UNITS - 1)).astype(np.float32)
    return TappedNetwork(run, jnp.asarray(weights))


def counts(result):
    layer = result["mixed"]
    return layer.thresholds, layer.counts.intersection, layer.top_values, layer.top_examples


def assert_same(a, b):
    for one, other in zip(counts(a), counts(b), strict=True):
        np.testing.assert_array_equal(one, other)


def run(network, memory_budget, progress=lambda *_: None):
    return dissect(
        network,
        Stored(examples()),
        annotated(CONCEPTS),
        layers=["mixed"],
        preset=TENTH,
        grid=(12, 10),
        batch_size=4,
        memory_budget=memory_budget,
        progress=progress,
    )


@pytest.mark.parametrize("memory_budget", [0, 2**30])
def test_all_passes_read_the_maps_of_one_program(memory_budget):
    network = restless_network()
    result = run(network, memory_budget)
    layer = result["mixed"]
    assert layer.counts.unit[CONSTANT] == 0
    # Without ties among random numbers, every other unit is active on a tenth of the pixels.
    assert (layer.counts.unit[:CONSTANT] == 9 * 120 // 10).all()


def test_what_is_kept_and_a_second_call_change_nothing():
    network = restless_network()
    first = run(network, 2**30)
    assert_same(run(network, 0), first)
    assert_same(run(network, 2**30), first)


def test_top_images_are_lit_by_the_maps_of_the_dissection():
    network = restless_network()
    result, source = run(network, 0), Stored(examples())
    (constant,) = top_images(result, network, source, units={"mixed": [CONSTANT]})["mixed"]
    assert not constant.active.any()
    layer = result["mixed"]
    (first,) = top_images(result, network, source, units={"mixed": [0]}, num_images=9)["mixed"]
    # Images are as large as the label grid, so that all pixels are those that were counted.
    assert first.active.sum() == layer.counts.unit[0]


def test_styles_are_compared_by_the_maps_of_their_dissections():
    network, arrays = restless_network(), examples()
    pairs = Paired(Stored(arrays), Stored({"image": arrays["image"][..., ::-1].copy()}))
    for memory_budget in (0, 2**30):
        study = study_style(
            network,
            pairs,
            annotated(CONCEPTS),
            layers=["mixed"],
            preset=TENTH,
            grid=(12, 10),
            batch_size=4,
            memory_budget=memory_budget,
        )
        pixels = study.layers["mixed"].pixels
        assert pixels.first[CONSTANT] == pixels.second[CONSTANT] == 0
        assert (pixels.first[:CONSTANT] == 108).all() and (pixels.second[:CONSTANT] == 108).all()


@pytest.fixture
def other_options():
    """Changes how programs are compiled, from the next compilation on."""
    before = jax.config.read("jax_disable_most_optimizations")

    def change(optimise):
        jax.config.update("jax_disable_most_optimizations", not optimise)

    yield change
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()


@pytest.mark.parametrize("memory_budget", [0, 2**30])
def test_passes_compiled_with_other_options_give_the_same_bits(memory_budget, other_options):
    def convolved(params, images, tap):
        kernel = jnp.tile(params[None, None], (3, 3, 1, 1))
        x = jax.lax.conv_general_dilated(
            images, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return tap("mixed", jnp.tanh(x * 0.7 + 0.1) * x + 0.3)

    weights = np.random.default_rng(2).standard_normal((3, UNITS)).astype(np.float32)
    network = TappedNetwork(convolved, jnp.asarray(weights))
    results = []
    for options in ([True, True], [True, False]):
        jax.clear_caches()
        passes: list[str] = []

        def progress(description, done, total, passes=passes, options=options):
            if done == 0:
                other_options(options[bool(passes)])
                passes.append(description)

        results.append(run(network, memory_budget, progress))
        assert len(passes) == 2
    assert_same(*results)
    assert (results[0]["mixed"].active_fraction <= 0.1).all()


@pytest.mark.parametrize("grid", [(16, 20), (13, 11), (3, 5)])
@pytest.mark.parametrize("border", [resampling.clamp_border, resampling.zero_border])
def test_resampling_rounds_alike_in_every_program(grid, border, other_options):
    maps = jnp.asarray(np.random.default_rng(3).standard_normal((2, 4, 5, 37)).astype(np.float32))

    def resample(maps):
        return resampling.resample(maps, grid, border=border)

    def fused(maps):  # resampled where it is used, several times over
        pixels = resample(maps * 1.0)
        return pixels, (pixels * 3 + 1).sum(), pixels.max(axis=(1, 2))

    expected = np.asarray(resample(maps))  # operation by operation
    wide = np.asarray(resampling.resample(maps.astype(jnp.bfloat16), grid, border=border))
    np.testing.assert_allclose(expected, wide.astype(np.float32), atol=0.1)
    for optimise in (True, False):
        other_options(optimise)
        jax.clear_caches()
        np.testing.assert_array_equal(jax.jit(resample)(maps), expected)
        np.testing.assert_array_equal(jax.jit(fused)(maps)[0], expected)
        one_by_one = jax.jit(lambda maps: jax.lax.map(resample, maps))(maps)
        np.testing.assert_array_equal(one_by_one, expected)
        np.testing.assert_array_equal(jax.jit(resample)(maps[..., 5:6]), expected[..., 5:6])
