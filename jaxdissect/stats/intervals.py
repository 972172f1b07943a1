"""Confidence intervals that hold with few images and with rare changes, in closed form.

Nothing is drawn at random. A proportion has the exact interval of Clopper and Pearson. The
difference of two proportions that were measured on the same images depends on the images that are
classified correctly in one case only: those gained and those lost. Their proportions have exact
intervals, and the squared distances to the ends of these add up (MOVER, the method of variance
estimates recovery), as Newcombe's method 10 does with the two marginal proportions. With few such
images it is narrower than Tango's score interval and misses less often; no interval has width zero.

An interval is for images drawn independently of each other, within every class or over all
classes: intervals of single classes hold for the class sizes as they are, and an accuracy over all
images varies less, not more, where images are drawn within classes.

Clopper and Pearson, Biometrika 26, 1934. Zou and Donner, "Construction of confidence limits about
effect measures: a general approach", Statistics in Medicine 27, 2008 (MOVER). Newcombe, "Improved
confidence intervals for the difference between binomial proportions based on paired data",
Statistics in Medicine 17, 1998.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, betaln
from jaxtyping import Array, Float64, Real

from jaxdissect.arrays.representation import short_repr

Counts = Real[np.ndarray, "..."] | np.number | int | float
"""Numbers of images, one or many; arrays are broadcast together. Means over several draws, and
effective numbers of images, need not be whole."""

_ROUNDING = 1e-9  # of numbers that are not whole

_BLOCK = 256


class Interval(NamedTuple):
    """An estimate with its confidence interval.

    Attributes:
        estimate: On the images as they are.
        low, high: Ends of the interval.
    """

    estimate: Float64[np.ndarray, "*shape"]
    low: Float64[np.ndarray, "*shape"]
    high: Float64[np.ndarray, "*shape"]

    __repr__ = short_repr


def proportion_interval(
    part: Counts,
    whole: Counts,
    *,
    level: float = 0.99,
) -> Interval:
    """Find the exact (Clopper-Pearson) interval of a proportion, such as an accuracy.

    Args:
        part: Number of images that have a property, such as being classified correctly.
        whole: Number of all of them.
        level: Least chance that the interval holds the true proportion.

    Returns:
        Proportions; of no images 0, and known to lie between 0 and 1.

    Raises:
        ValueError: If `part` is not in [0, `whole`], or `level` not between 0 and 1.
    """
    _check_level(level)
    part, whole = np.broadcast_arrays(np.asarray(part), np.asarray(whole))
    if (part < 0).any() or (part > whole).any():
        raise ValueError("`part` must be at least 0 and at most `whole`")
    # The same counts occur again and again: each is computed once.
    sizes, size = np.unique(whole, return_inverse=True)
    parts, number = np.unique(part, return_inverse=True)
    pairs, place = np.unique(
        size.reshape(-1) * len(parts) + number.reshape(-1), return_inverse=True
    )
    k = parts[pairs % max(len(parts), 1)].astype(np.float64)
    n = sizes[pairs // max(len(parts), 1)].astype(np.float64)
    # The lower end is the upper end of the rest.
    those, rest = np.concatenate([k, n - k]), np.concatenate([n - k, k])
    chance = np.full(len(those), (1 + level) / 2)
    ends = np.where(rest > 0, _beta_quantile(chance, those + 1, np.where(rest > 0, rest, 1)), 1.0)
    high, low = ends[: len(k)], 1 - ends[len(k) :]
    return _interval(
        part / np.maximum(whole, 1),
        *(end[place].reshape(part.shape) for end in (low, high)),
    )


def paired_interval(
    gained: Counts,
    lost: Counts,
    whole: Counts,
    *,
    level: float = 0.99,
) -> Interval:
    """Find the interval of the change of a proportion that was measured twice on the same images.

    Its coverage is at least 98.7% where 99% is asked for, for any number of images and any
    proportions, and above 99% nearly everywhere.

    Args:
        gained: Number of images that have the property after but not before.
        lost: Number of images that have it before but not after.
        whole: Number of all images, with those that changed in neither way.
        level: Chance that the interval holds the true change.

    Returns:
        Changes, after minus before; of no images 0, and known to lie between -1 and 1.

    Raises:
        ValueError: If a count is negative, `gained` and `lost` are more than `whole`, or `level`
            is not between 0 and 1.
    """
    gained, lost, whole = np.broadcast_arrays(*(np.asarray(x) for x in (gained, lost, whole)))
    if (gained < 0).any() or (lost < 0).any() or (gained + lost > whole + _ROUNDING).any():
        raise ValueError(
            "`gained` and `lost` must be at least 0, and together at most `whole`, the images"
        )
    both = proportion_interval(np.stack([gained, lost]), whole, level=level)
    up, down = (Interval(*(end[i] for end in both)) for i in range(2))
    # An image that is gained is not lost: the two proportions vary against each other. Half an
    # image is added to each, so that one that was not seen is not taken to vary with nothing.
    rest = whole - gained - lost
    up_odds, down_odds = ((part + 0.5) / (other + 0.5 + rest)
                          for part, other in ((gained, lost), (lost, gained)))  # fmt: skip
    correlation = -np.sqrt(up_odds * down_odds)
    change = up.estimate - down.estimate
    ends = []
    for a, b in (
        (up.estimate - up.low, down.high - down.estimate),
        (up.high - up.estimate, down.estimate - down.low),
    ):
        ends.append(np.sqrt(a**2 - 2 * correlation * a * b + b**2))
    return _interval(change, np.maximum(change - ends[0], -1.0), np.minimum(change + ends[1], 1.0))


def student_t(samples: Counts, *, level: float = 0.99) -> Float64[np.ndarray, "..."]:
    """Find how many standard errors lie on either side of a mean, by Student's t.

    Args:
        samples: Number of independent samples that the mean and its error are of.
        level: Chance that the interval holds the true mean.

    Returns:
        The quantile of Student's t with `samples` - 1 degrees of freedom; infinite for less than
        two samples, whose mean has no known error.

    Raises:
        ValueError: If `level` is not between 0 and 1.
    """
    _check_level(level)
    samples = np.asarray(samples)
    unique, place = np.unique(samples, return_inverse=True)
    quantiles = _student_t(tuple(unique.tolist()), level)
    return quantiles[place.reshape(-1)].reshape(samples.shape)


@lru_cache(maxsize=1024)
def _student_t(samples: tuple[int, ...], level: float) -> Float64[np.ndarray, "n"]:
    number = np.array(samples, np.float64)
    degrees = np.maximum(number - 1, 1)
    # t**2 / (t**2 + degrees) has a beta distribution.
    share = _beta_quantile(np.full(number.shape, level), np.full(number.shape, 0.5), degrees / 2)
    return np.where(number > 1, np.sqrt(degrees * share / (1 - share)), np.inf)


def _interval(*ends: np.ndarray | np.floating) -> Interval:
    return Interval(*(np.asarray(end) for end in ends))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"`level` (={level}) must be between 0 and 1")


def _beta_quantile(
    chance: Float64[np.ndarray, "n"], a: Float64[np.ndarray, "n"], b: Float64[np.ndarray, "n"]
) -> Float64[np.ndarray, "n"]:
    """Invert the distribution function of beta distributions."""
    found = [np.zeros(0)]
    with jax.enable_x64(True):
        # Blocks of one length share a compiled program, and few numbers wait for slow ones.
        for first in range(0, len(chance), _BLOCK):
            block = [x[first : first + _BLOCK] for x in (chance, a, b)]
            number = len(block[0])
            padded = (np.pad(x, (0, _BLOCK - number), constant_values=0.5) for x in block)
            found.append(np.asarray(_solve_beta(*padded))[:number])
    return np.concatenate(found)


@jax.jit
def _solve_beta(chance: Array, a: Array, b: Array) -> Array:
    """Newton's method, which falls back to bisection where it would leave the bracket."""
    normaliser = betaln(a, b)

    def unfinished(state: tuple[Array, ...]) -> Array:
        count, *_, moved = state
        return (count < 200) & moved.any()

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        count, low, high, x, _ = state
        excess = betainc(a, b, x) - chance
        low, high = jnp.where(excess < 0, x, low), jnp.where(excess < 0, high, x)
        density = jnp.exp((a - 1) * jnp.log(x) + (b - 1) * jnp.log1p(-x) - normaliser)
        new = x - excess / density
        new = jnp.where((new > low) & (new < high), new, (low + high) / 2)
        return count + 1, low, high, new, jnp.abs(new - x) > 1e-9 * jnp.minimum(x, 1 - x)

    start = a / (a + b)
    nothing = jnp.zeros_like(start)
    first = (jnp.asarray(0), nothing, nothing + 1, start, nothing < 1)
    return jax.lax.while_loop(unfinished, step, first)[3]
