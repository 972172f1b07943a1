"""The search between passes, on adversarial data: against sorting, whatever pilot and room.

What the devices count in a pass is simulated with NumPy, so that nothing is compiled.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.arrays.resampling import clamp_border, pixel_centers
from jaxdissect.dissection import layer_counts
from jaxdissect.dissection.layer_search import LayerFound, LayerSearch
from jaxdissect.dissection.pilot import Chosen, pilot_examples
from jaxdissect.dissection.presets import PNAS2020, REFERENCE, Preset
from jaxdissect.engine import device_states
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.label_grid import LayerOnGrid
from jaxdissect.engine.processes import Placement
from jaxdissect.stats import int64_counter, quantile
from jaxdissect.stats.agreement import AgreementCounts

IMAGES, SIDE, ROWS = 30, 8, 4
PIXELS = SIDE * SIDE
SPREAD = 2**23


@functools.cache
def adversarial():
    """Maps [N, h, w, U] of whole numbers, and labels [N, h, w, 2]."""
    rng = np.random.default_rng(0)
    number = IMAGES * PIXELS
    value = rng.integers(-500, 500, number)
    image = np.arange(number) // PIXELS
    units = [
        value,
        np.maximum(value, 0),
        np.maximum(value - 494, 0),  # zero almost everywhere
        np.zeros(number),
        np.full(number, 3),
        rng.integers(0, 2, number),  # two values
        np.where(rng.random(number) < 0.0099, 1, 0),
        np.where(rng.random(number) < 0.0101, 1, 0),
        np.where(np.arange(number) == 77, 2**20, value),  # one huge value
        np.sort(value),  # ever brighter images
        -np.sort(-value),
        np.where(image == 0, 1000 + value, value),  # the first image is unlike the rest
        np.where(image == 1, 0, 5000 + value),  # and the image of a pilot of one
        np.clip(value, 0, 6),
        rng.permutation(number),
        -rng.permutation(number),
        np.where(rng.random(number) < 0.5, -SPREAD, SPREAD),
        np.where(image % 7 == 3, rng.permutation(number), -5),
    ]
    maps = np.stack(units, axis=-1).astype(np.float32).reshape(IMAGES, SIDE, SIDE, -1)
    labels = rng.integers(0, ROWS, (IMAGES, SIDE, SIDE, 2)).astype(np.int32)
    labels[..., 1] = np.where(labels[..., 0] == labels[..., 1], 0, labels[..., 1])
    return maps, labels


def expected(maps, labels, preset):
    """Thresholds by sorting, and pixels above them with each label; row 0 counts all."""
    samples = maps.reshape(-1, maps.shape[-1])
    labels = labels.reshape(len(samples), -1)
    ordered = -np.sort(-samples, axis=0)
    if preset.interpolated:
        first, last, share = quantile.hazen_ranks(1 - preset.fraction, len(samples))
        ends = ordered[[first, last]].astype(np.float64)
        thresholds = (ends[0] * (1 - share) + ends[1] * share).astype(np.float32)
    else:
        thresholds = ordered[quantile.upper_rank(preset.fraction, len(samples))]
    active = samples > thresholds
    has = [(labels == row).any(axis=1) for row in range(1, ROWS)]
    return thresholds, np.stack([active.sum(axis=0), *(active[there].sum(axis=0) for there in has)])


def simulate(samples, labels, work, zeros=0):
    """Do what a pass counts on the devices; `zeros` pixels without labels are 0 everywhere."""
    samples = samples[:, work.units] if work.units is not None else samples
    above = None
    if work.candidates is not None:
        chosen = samples if work.chosen is None else samples[:, work.chosen]
        above = (chosen[None] > work.candidates[:, None]).sum(axis=1)
        above = above + zeros * (0 > work.candidates)
    if not work.collects:
        return LayerFound(above, None, None, None, None, None, None, None, True)
    active = samples > work.high
    has = [(labels == row).any(axis=1) for row in range(1, ROWS)]
    shared = [active.sum(axis=0) + zeros * (0 > work.high)]
    shared += [active[there].sum(axis=0) for there in has]
    concept = np.array([len(samples) + zeros, *(there.sum() for there in has)])
    inside = (samples > work.low) & (samples <= work.high) & (work.low != work.high)
    rows, places = np.nonzero(inside)
    complete = len(rows) <= work.capacity
    rows, places = rows[: work.capacity], places[: work.capacity]
    assert not (zeros and ((work.low < 0) & (0 <= work.high) & (work.low < work.high)).any())
    return LayerFound(
        above,
        AgreementCounts(np.stack(shared), concept),
        active.sum(axis=0) + zeros * (0 > work.high),
        (samples > work.low).sum(axis=0) + zeros * (0 > work.low),
        (samples >= work.low).sum(axis=0) + zeros * (0 >= work.low),
        samples[rows, places],
        places,
        labels[rows],
        complete,
    )


def search(maps, labels, preset, pilot, *, room, enough, zeros=0):
    """Search with passes that are simulated; return the result and the number of passes."""
    layer = LayerOnGrid((SIDE, SIDE), (SIDE, SIDE), maps.shape[-1], pixel_centers, clamp_border)
    samples = maps.reshape(-1, maps.shape[-1])
    labels = labels.reshape(len(samples), -1)
    found = LayerSearch(layer, len(samples) + zeros, preset)
    found.learn_sample(maps[pilot].reshape(len(pilot), -1, maps.shape[-1]), 16)
    passes = 0
    while not found.is_done:
        passes += 1
        assert passes < 60
        work = found.work(room, enough=enough, num_candidates=16, spare=passes % 2 == 1)
        found.learn(work, simulate(samples, labels, work, zeros))
    return *found.result(), passes


PRESETS = [PNAS2020, REFERENCE, Preset("none", 0.0, 0.04), Preset("half", 0.5, 0.04)]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
@pytest.mark.parametrize("pilot", [[1], [0, 7, 20]], ids=len)
def test_any_pilot_and_any_room_give_what_sorting_gives(preset, pilot):
    maps, labels = adversarial()
    thresholds, shared = expected(maps, labels, preset)
    for room, enough in ((10**9, 10**9), (10**9, 0), (30, 0)):
        found, counts, _ = search(maps, labels, preset, list(pilot), room=room, enough=enough)
        np.testing.assert_array_equal(found, thresholds)
        np.testing.assert_array_equal(counts.intersection, shared)
        assert counts.total == IMAGES * PIXELS


def test_one_pass_where_all_fits_and_two_where_it_does_not():
    rng = np.random.default_rng(1)
    offsets = rng.standard_normal((IMAGES, 1, 1, 20)) / 2  # pixels of an image are alike
    maps = rng.standard_normal((IMAGES, SIDE, SIDE, 20)) + offsets
    maps = np.concatenate([maps, np.maximum(maps - 3, 0)], axis=-1).astype(np.float32)
    labels = adversarial()[1]
    pilot = list(range(0, IMAGES, 2))
    *_, passes = search(maps, labels, PNAS2020, pilot, room=10**9, enough=10**9)
    assert passes == 1
    *_, passes = search(maps, labels, PNAS2020, pilot, room=10**9, enough=0)
    assert passes == 2


@pytest.mark.parametrize("zeros", [2**31 + 5, 2**33 + 5])
def test_more_pixels_than_32_bits_count(zeros):
    maps, labels = adversarial()
    samples = maps.reshape(-1, maps.shape[-1])
    found, counts, _ = search(maps, labels, PNAS2020, [0, 1, 2], room=1000, enough=0, zeros=zeros)
    rank = quantile.upper_rank(0.01, len(samples) + zeros)
    least = np.minimum(samples.max(axis=0), 0)
    # Far fewer pixels than 1% are not zero.
    assert rank > len(samples)
    np.testing.assert_array_equal(found, np.zeros_like(least))
    np.testing.assert_array_equal(counts.unit, (samples > 0).sum(axis=0))
    assert counts.total == len(samples) + zeros


@pytest.mark.slow
@pytest.mark.parametrize("first", [2**31 - 3, 2**33 - 3])
def test_counters_of_devices_carry(first):
    layer = LayerOnGrid((2, 2), (2, 2), 1, pixel_centers, clamp_border)
    found = LayerSearch(layer, first + 8, Preset("half", 0.5, 0.04))
    found.learn_sample(np.arange(8, dtype=np.float32).reshape(2, 4, 1), 8)
    work = found.work(100, enough=10**18, num_candidates=8, spare=True)
    if not work.collects:
        work = work._replace(
            low=np.array([6], np.float32), high=np.array([9], np.float32), capacity=8
        )
    state = layer_counts.init(work, num_rows=2, num_labels=1, label_type=np.int16)

    def much(counter):
        high, low = divmod(first, 2**32)
        shape = counter.low.shape
        return int64_counter.Int64Counter(
            jnp.full(shape, high, jnp.uint32), jnp.full(shape, low, jnp.uint32)
        )

    shared = state.shared
    assert shared is not None and state.collected is not None
    state = layer_counts.LayerState(
        None if state.above is None else much(state.above),
        shared._replace(intersection=much(shared.intersection), concept=much(shared.concept)),
        state.collected._replace(at_least_low=much(state.collected.at_least_low)),
    )
    counted = layer_counts.count(
        {"layer": device_states.spread(state, state, None)},
        {"layer": layer_counts.columns_of(work)},
        {"layer": jnp.full((2, 2, 2, 1), 2.0**30)},
        jnp.ones((2, 2, 2, 1), jnp.int16),
        jnp.array([True, True]),
        layers=(("layer", layer),),
        kept=(),
        num_rows=2,
        mesh=None,
    )["layer"]
    counts = layer_counts.finalize(counted, None)
    assert counts.shared is not None and counts.at_least_low is not None
    np.testing.assert_array_equal(counts.shared.intersection, first + 8)
    np.testing.assert_array_equal(counts.shared.concept, first + 8)
    np.testing.assert_array_equal(counts.at_least_low, first + 8)
    if counts.above is not None:
        np.testing.assert_array_equal(counts.above, first + 8)


@pytest.mark.parametrize(("capacity", "complete"), [(16, True), (15, False)])
def test_several_devices_collect_no_more_than_one(capacity, complete):
    """Four devices have room for four times as much, which a run that resumes may not have."""
    mesh = jax.make_mesh((4,), ("data",))
    layer = LayerOnGrid((2, 2), (2, 2), 1, pixel_centers, clamp_border)
    search = LayerSearch(layer, 16, Preset("half", 0.5, 0.04))
    search.learn_sample(np.arange(16, dtype=np.float32).reshape(4, 4, 1), 8)
    work = search.work(16, enough=16, num_candidates=8, spare=True)
    work = work._replace(
        low=np.array([0.5], np.float32), high=np.array([9], np.float32), capacity=capacity
    )
    state = layer_counts.init(work, num_rows=2, num_labels=1, label_type=np.int16)
    counted = layer_counts.count(
        {"layer": device_states.spread(state, state, mesh)},
        {"layer": layer_counts.columns_of(work)},
        {"layer": jnp.ones((4, 2, 2, 1))},
        jnp.ones((4, 2, 2, 1), jnp.int16),
        jnp.ones(4, bool),
        layers=(("layer", layer),),
        kept=(),
        num_rows=2,
        mesh=Placement(mesh).mesh,
    )["layer"]
    found = layer_counts.finalize(counted, mesh)
    assert found.complete is complete
    assert found.values is not None and len(found.values) == 16


def test_the_pilot_is_spread_over_the_data():
    for total in (1, 9, 60, 320, 10_000, 1_000_000):
        examples = pilot_examples(total)
        assert len(np.unique(examples)) == len(examples) <= max(1, total // 10, 1024)
        assert (
            1 <= len(examples) <= max(1, total // 10) and 0 <= examples[0] <= examples[-1] < total
        )
        assert np.ptp(np.diff(examples, prepend=-1)) <= total / len(examples) + 1
    chosen = Chosen(Stored({"image": np.arange(10)}), np.array([3, 5]))
    assert len(chosen) == 2 and chosen[1]["image"] == 5
