"""Exact upper quantiles of many units against NumPy, SciPy and PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.bench.checking.gate import Gate, equal
from jaxdissect.bench.others import host, pytorch
from jaxdissect.bench.others.libraries import load
from jaxdissect.bench.others.match import Contender, Match, unless_missing
from jaxdissect.stats import brackets, counting, quantile

FRACTION = 0.01
OURS, ON_HOST = "jaxdissect", "jaxdissect, upper_quantile"
_SAMPLED = 4096  # values of every unit that say where to begin
_COLLECTED = 1 / 256  # of all values, at most


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is searched.

    Attributes:
        images: How many, of 56 x 56 pixels.
        units: Columns whose quantiles are wanted.
        turns: How often each runs at most.
        seconds: After which no turn begins.
    """

    images: int = 16
    units: int = 256
    turns: int = 9
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if min(self.images, self.units, self.turns) < 1:
            raise ValueError(
                f"`images` (={self.images}), `units` (={self.units}) and `turns` (={self.turns}) "
                "must be at least 1"
            )


def quantiles_match(sizes: Sizes) -> Match:
    """Prepare rectified normal noise, half of it zeros as after a ReLU."""
    shape = (sizes.images * 56 * 56, sizes.units)
    values = np.maximum(np.random.default_rng(0).standard_normal(shape, np.float32), 0)
    rank = quantile.upper_rank(FRACTION, len(values))
    contenders = [
        _on_device(values),
        host.contender(
            ON_HOST,
            "jaxdissect",
            lambda: quantile.upper_quantile(values, FRACTION),
            exactness="exact",
            precision="float32",
            layout="units last",
            differs="NumPy on the processor; for samples that fit in memory",
        ),
        *unless_missing("NumPy, partition", "numpy", lambda: _by_numpy(values, rank)),
        *unless_missing("SciPy, stats.quantile", "scipy", lambda: _by_scipy(values, rank)),
        *unless_missing("PyTorch, kthvalue", "torch", lambda: _by_pytorch(values, rank)),
    ]

    def check(answers: Mapping[str, Any]) -> dict[str, Gate]:
        expected = np.sort(values, axis=0)[len(values) - 1 - rank]
        return {
            f"{name}: quantiles": equal(
                quantile.to_keys(_on_host(answer)),
                quantile.to_keys(expected),
                against="NumPy, sorting all values",
            )
            for name, answer in answers.items()
        }

    return Match(
        title=f"The value that {FRACTION:.0%} of {len(values):,} values exceed, of each of "
        f"{sizes.units} units",
        unit="image",
        units=sizes.images,
        contenders=contenders,
        check=check,
        note="All are exact. Ours counts how many values exceed some candidates, and collects and "
        "sorts the few that may be the answer: it reads the values several times, and works on "
        "data that arrive in parts, on several devices; the others need all values of a unit at "
        "once. Few values are not worth that.",
    )


def _on_device(values: np.ndarray) -> Contender:
    placed = jax.device_put(values)
    count = jax.jit(counting.counts_above)
    step = max(1, len(values) // _SAMPLED)
    sample = jax.jit(lambda values: values[::step])
    room = max(2**12, int(_COLLECTED * values.size))
    rank = np.full(values.shape[1], quantile.upper_rank(FRACTION, len(values)))

    @jax.jit
    def collect(values: jax.Array, low: jax.Array, high: jax.Array) -> brackets.BracketState:
        state = brackets.init(low, high, capacity=room, num_labels=1)
        labels, weight = jnp.zeros((len(values), 1), jnp.int16), jnp.ones(len(values), bool)
        return brackets.update(state, values, labels, weight)

    def run() -> np.ndarray:
        search = quantile.start(len(values), rank)
        first = quantile.guess(np.asarray(sample(placed))[None], len(values), rank)
        candidates = first.candidates
        while True:
            above = np.asarray(count(placed, candidates))
            search = quantile.narrow(search, candidates, above)
            if search.inside[quantile.is_open(search)].sum() <= room:
                break
            candidates = quantile.candidates_inside(search, quantile.NUM_CANDIDATES)
        low, high = quantile.to_floats(search.low), quantile.to_floats(search.high)
        # Brackets that hold a single float are settled: nothing is collected of them.
        found = brackets.finalize(
            collect(placed, np.where(quantile.is_open(search), low, high), high)
        )
        return quantile.settle(search, found.values, found.units)

    terms = pytorch.own_terms("default", "units last", "exact", "values are on the device")
    return Contender(
        name=OURS, library="jaxdissect", run=run, wait=lambda answer: None, terms=terms
    )


def _by_numpy(values: np.ndarray, rank: int) -> Sequence[Contender]:
    place = len(values) - 1 - rank
    return [_host("NumPy, partition", "numpy", lambda: np.partition(values, place, axis=0)[place])]


def _by_scipy(values: np.ndarray, rank: int) -> Sequence[Contender]:
    stats = load("scipy.stats")
    if not hasattr(stats, "quantile"):
        return []  # it came with SciPy 1.15
    probability = (len(values) - rank - 0.5) / len(values)

    def run() -> np.ndarray:
        return stats.quantile(values, probability, method="inverted_cdf", axis=0)

    return [_host("SciPy, stats.quantile", "scipy", run)]


def _by_pytorch(values: np.ndarray, rank: int) -> Sequence[Contender]:
    torch = load("torch")
    placed = pytorch.placed(np.ascontiguousarray(values.T))
    place = len(values) - rank

    def run() -> Any:
        return torch.kthvalue(placed, place, dim=1).values

    terms = pytorch.terms("default", "units first", "exact", "values are on the device")
    return [pytorch.contender("PyTorch, kthvalue", run, terms)]


def _host(name: str, library: str, run: Callable[[], np.ndarray]) -> Contender:
    return host.contender(
        name, library, run, exactness="exact", precision="float32", layout="units last"
    )


def _on_host(answer: Any) -> np.ndarray:
    if not isinstance(answer, np.ndarray):
        answer = pytorch.host(answer)
    return np.ascontiguousarray(answer, np.float32)
