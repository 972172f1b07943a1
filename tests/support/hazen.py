"""Quantiles by Hazen's definition of samples in memory, which the reference approximates."""

import numpy as np

from jaxdissect.stats import quantile


def hazen_quantile(samples, fraction):
    """Interpolate the quantile of every column [Q] of samples [n, Q]."""
    lower, upper, weight = quantile.hazen_ranks(fraction, len(samples))
    ordered = -np.sort(-samples, axis=0).astype(np.float64)
    return (ordered[lower] * (1 - weight) + ordered[upper] * weight).astype(np.float32)


def hazen_rank(samples, values):
    """Interpolate the fraction of samples [n, Q] below values [V, Q]: the inverse of the above.

    A value equal to a run of equal samples takes the place of the last of them.
    """
    total = len(samples)
    places = np.concatenate([[0.0], (np.arange(total) + 0.5) / total, [1.0]])
    ranks = np.empty(values.shape)
    for column in range(samples.shape[1]):
        ordered = np.sort(samples[:, column]).astype(np.float64)
        ordered = np.concatenate([ordered[:1], ordered, ordered[-1:]])
        ranks[:, column] = np.interp(values[:, column], ordered, places)
    return ranks
