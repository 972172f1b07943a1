"""Margins of scores: an oracle, and sums that do not depend on batches, order or size."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.stats import score_margin

S, N = 2, 3


def counted(scores, labels, weight=None):
    """Sums of scores [S, B, N]."""
    weight = np.ones(len(labels), bool) if weight is None else weight
    return update(*map(jnp.asarray, (scores, labels, weight)))


@jax.jit
def update(scores, labels, weight):
    margins = jax.vmap(score_margin.measure, in_axes=(0, None))(scores, labels)
    return score_margin.update(score_margin.init(N, S), margins, labels, weight)


def test_means_are_those_of_plain_loops():
    random = np.random.default_rng(0)
    scores = (random.normal(size=(S, 40, N)) * [[[30.0]], [[0.5]]]).astype(np.float32)
    labels = random.integers(0, 2, 40).astype(np.int32)  # class 2 has no images
    own = np.take_along_axis(scores, labels[None, :, None], 2)[..., 0]
    others = np.where(labels[None, :, None] == np.arange(N), -np.inf, scores).max(2)
    found = score_margin.mean_margin(score_margin.finalize(counted(scores, labels)))
    for label in range(2):
        expected = (own.astype(np.float64) - others)[:, labels == label].mean(axis=1)
        np.testing.assert_allclose(found[:, label], expected, atol=1e-5)
    np.testing.assert_array_equal(found[:, 2], 0)
    some = np.arange(40) < 7
    parts = [counted(scores, labels, weight) for weight in (some, ~some)]
    merged = score_margin.finalize(score_margin.merge(parts[1], parts[0]))
    whole = score_margin.finalize(counted(scores, labels))
    jax.tree.map(np.testing.assert_array_equal, merged, whole)


def test_large_batches_and_scores_are_summed_exactly():
    number = 2**17
    scores = np.zeros((S, number, N), np.float32)
    scores[0, :, 0], scores[1, :, 0] = 1000.5, -1e9
    found = score_margin.finalize(counted(scores, np.zeros(number, np.int32)))
    assert found.images.tolist() == [number, 0, 0]
    steps = score_margin.STEPS
    assert found.total[:, 0].tolist() == [int(1000.5 * steps) * number, -(2**14) * steps * number]
    assert score_margin.mean_margin(found)[0].tolist() == [1000.5, 0, 0]
