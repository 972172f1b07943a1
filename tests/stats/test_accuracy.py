"""Accuracy of single classes: an oracle, the reference, and counts that merge in any order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import golden

from jaxdissect.stats import accuracy

N, S = 4, 3  # classes, conditions


def chances(predictions):
    """A probability for every prediction, a whole number of steps."""
    return ((np.arange(predictions.shape[1]) * 977 + predictions * 31) % 65537 / 65536).astype("f4")


RATES = {
    "precision": accuracy.precision,
    "recall": accuracy.recall,
    "true negative": accuracy.true_negative_rate,
    "accuracy": accuracy.single_class_accuracy,
    "balanced": accuracy.balanced_accuracy,
    "confidence": accuracy.confidence,
}


def oracle(predictions, labels):
    """Counts of image after image."""
    true = np.zeros(N, np.int64)
    predicted, correct, confidence = np.zeros((3, S, N), np.int64)
    for image, label in enumerate(labels):
        true[label] += 1
        for condition in range(S):
            found = predictions[condition, image]
            predicted[condition, found] += 1
            correct[condition, found] += found == label
            confidence[condition, label] += int(chances(predictions)[condition, image] * 65536)
    return accuracy.Accuracy(true, predicted, correct, confidence)


def counted(predictions, labels, weight=None, given=None):
    weight = np.ones(len(labels), bool) if weight is None else weight
    given = chances(np.asarray(predictions)) if given is None else given
    arrays = (predictions, given, labels, weight)
    return accuracy.update(accuracy.init(N, S), *map(jnp.asarray, arrays))


def as_int32(arrays):
    return [array.astype(np.int32) for array in arrays]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.int64
        np.testing.assert_array_equal(a, b)


def draws(number, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, N, (S, number)).astype("i4"), random.integers(0, N, number)


def test_counts_equal_the_oracle():
    predictions, labels = draws(200)
    assert_same(
        accuracy.finalize(counted(predictions, labels.astype("i4"))), oracle(predictions, labels)
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_counts_do_not_depend_on_order_batches_or_padding(seed, cuts):
    random = np.random.default_rng(seed)
    predictions, labels = draws(12, seed)
    order = random.permutation(12)
    whole = None
    places = sorted({0, 12, *cuts})
    for first, last in zip(places, places[1:], strict=False):
        chosen = order[first:last]
        padded = np.concatenate([chosen, random.integers(0, 12, 12 - len(chosen))])
        weight = np.arange(12) < len(chosen)
        given = chances(predictions)[:, padded]
        part = counted(predictions[:, padded], labels[padded].astype("i4"), weight, given)
        whole = part if whole is None else accuracy.merge(whole, part)
    assert whole is not None
    assert_same(accuracy.finalize(whole), oracle(predictions, labels))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["i1", "i2", "i4", "u1", "u4"]))
def test_classes_beyond_the_range_count_for_none(seed, dtype):
    random = np.random.default_rng(seed)
    lowest = -2 if dtype.startswith("i") else 0
    predictions = random.integers(lowest, N + 3, (S, 12)).astype(dtype)
    labels = random.integers(lowest, N + 3, 12).astype(dtype)
    given = chances(predictions)
    found = accuracy.finalize(counted(predictions, labels, given=given))
    known = (labels >= 0) & (labels < N)
    for label in range(N):
        said, is_it = (predictions == label) & known, labels == label
        assert found.true[label] == is_it.sum()
        np.testing.assert_array_equal(found.predicted[:, label], said.sum(axis=1))
        np.testing.assert_array_equal(found.correct[:, label], (said & is_it).sum(axis=1))
        steps = (given[:, is_it] * accuracy.STEPS).sum(axis=1)
        np.testing.assert_array_equal(found.confidence[:, label], steps)
    for rate in RATES.values():
        assert 0 <= rate(found).min() <= rate(found).max() <= 1


@pytest.mark.parametrize(("dtype", "num_classes"), [("i1", 128), ("u1", 256), ("u1", 300)])
def test_narrow_labels_may_be_fewer_than_the_classes(dtype, num_classes):
    labels = jnp.array([3, 3, 127, 3], dtype)
    weight = jnp.array([True, True, True, False])
    given = jnp.full((1, 4), 0.5)
    state = accuracy.init(num_classes, 1)
    found = accuracy.finalize(accuracy.update(state, labels[None], given, labels, weight))
    expected = np.bincount([3, 3, 127], minlength=num_classes)
    for counts in (found.true, found.predicted[0], found.correct[0]):
        np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(found.confidence[0], expected * accuracy.STEPS // 2)


def test_large_batches_are_summed_exactly():
    number = 2**17
    labels = np.zeros(number, np.int32)
    state = accuracy.init(N, 1)
    for _ in range(3):
        certain = jnp.ones((1, number))
        state = accuracy.update(
            state, jnp.asarray(labels[None]), certain, jnp.asarray(labels), jnp.ones(number, bool)
        )
    found = accuracy.finalize(state)
    assert found.confidence.tolist() == [[3 * number * accuracy.STEPS, 0, 0, 0]]
    assert found.correct.tolist() == [[3 * number, 0, 0, 0]]


def test_merging_is_a_commutative_sum():
    a, b, c = (counted(*as_int32(draws(9, seed))) for seed in range(3))
    total = accuracy.finalize(accuracy.merge(accuracy.merge(a, b), c))
    assert_same(accuracy.finalize(accuracy.merge(c, accuracy.merge(b, a))), total)
    assert_same(accuracy.finalize(accuracy.merge(accuracy.init(N, S), a)), accuracy.finalize(a))


def test_counts_do_not_depend_on_compilation_or_devices():
    predictions, labels = as_int32(draws(16))
    arrays = predictions, chances(predictions), labels, np.arange(16) < 13
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = [
        jax.device_put(array, jax.sharding.NamedSharding(mesh, jax.P(*[None] * by, "data")))
        for array, by in zip(arrays, (1, 1, 0, 0), strict=True)
    ]
    expected = accuracy.finalize(accuracy.update(accuracy.init(N, S), *map(jnp.asarray, arrays)))
    for batch in (arrays, spread):
        state = jax.jit(accuracy.update, donate_argnums=0)(accuracy.init(N, S), *batch)
        assert_same(accuracy.finalize(state), expected)


@pytest.mark.parametrize("name", ["pra_a", "pra_b"])
@pytest.mark.parametrize("part", ["baseline", "sample"])
def test_rates_are_those_of_the_reference(name, part):
    arrays, meta = golden.load(name)
    images = slice(meta["sample_size"] if part == "sample" else None)
    labels = arrays["labels"][images].astype(np.int32)
    predictions = arrays["scores"][images].argmax(-1)[None].astype(np.int32)
    state = accuracy.init(meta["classes"], 1)
    given = chances(predictions)
    weight = np.ones(len(labels), bool)
    state = accuracy.update(state, *map(jnp.asarray, (predictions, given, labels, weight)))
    counts = accuracy.finalize(state)
    absent = counts.true == 0
    assert absent.nonzero()[0].tolist() == meta["absent"]
    for kind in ("precision", "recall", "accuracy", "balanced"):
        expected, found = arrays[f"{kind}_{part}"], RATES[kind](counts)[0]
        known = ~np.isnan(expected)
        np.testing.assert_allclose(found[known], expected[known], rtol=1e-6)
        if kind == "balanced":
            # Half of the true-negative rate, which is all that is right about an absent class.
            np.testing.assert_array_equal(~known, absent)
            halves = arrays[f"accuracy_{part}"][absent] / 2
            np.testing.assert_allclose(found[absent], halves, rtol=1e-6)
        else:
            np.testing.assert_array_equal(found[~known], 0)


def test_counts_of_one_condition_need_no_axis():
    counts = oracle(*draws(30))
    one = accuracy.Accuracy(counts.true, *(count[1] for count in counts[1:]))
    for rate in (*RATES.values(), accuracy.overall_accuracy):
        found = rate(one)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, rate(counts)[1])


def test_rates_are_those_of_the_definition():
    predictions, labels = draws(50, seed=3)
    labels[labels == 2] = 1  # no image of class 2
    predictions[1][predictions[1] == 3] = 0  # never predicted under condition 1
    counts = oracle(predictions, labels)
    for condition in range(S):
        for label in range(N):
            is_it, said = labels == label, predictions[condition] == label
            recall = said[is_it].mean() if is_it.any() else 0.0
            negative = (~said)[~is_it].mean()
            expected = {
                accuracy.precision: is_it[said].mean() if said.any() else 0.0,
                accuracy.recall: recall,
                accuracy.true_negative_rate: negative,
                accuracy.single_class_accuracy: (is_it == said).mean(),
                accuracy.balanced_accuracy: (recall + negative) / 2,
                accuracy.confidence: chances(predictions).astype("f8")[condition][is_it].mean()
                if is_it.any()
                else 0.0,
            }
            for rate, value in expected.items():
                assert rate(counts)[condition, label] == pytest.approx(value, abs=1e-12)
        right = (predictions[condition] == labels).mean()
        assert accuracy.overall_accuracy(counts)[condition] == pytest.approx(right)


def test_rates_of_a_single_image():
    counts = oracle(np.full((S, 1), 2), np.array([2]))
    for name, rate in RATES.items():
        everywhere_else = {"accuracy": 1, "balanced": 0.5, "true negative": 1}.get(name, 0)
        expected = np.full((S, N), everywhere_else, np.float64)
        # No image is of another class: nothing to be right about.
        expected[:, 2] = {"balanced": 0.5, "true negative": 0}.get(name, 1)
        if name != "confidence":
            np.testing.assert_array_equal(rate(counts), expected)
    np.testing.assert_array_equal(accuracy.overall_accuracy(counts), np.ones(S))


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0)])
def test_sizes_must_be_positive(sizes):
    with pytest.raises(ValueError, match="must be at least 1"):
        accuracy.init(*sizes)
