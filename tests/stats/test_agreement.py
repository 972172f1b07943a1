"""Agreement counts and scores against a literal oracle, the reference, and ways to split data."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.core import jaxprs_in_params
from support import golden
from support.hazen import hazen_quantile, hazen_rank

from jaxdissect.stats import agreement, scores


def random_case(seed, pixels=300, units=5, concepts=9, number=3):
    rng = np.random.default_rng(seed)
    active = rng.random((pixels, units)) < 0.2
    labels = rng.integers(0, concepts - 1, (pixels, number)).astype(np.int32)  # the last is absent
    labels[rng.random(labels.shape) < 0.4] = 0
    active[:, -1] = False  # a dead unit
    return active, labels, concepts


def oracle(active, labels, concepts):
    """Count by looking at one concept and one unit at a time."""
    present = np.stack([(labels == c).any(axis=1) for c in range(concepts)])
    present[0] = True
    intersection = np.array([[(p & a).sum() for a in active.T] for p in present])
    return agreement.AgreementCounts(intersection.astype(np.int64), present.sum(axis=1))


update_jitted = jax.jit(agreement.update)


def count(active, labels, concepts, weight=None, update: Callable[..., Any] = update_jitted):
    weight = np.ones(len(active), bool) if weight is None else weight
    state = agreement.init(concepts, active.shape[1])
    return update(state, jnp.asarray(active), jnp.asarray(labels), jnp.asarray(weight))


def assert_same(a, b):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 37, 200]), st.sampled_from([1, 2, 6]))
def test_oracle(seed, pixels, number):
    case = random_case(seed, pixels=pixels, number=number)
    assert_same(agreement.finalize(count(*case)), oracle(*case))


def test_all_countings_agree():
    active, labels, concepts = random_case(0, pixels=9000)
    unique = agreement.without_repeats(jnp.asarray(labels))
    unique = jnp.where(unique == 0, concepts, unique)
    expected = oracle(active, labels, concepts).intersection
    products = partial(agreement._count_by_products, concepts)
    for way in (
        partial(agreement._in_blocks, partial(agreement._count_by_rows, concepts), 1000),
        partial(agreement._in_blocks, products, 4096),
        partial(agreement._count_in_slots, concepts, None, products),
    ):
        np.testing.assert_array_equal(way(jnp.asarray(active), unique), expected)


@pytest.mark.parametrize("image_pixels", [None, 30, 300, 41])
@pytest.mark.parametrize("slots", [9, 5, 1])
def test_counting_in_slots(slots, image_pixels, monkeypatch):
    """Of five labels and "none" there are more than some of these slots."""
    monkeypatch.setattr(agreement, "_SLOTS", slots)
    monkeypatch.setattr(agreement, "_BLOCK_PIXELS", 70)  # and does not divide 300
    active, labels, _ = random_case(1)
    labels, concepts = np.where(labels > 5, 0, labels), 200
    unique = agreement.without_repeats(jnp.asarray(labels))
    unique = jnp.where(unique == 0, concepts, unique)

    def otherwise(active, labels):
        found = agreement._count_by_products(concepts, active, labels)
        return found if slots < 9 else found - 1  # nine are enough

    count_in_slots = partial(agreement._count_in_slots, concepts, image_pixels, otherwise)
    found = jax.jit(count_in_slots)(jnp.asarray(active), unique)
    np.testing.assert_array_equal(found, oracle(active, labels, concepts).intersection)


def test_many_concepts_take_little_room():
    """Where too many labels are in a block, products are made of few pixels at a time."""
    pixels, concepts = 2**18, 1000

    def on_an_accelerator(active, labels):
        def chosen(*arguments, default, **others):
            return default(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(agreement.lax, "platform_dependent", chosen)
            weight = jnp.ones(pixels, bool)
            return agreement.count(active, labels, weight, num_concepts=concepts)

    shapes = (
        jax.ShapeDtypeStruct((pixels, 2), bool),
        jax.ShapeDtypeStruct((pixels, 1), jnp.int32),
    )
    sizes = [
        int(np.prod(part.aval.shape))
        for equation in jax.make_jaxpr(on_an_accelerator)(*shapes).eqns
        if equation.primitive.name == "cond"
        for part in arrays_in(equation)
    ]
    assert 2**17 * concepts in sizes and max(sizes) == 2**17 * concepts


def arrays_in(equation):
    """All arrays that are made in an equation."""
    inside = [
        part
        for inner in jaxprs_in_params(equation.params)
        for each in inner.eqns
        for part in arrays_in(each)
    ]
    return [*equation.outvars, *inside]


def test_counts_beyond_16_bits():
    pixels = 70_000
    case = (np.ones((pixels, 2), bool), np.full((pixels, 1), 3, np.int32), 4)
    counts = agreement.finalize(count(*case))
    assert counts.intersection[3].tolist() == [pixels, pixels]
    assert counts.concept[3] == pixels


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 300), max_size=4), st.randoms())
def test_split_merge_order_padding(seed, cuts, shuffler):
    active, labels, concepts = random_case(seed)
    parts = list(zip(np.split(active, sorted(cuts)), np.split(labels, sorted(cuts)), strict=True))
    shuffler.shuffle(parts)
    total = agreement.init(concepts, active.shape[1])
    for part_active, part_labels in parts:
        missing = 303 - len(part_active)  # always the same shape, so that it compiles once
        padded = np.concatenate([part_active, np.ones((missing, 5), bool)])
        padded_labels = np.concatenate([part_labels, np.full((missing, 3), 2, np.int32)])
        weight = np.arange(len(padded)) < len(part_active)
        total = agreement.merge(total, count(padded, padded_labels, concepts, weight))
    assert_same(agreement.finalize(total), oracle(active, labels, concepts))


def test_repeated_labels_of_a_pixel_count_once():
    labels = np.array([[2, 2, 1], [0, 2, 0], [1, 1, 1]], np.int32)
    np.testing.assert_array_equal(
        agreement.without_repeats(jnp.asarray(labels)), [[2, 0, 1], [0, 2, 0], [1, 0, 0]]
    )


def test_jit_and_vmap_equal_eager():
    active, labels, concepts = random_case(3)
    eager = agreement.finalize(count(active, labels, concepts, update=agreement.update))
    jitted = count(active, labels, concepts)
    assert_same(agreement.finalize(jitted), eager)
    stacked = jax.vmap(
        lambda a: agreement.update(
            agreement.init(concepts, 5), a, jnp.asarray(labels), jnp.ones(len(labels), bool)
        )
    )(jnp.stack([jnp.asarray(active), ~jnp.asarray(active)]))
    first = jax.tree.map(lambda x: x[0], stacked)
    assert_same(agreement.finalize(first), eager)


def test_scores_by_hand():
    # 10 pixels; the unit is on at 4, the concept at 3, both at 2.
    counts = agreement.AgreementCounts(np.array([[4, 0], [2, 0]]), np.array([10, 3]))
    expected = {
        scores.iou: 2 / 5,
        scores.precision: 2 / 4,
        scores.recall: 2 / 3,
        scores.f1: 4 / 7,
        scores.matthews_correlation: (2 * 5 - 2 * 1) / np.sqrt(4 * 3 * 6 * 7),
    }
    for score, value in expected.items():
        result = score(counts)
        assert result[1, 0] == pytest.approx(value)
        assert result[0].tolist() == [0, 0]  # no pixel is labelled "none"
        assert result[1, 1] == 0  # the dead unit
    joint = np.array([2, 2, 1, 5]) / 10
    product = np.array([4 * 3, 4 * 7, 6 * 3, 6 * 7]) / 100
    information = (joint * np.log(joint / product)).sum()
    entropy = -(joint * np.log(joint)).sum()
    assert scores.mutual_information(counts)[1, 0] == pytest.approx(information)
    assert scores.information_quality_ratio(counts)[1, 0] == pytest.approx(information / entropy)
    assert scores.information_quality_ratio(counts)[1, 1] == 0


def test_scores_agree_on_a_perfect_detector():
    counts = agreement.AgreementCounts(np.array([[30], [30]]), np.array([100, 30]))
    for score in (scores.iou, scores.f1, scores.matthews_correlation):
        assert score(counts)[1, 0] == pytest.approx(1)
    assert scores.information_quality_ratio(counts)[1, 0] == pytest.approx(1)


@pytest.mark.parametrize(
    "name",
    ["iou_indicator_multilabel", "iou_indicator_ragged_batch", "iou_indicator_single_channel"],
)
def test_golden_iou_indicator(name):
    arrays, meta = golden.load(name)
    active = arrays["acts"].transpose(0, 2, 3, 1) > arrays["level"]
    labels = arrays["seg"].transpose(0, 2, 3, 1).astype(np.int32)
    active, labels = active.reshape(-1, active.shape[-1]), labels.reshape(-1, labels.shape[-1])
    counts = agreement.finalize(count(active, labels, meta["nlabels"]))
    rows = arrays["iou"].shape[0]
    for key, size, mean in zip(arrays["keys"], arrays["size"], arrays["mean"], strict=True):
        assert counts.concept[key] == size
        np.testing.assert_allclose(counts.intersection[key] / size, mean, atol=1e-6)
    ours = scores.iou(counts)[:rows]
    parity = scores.reference_iou(counts)[:rows]
    np.testing.assert_allclose(parity, arrays["iou"], atol=1e-6)
    np.testing.assert_allclose(ours[1:], np.nan_to_num(arrays["iou"][1:]), atol=1e-6)
    alive = ~np.isnan(arrays["best_iou"])
    np.testing.assert_array_equal(parity.argmax(axis=0)[alive], arrays["best_label"][alive])


@pytest.mark.parametrize("name", ["iou_quantile_exact", "iou_quantile_rare", "iou_quantile_kll"])
def test_golden_iou_quantile(name):
    """The older scores of the reference, from interpolated conditional quantiles."""
    arrays, meta = golden.load(name)
    samples = arrays["acts"].transpose(0, 2, 3, 1).reshape(-1, meta["units"])
    labels = arrays["seg"].transpose(0, 2, 3, 1)
    labels = labels.reshape(-1, labels.shape[-1])
    images = dict(zip(arrays["keys"], arrays["batchcount"], strict=True))
    tolerance = 0.02 if name.endswith("kll") else 1e-5
    for index, cutoff in enumerate(meta["cutoffs"]):
        level = hazen_quantile(samples, cutoff)
        for key in range(1, arrays["iou"].shape[1]):
            here = (labels == key).any(axis=1)
            truth = here.mean()
            if images.get(key, 0) < meta["min_batches"]:
                continue
            both = truth * (1 - hazen_rank(samples[here], level[None]))
            unit = 1 - cutoff
            cells = scores.ContingencyTable(
                both, unit - both, truth - both, 1 - unit - truth + both
            )
            for score, expected in (
                (scores.iou, "iou"),
                (scores.mutual_information, "mi"),
                (scores.information_quality_ratio, "iqr"),
            ):
                np.testing.assert_allclose(
                    score(cells)[0], arrays[expected][:, key, index], atol=tolerance
                )
            np.testing.assert_allclose(both[0], arrays["isect"][:, key, index], atol=tolerance)


def test_annotated_pixels_only():
    # Concepts 1, 2 of one category; pixels 4.. are not annotated at all.
    labels = np.array([[1], [1], [2], [2], [0], [0], [0], [0]], np.int32)
    active = np.array([1, 1, 1, 0, 1, 1, 1, 1], bool)[:, None]
    rows = np.concatenate([labels, np.where(labels > 0, 3, 0)], axis=1).astype(np.int32)
    counts = agreement.finalize(count(active, rows, 4))
    cells = scores.within(counts, np.array([3, 3, 3]))
    np.testing.assert_allclose(scores.iou(cells)[1:, 0], [2 / 3, 1 / 4])
    np.testing.assert_allclose(scores.iou(counts)[1:3, 0], [2 / 7, 1 / 8])
