"""Means, variances and covariances of streamed columns.

Letters: n samples, A and B columns of the two sides.

Parts are joined by the formula of Chan, Golub and LeVeque (1979), which is exact up to rounding
and, unlike sums of squares, does not cancel. The reference multiplies the distance of the means
by a weight before squaring it and so underestimates variances; we do not follow it there.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Float64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats import int64_counter


class MomentsState(NamedTuple):
    """Number of samples, means of both sides, and summed products of deviations."""

    number: int64_counter.Int64Counter  # []
    mean_a: Float32[Array, "A"]
    mean_b: Float32[Array, "B"]
    products: Float32[Array, "A B"]


class Moments(NamedTuple):
    """Results for one or two sets of columns, float64.

    Attributes:
        number: Number of samples.
        mean_a, mean_b: Means.
        covariance: Unbiased covariance (divided by ``number - 1``), 0 for a single sample.
        second_moment: Mean of the products ``a * b``.
    """

    number: int
    mean_a: Float64[np.ndarray, "A"]
    mean_b: Float64[np.ndarray, "B"]
    covariance: Float64[np.ndarray, "A B"]
    second_moment: Float64[np.ndarray, "A B"]

    __repr__ = short_repr


def init(num_a: int, num_b: int) -> MomentsState:
    """No samples seen."""
    return MomentsState(
        int64_counter.zeros(()),
        jnp.zeros(num_a, jnp.float32),
        jnp.zeros(num_b, jnp.float32),
        jnp.zeros((num_a, num_b), jnp.float32),
    )


def update(
    state: MomentsState,
    a: Float[Array, "n A"],
    b: Float[Array, "n B"],
    weight: Bool[Array, "n"],
) -> MomentsState:
    """Add samples of both sides (the same array twice for a covariance matrix)."""
    number = weight.sum(dtype=jnp.int32)
    count = jnp.maximum(number, 1).astype(jnp.float32)
    a = jnp.where(weight[:, None], a.astype(jnp.float32), 0)
    b = jnp.where(weight[:, None], b.astype(jnp.float32), 0)
    # From a sample on: rounding then leaves the mean of equal values equal to them.
    first = weight.argmax()
    mean_a, mean_b = (
        side[first] + jnp.where(weight[:, None], side - side[first][None], 0).sum(axis=0) / count
        for side in (a, b)
    )
    apart_a = jnp.where(weight[:, None], a - mean_a[None], 0)
    apart_b = jnp.where(weight[:, None], b - mean_b[None], 0)
    products = jnp.matmul(apart_a.T, apart_b, precision="highest")
    return merge(
        state,
        MomentsState(int64_counter.add(int64_counter.zeros(()), number), mean_a, mean_b, products),
    )


def merge(a: MomentsState, b: MomentsState) -> MomentsState:
    """Join two parts of the data."""
    number = int64_counter.merge(a.number, b.number)
    n_a, n_b, n = _as_float(a.number), _as_float(b.number), _as_float(number)
    share = n_b / jnp.maximum(n, 1)
    apart_a, apart_b = b.mean_a - a.mean_a, b.mean_b - a.mean_b
    return MomentsState(
        number,
        a.mean_a + share * apart_a,
        a.mean_b + share * apart_b,
        a.products + b.products + (n_a * share) * (apart_a[:, None] * apart_b[None, :]),
    )


def finalize(state: MomentsState) -> Moments:
    """Divide by the number of samples."""
    number = int(int64_counter.to_int64(state.number))
    mean_a = np.asarray(state.mean_a, np.float64)
    mean_b = np.asarray(state.mean_b, np.float64)
    products = np.asarray(state.products, np.float64)
    return Moments(
        number,
        mean_a,
        mean_b,
        products / max(number - 1, 1),
        products / max(number, 1) + mean_a[:, None] * mean_b[None, :],
    )


def correlation(ab: Moments, aa: Moments, bb: Moments) -> Float64[np.ndarray, "A B"]:
    """Pearson correlation from the cross covariance and both sides' own; 0 where one is constant.

    Args:
        ab: Moments of both sides together.
        aa: Moments of the first side with itself.
        bb: Moments of the second side with itself.
    """
    spread = np.sqrt(np.outer(np.diag(aa.covariance), np.diag(bb.covariance)))
    return np.divide(ab.covariance, spread, out=np.zeros_like(spread), where=spread > 0)


def _as_float(number: int64_counter.Int64Counter) -> Array:
    return number.high.astype(jnp.float32) * 2.0**32 + number.low.astype(jnp.float32)
