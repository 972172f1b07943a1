"""AUROC and margins: an oracle over all pairs, merging, weights, and classes without images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdissect.stats import auroc
from jaxdissect.stats.accuracy import STEPS

N, S = 4, 2  # classes, conditions


def drawn(number, seed=0, scale=3.0):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(S, number, N)).astype("f4") * np.float32(scale)
    labels = random.integers(0, N, number).astype("i4")
    scores[:, np.arange(number), labels] += np.float32(1.5)
    return scores, labels


measured = jax.jit(jax.vmap(auroc.measure, (0, None)))
updated = jax.jit(auroc.update)


def counted(scores, labels, weight=None):
    weight = np.ones(len(labels), bool) if weight is None else weight
    return updated(auroc.init(N, S), *measured(scores, labels), labels, weight)


def probabilities(scores):
    powers = np.exp(scores.astype("f8") - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def exact(scores, labels):
    """AUROC of every class by all pairs, from log-odds in float64."""
    scores = scores.astype("f8")
    found = []
    for c in range(scores.shape[1]):
        odds = scores[:, c] - np.logaddexp.reduce(np.delete(scores, c, axis=1), axis=1)
        own, others = odds[labels == c], odds[labels != c]
        found.append((own[:, None] > others).mean() + (own[:, None] == others).mean() / 2)
    return np.array(found)


SCORES = {
    "as they are": lambda scores: scores,
    "confident": lambda scores: scores * 100,
    "very confident": lambda scores: scores * 1e4,
    "hardly different": lambda scores: scores / 1000,
    "a class that is never chosen": lambda scores: scores - 40 * (np.arange(N) == 1),
    "a class that is always chosen": lambda scores: scores + 40 * (np.arange(N) == 2),
    "one image of other size": lambda s: s * np.where(np.arange(s.shape[1]) == 7, 300, 1)[:, None],
}


@pytest.mark.parametrize("kind", SCORES)
def test_auroc_is_the_share_of_pairs_in_order(kind):
    scores, labels = drawn(2000, scale=1.0)
    scores = SCORES[kind](scores).astype("f4")
    found = auroc.auroc(auroc.finalize(counted(scores, labels)))
    for s in range(S):
        np.testing.assert_allclose(found[s], exact(scores[s], labels), atol=1e-3)


def test_log_odds_do_not_saturate():
    scores = np.array([[300, -300, 7], [1e5, 0, 1e5], [0, 0, 0], [-np.inf, 1, 2]], "f4")
    wide = scores.astype("f8")
    expected = [
        wide[:, c] - np.logaddexp.reduce(np.delete(wide, c, axis=1), axis=1) for c in range(3)
    ]
    np.testing.assert_allclose(
        auroc.log_odds(jnp.asarray(scores)), np.stack(expected, 1), rtol=1e-6
    )


def test_scores_far_from_all_others_are_warned_of():
    scores, labels = drawn(500, scale=0.1)
    scores[:, :, 1] -= 40
    scores[1, 3, 1] = 1e9
    counts = auroc.finalize(counted(scores, labels))
    with pytest.warns(UserWarning, match="1 of 8 AUROCs may be off by 0.[1-5]"):
        found = auroc.auroc(counts)
    wrong = abs(found[1, 1] - exact(scores[1], labels)[1])
    assert 0.01 < wrong < 0.5
    np.testing.assert_allclose(found[0], exact(scores[0], labels), atol=2e-3)
    equal = auroc.finalize(counted(np.zeros_like(scores), labels))
    np.testing.assert_array_equal(
        auroc.auroc(equal), np.full((S, N), 0.5)
    )  # truly tied: no warning


def test_margins_are_means_of_differences():
    scores, labels = drawn(200, seed=1)
    found = auroc.mean_margin(auroc.finalize(counted(scores, labels)))
    chances = probabilities(scores)
    own = np.take_along_axis(chances, labels[None, :, None], 2)[..., 0]
    others = np.where(labels[:, None] == np.arange(N), 0, chances).max(-1)
    for c in range(N):
        expected = (own - others)[:, labels == c].mean(-1)
        np.testing.assert_allclose(found[:, c], expected, atol=2 / STEPS)


def test_certain_scores_stay_in_range():
    labels = np.arange(N).astype("i4")
    scores = np.broadcast_to(np.eye(N, dtype="f4") * 1e4, (S, N, N))
    counts = auroc.finalize(counted(scores, labels))
    np.testing.assert_array_equal(auroc.auroc(counts), np.ones((S, N)))
    np.testing.assert_array_equal(auroc.mean_margin(counts), np.ones((S, N)))
    counts = auroc.finalize(counted(-scores, labels))
    assert (auroc.auroc(counts) == 0).all() and (auroc.mean_margin(counts) < 0).all()


def test_classes_without_images_are_at_chance():
    scores, _ = drawn(5)
    counts = auroc.finalize(counted(scores, np.zeros(5, "i4")))
    np.testing.assert_array_equal(auroc.auroc(counts), np.full((S, N), 0.5))
    np.testing.assert_array_equal(auroc.mean_margin(counts)[:, 1:], np.zeros((S, N - 1)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 12))
def test_counts_merge_and_leave_out_what_has_no_weight(seed, cut):
    scores, labels = drawn(12, seed)
    scores *= 10.0 ** np.arange(12)[:, None].astype("f4")  # bins must widen
    whole = auroc.finalize(counted(scores, labels))
    first = np.arange(12) < cut
    parts = (counted(scores, labels, weight) for weight in (first, ~first))
    merged = auroc.finalize(auroc.merge(*parts))
    jax.tree.map(np.testing.assert_array_equal, merged, whole)
    assert whole.every.sum() == S * N * 12 and whole.own.sum() == S * 12
    # In another order, in batches.
    order = np.random.default_rng(seed).permutation(12)
    found = measured(scores, labels)
    state = auroc.init(N, S)
    for part in np.split(order, 3):
        state = updated(state, *(rows[:, part] for rows in found), labels[part], np.ones(4, bool))
    jax.tree.map(np.testing.assert_array_equal, auroc.finalize(state), whole)


@pytest.mark.parametrize("number", [2**16, 2**17])
def test_large_batches_do_not_overflow(number):
    labels = (np.arange(number) % 7 == 0).astype("i4")
    scores = np.broadcast_to(np.array([100, 0], "f4"), (number, 2))
    found = measured(scores[None], labels)
    state = updated(auroc.init(2, 1), *found, labels, np.ones(number, bool))
    np.testing.assert_array_equal(auroc.mean_margin(auroc.finalize(state)), [[1, -1]])
