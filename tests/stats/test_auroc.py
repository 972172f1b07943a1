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


def counted(scores, labels, weight=None):
    weight = np.ones(len(labels), bool) if weight is None else weight
    found = jax.vmap(auroc.measure, (0, None))(jnp.asarray(scores), jnp.asarray(labels))
    state = auroc.init(N, S)
    return auroc.update(state, *found, jnp.asarray(labels), jnp.asarray(weight))


def probabilities(scores):
    powers = np.exp(scores.astype("f8") - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_auroc_is_the_share_of_pairs_in_order():
    scores, labels = drawn(300)
    found = auroc.auroc(auroc.finalize(counted(scores, labels)))
    chances = probabilities(scores)
    odds = np.log(chances) - np.log1p(-chances)
    for s in range(S):
        for c in range(N):
            own, others = odds[s, labels == c, c], odds[s, labels != c, c]
            won = (own[:, None] > others).mean() + (own[:, None] == others).mean() / 2
            assert found[s, c] == pytest.approx(won, abs=0.01)
            # Exact but for pairs within a bin.
            own, others = np.floor(own * 4), np.floor(others * 4)
            won = (own[:, None] > others).mean() + (own[:, None] == others).mean() / 2
            assert found[s, c] == pytest.approx(won, abs=2e-4)


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
    whole = auroc.finalize(counted(scores, labels))
    first = np.arange(12) < cut
    parts = (counted(scores, labels, weight) for weight in (first, ~first))
    merged = auroc.finalize(auroc.merge(*parts))
    jax.tree.map(np.testing.assert_array_equal, merged, whole)
    assert whole.every.sum() == S * N * 12 and whole.own.sum() == S * 12
