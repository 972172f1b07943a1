"""The network whose answers are the same on every device, and its dissection in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.bench.studies.dissecting import Dissecting, Timed, all_rounds, answer_of, same
from jaxdissect.bench.studies.integers import Drawn, Integers, dissect_in_numpy, integer_network
from jaxdissect.engine.devices import data_mesh

SMALL = Integers(images=6, units=5, layers=2, concepts=9, channels=2, side=16, hidden=7)


@pytest.fixture(scope="module")
def dissected():
    work = Dissecting(SMALL, batch_size=4)
    return work, work()


def test_activations_are_bytes_in_every_precision_of_products():
    source = Drawn(SMALL)
    images = jnp.asarray(np.asarray(source.images[:2]))
    network = integer_network(SMALL)
    found = []
    for precision in ("highest", "bfloat16"):
        with jax.default_matmul_precision(precision):
            run = jax.jit(lambda params, x: network.apply(params, x, layers=SMALL.layer_names)[1])
            found.append(jax.tree.map(np.asarray, run(network.params, images)))
    for name in SMALL.layer_names:
        exact, other = (maps[name] for maps in found)
        np.testing.assert_array_equal(exact, other)
        assert set(np.unique(exact)) <= set(range(256))
        assert len(np.unique(exact)) > 30, "units that say nothing would test nothing"


def test_its_dissection_is_that_of_numpy(dissected):
    work, found = dissected
    gate = work.check(found)
    assert gate.passed and gate.fingerprint


def test_a_wrong_count_or_threshold_is_found(dissected):
    work, found = dissected
    layer = found.layers["layer2"]
    counts = layer.counts.intersection.copy()
    counts[3, 1] += 1
    wrong = dataclasses.replace(layer, counts=layer.counts._replace(intersection=counts))
    moved = dataclasses.replace(layer, thresholds=layer.thresholds + np.float32(1 / 64))
    for other in (wrong, moved):
        layers = {**found.layers, "layer2": other}
        gate = work.check(dataclasses.replace(found, layers=layers))
        assert not gate.passed and gate.fingerprint != work.check(found).fingerprint


def test_thresholds_that_are_not_exact_are_refused(dissected):
    _, found = dissected
    layer = found.layers["layer1"]
    inexact = dataclasses.replace(layer, thresholds=layer.thresholds + np.float32(1e-3))
    with pytest.raises(ValueError, match="no multiples of 1/64"):
        answer_of(dataclasses.replace(found, layers={"layer1": inexact}))


def test_the_fingerprint_is_the_same_on_several_devices_with_nothing_kept(dissected):
    work, found = dissected
    other = Dissecting(SMALL, batch_size=4, keeps=False, mesh=data_mesh(2))
    assert other.timed().hash == work.check(found).fingerprint


def test_larger_networks_have_the_smaller_ones_in_them():
    few = dissect_in_numpy(SMALL, Drawn(SMALL), 0, 5, fraction=0.01)
    larger = dataclasses.replace(SMALL, units=8, layers=3)
    more = dissect_in_numpy(larger, Drawn(larger), 0, 5, fraction=0.01)
    for name, array in few.items():
        np.testing.assert_array_equal(array, more[name])
    images = Drawn(dataclasses.replace(SMALL, images=9)).images.values[:6]
    np.testing.assert_array_equal(images, Drawn(SMALL).images.values)


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"units": 0}, "`units` (=0) must be at least 1"),
        ({"concepts": 1}, "`concepts` (=1) must be at least 2"),
        ({"side": 14}, "`side` (=14) must be a multiple of 4"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes, words):
    with pytest.raises(ValueError) as refused:
        Integers(**sizes)
    assert words in str(refused.value)


def test_other_hashes_fail():
    assert same({"1 device": "a", "2 devices": "a"}, against="each other").fingerprint == "a"
    failed = same({"1 device": "a", "2 devices": "b"}, against="each other")
    assert not failed.passed and failed.fingerprint == ""
    assert all_rounds({1: [Timed(0.1, "a"), Timed(0.2, "a")], 2: [Timed(0.1, "b")]}).passed
    assert not all_rounds({1: [Timed(0.1, "a"), Timed(0.2, "b")]}).passed
