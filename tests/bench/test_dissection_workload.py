"""Whole dissections as workloads: what is dissected, and how the answer is checked."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdissect.bench.work_counting import count_work
from jaxdissect.bench.workloads import dissection, trunk
from jaxdissect.bench.workloads.dissection import DissectionSizes
from jaxdissect.networks.network import as_network

TINY = DissectionSizes(
    images=5,
    batch_size=2,
    image_size=32,
    grid=8,
    width=2,
    concepts=12,
    channels=2,
    labels_per_image=6,
)


def run_of(prepared):
    assert prepared.run is not None
    return prepared.run


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return random.integers(0, 256, (2, 32, 32, 3)).astype(np.float32) / 255


def maps_of(network, images, precision=None):
    with jax.default_matmul_precision(precision):
        return jax.jit(lambda params, x: network.activations(params, x, layers=trunk.LAYERS))(
            network.params, images
        )


@pytest.mark.slow
def test_activations_are_small_whole_numbers_that_vary(images):
    found = maps_of(as_network(trunk.Trunk(width=4)), images)
    exact = maps_of(as_network(trunk.Trunk(width=4, convolve=trunk.xla_conv2d)), images, "highest")
    assert len(found) == 13
    for name, maps in found.items():
        values = np.asarray(maps)
        assert np.array_equal(values, np.rint(values)), name
        assert 3 < values.max() < 1024, name
        assert np.array_equal(values, exact[name]), name


def test_convolutions_see_no_more_than_bfloat16_holds():
    """Each adds up four numbers: two in a row of at most 15 give at most 240."""
    for block, depth in enumerate(trunk.DEPTHS):
        for index in range(depth):
            kernel = trunk.whole_kernel(np.random.default_rng((block, index)), 6, 40)
            assert np.maximum(kernel, 0).sum(axis=(0, 1, 2)).max() <= 4
            assert np.maximum(-kernel, 0).sum(axis=(0, 1, 2)).max() <= 4
    assert 15 * 4**2 <= 256


@pytest.mark.parametrize("layers", ("conv5_3", "all"))
def test_forward_work_is_that_of_the_network(layers):
    sizes = dataclasses.replace(TINY, images=4, batch_size=4, layers=layers)
    network = as_network(trunk.Trunk(width=2))
    image = np.zeros((4, 32, 32, 3), np.float32)
    counted = count_work(
        lambda params, x: network.activations(params, x, layers=trunk.LAYERS),
        network.params,
        image,
    )
    assert dissection.least_work(sizes).products == pytest.approx(counted.products, rel=0.01)
    twice = dissection.least_work(dataclasses.replace(sizes, kept=False))
    assert twice.products == pytest.approx(2 * counted.products, rel=0.01)


def test_answers_are_right_and_changed_ones_are_not():
    prepared = dissection.prepare(TINY)
    answer = run_of(prepared)()
    gate = prepared.check(answer)
    assert gate.passed and gate.fingerprint and "whole numbers of exact" in gate.against
    assert prepared.notes["forward passes per image"] == 1
    ((name, layer),) = answer.items()
    for field, place in (("shared", (1, 0)), ("concept", 1), ("thresholds", 0)):
        changed = getattr(layer, field).copy()
        changed[place] += 1
        assert not prepared.check({name: layer._replace(**{field: changed})}).passed


@pytest.mark.slow
def test_answers_are_the_same_whatever_is_kept():
    prints = set()
    for kept in (True, False):
        prepared = dissection.prepare(dataclasses.replace(TINY, width=4, kept=kept))
        answer = run_of(prepared)()
        gate = prepared.check(answer)
        assert gate.passed, gate
        assert ("all units" in gate.against) == (not kept)
        prints.add(gate.fingerprint)
        notes = prepared.notes
        assert (notes["forward passes per image"] == 1) == kept
        assert notes["passes"] == len(notes["seconds by pass"])
    assert len(prints) == 1 and prints != {""}
    # A unit that NumPy does not check, of which only the other way of dissecting tells.
    ((name, layer),) = answer.items()
    for field, place in (("shared", (0, 1)), ("thresholds", 2)):
        changed = getattr(layer, field).copy()
        changed[place] += 1
        assert not prepared.check({name: layer._replace(**{field: changed})}).passed


@pytest.mark.slow
def test_all_layers_from_files():
    prepared = dissection.prepare(
        dataclasses.replace(TINY, layers="all", input="files", image_size=32)
    )
    gate = prepared.check(run_of(prepared)())
    assert gate.passed and gate.fingerprint and "Pillow" in gate.against
    assert prepared.notes["bytes of a file"] > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("options", ({"weights": "normal"}, {"precision": "bfloat16"}))
def test_what_differs_from_device_to_device_has_no_fingerprint(options):
    prepared = dissection.prepare(dataclasses.replace(TINY, **options))
    gate = prepared.check(run_of(prepared)())
    assert gate.passed and not gate.fingerprint


@pytest.mark.parametrize(
    "options, message",
    [
        ({"images": 0}, r"`images` \(=0\)"),
        ({"image_size": 40}, "multiple of 16"),
        ({"concepts": 1}, r"`concepts` \(=1\)"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DissectionSizes(**options)
