"""Passes: hostile data, every way to take them, and the same bits as sorting every pixel."""

import jax
import numpy as np
import pytest
from support.hazen import hazen_quantile

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.presets import PNAS2020, REFERENCE
from jaxdissect.dissection.run import Tuning, run_dissection
from jaxdissect.dissection.setup import dissection_setup
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.engine.meter import Meter
from jaxdissect.engine.resume import FoldOptions
from jaxdissect.networks.adapters.tapped_network import TappedNetwork
from jaxdissect.stats import quantile

GRID = (6, 6)
CONCEPTS = vocabulary([("cat", "object"), ("dog", "object"), ("fur", "material")])
NETWORK = TappedNetwork(lambda params, maps, tap: tap("maps", maps), ())


def hostile(number=60):
    """Activations as they are: every unit is bad in its own way."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((number, *GRID))
    brightness = np.sort(rng.random(number))[:, None, None]
    last = np.arange(number)[:, None, None] >= number - 2
    one = np.zeros_like(normal)
    one[number // 2, 2, 3] = 3e38
    units = [
        np.zeros_like(normal),
        np.full_like(normal, 0.3),
        np.where(normal > 2.0, 2.0, 1.0),
        one,
        np.maximum(normal, 0),
        np.maximum(normal - 2.5, 0),
        -np.abs(normal),
        brightness + 0 * normal,
        brightness + 0.1 * normal,
        np.where(last, 50 + normal, normal),  # the pilot is unlike the rest
        np.round(normal * 2) / 2,
        normal * 1e-38,
    ]
    return np.stack(units, axis=-1).astype(np.float32)


def run(maps, *, preset=PNAS2020, options=None, budget=0, tuning=None, thresholds=None):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (len(maps), *GRID, 2)).astype(np.int32)
    order = np.argsort(maps[:, 0, 0, 8]) if options is None else np.arange(len(maps))
    source = Stored({"maps": maps[order], "labels": labels[order]})
    setup = dissection_setup(
        NETWORK,
        source,
        annotated(CONCEPTS),
        layers="maps",
        preset=preset,
        grid=GRID,
        inputs=lambda batch: batch["maps"],
    )
    found = run_dissection(
        setup,
        options or FoldOptions(7),
        thresholds=thresholds,
        num_top_images=3,
        memory_budget=budget,
        tuning=tuning,
    )
    return found.dissection["maps"], labels


def expected(maps, labels, thresholds):
    """Count literally, in int64."""
    active = maps > thresholds
    intersection = np.zeros((len(CONCEPTS), maps.shape[-1]), np.int64)
    intersection[0] = active.sum(axis=(0, 1, 2))
    for concept in range(1, len(CONCEPTS)):
        shown = (labels == concept).any(axis=-1)
        intersection[concept] = (active & shown[..., None]).sum(axis=(0, 1, 2))
    return intersection


def flushed(values):
    return np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0), values)


def by_sorting(maps, fraction):
    rows = flushed(maps).reshape(-1, maps.shape[-1])
    return -np.sort(-rows, axis=0)[quantile.upper_rank(fraction, len(rows))]


WAYS = {
    "kept": {"budget": 2**30},
    "again": {"budget": 0},
    "a pilot of one image": {"tuning": Tuning(pilot=1)},
    "a pilot of one image, kept": {"budget": 2**30, "tuning": Tuning(enough=0)},
    "narrowed first": {"tuning": Tuning(enough=0)},
    "little room": {"tuning": Tuning(room=40)},
    "no room": {"tuning": Tuning(room=0)},
    "one image a batch": {"options": FoldOptions(1)},
    "one batch": {"options": FoldOptions(64)},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_equal_to_sorting(way):
    maps = hostile()
    found, labels = run(maps, **WAYS[way])
    np.testing.assert_array_equal(found.thresholds, by_sorting(maps, 0.01))
    counts = expected(flushed(maps), labels, found.thresholds)
    np.testing.assert_array_equal(found.counts.intersection, counts)
    np.testing.assert_array_equal(
        found.top_values, -np.sort(-maps.max(axis=(1, 2)).T, axis=1)[:, :3]
    )


@pytest.mark.parametrize("budget", [0, 2**30])
def test_interpolated_thresholds_are_hazens(budget):
    maps = hostile()
    found, _ = run(maps, preset=REFERENCE, budget=budget)
    rows = flushed(maps).reshape(-1, maps.shape[-1])
    fraction = REFERENCE.fraction
    np.testing.assert_allclose(found.thresholds, hazen_quantile(rows, 1 - fraction), rtol=1e-6)


@pytest.mark.parametrize("budget", [0, 2**30])
def test_given_thresholds_are_counted_as_they_are(budget):
    maps = hostile()
    given = np.full(maps.shape[-1], 0.5, np.float32)
    found, labels = run(maps, budget=budget, thresholds={"maps": given})
    np.testing.assert_array_equal(found.thresholds, given)
    np.testing.assert_array_equal(found.counts.intersection, expected(flushed(maps), labels, given))


def test_the_network_runs_twice_and_a_little_where_nothing_is_kept():
    maps = hostile(200)[..., 4:9]
    rng = np.random.default_rng(2)
    rng.shuffle(maps)
    passes = []

    def progress(description, done, total):
        if done == 0:
            passes.append((description, total))

    run(maps, options=FoldOptions(50, progress=progress), tuning=Tuning(enough=0))
    runs = sum(total for _, total in passes) / len(maps)
    assert passes[0][0] == "pilot"
    assert runs <= 2.1
    passes.clear()
    run(maps, options=FoldOptions(50, progress=progress))
    assert sum(total for _, total in passes) / len(maps) <= 1.1


@pytest.mark.slow
def test_interrupted_passes_resume_with_other_batches(tmp_path):
    maps = hostile()
    expected_found, _ = run(maps, options=FoldOptions(60))

    class Ended(Exception):
        pass

    found, number = None, 0
    while found is None:
        left = [2 + number]

        def progress(description, done, total, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Ended

        options = FoldOptions(5 + number % 7, None, progress, tmp_path, 1)
        try:
            found, _ = run(maps, options=options)
        except Ended:
            number += 1
    assert number > 2
    np.testing.assert_array_equal(found.thresholds, expected_found.thresholds)
    np.testing.assert_array_equal(found.counts.intersection, expected_found.counts.intersection)
    np.testing.assert_array_equal(found.top_examples, expected_found.top_examples)


@pytest.mark.slow
def test_devices_change_nothing():
    maps = hostile()
    alone, _ = run(maps, options=FoldOptions(7))
    for number in (2, 4):
        mesh = jax.make_mesh((number,), ("data",), devices=jax.devices()[:number])
        for budget in (0, 2**30):
            found, _ = run(maps, options=FoldOptions(7, mesh), budget=budget)
            np.testing.assert_array_equal(found.thresholds, alone.thresholds)
            np.testing.assert_array_equal(found.counts.intersection, alone.counts.intersection)
            np.testing.assert_array_equal(found.top_examples, alone.top_examples)


def test_passes_over_what_was_kept_are_metered():
    meter = Meter()
    run(hostile(), options=FoldOptions(7, progress=meter), budget=2**30)
    first, *others = meter.passes
    assert first.forward_passes == 1 and others
    assert {part.forward_passes for part in others} == {0.0}
    assert {part.examples for part in meter.passes} == {60}
    assert meter.summary().forward_passes == 1
