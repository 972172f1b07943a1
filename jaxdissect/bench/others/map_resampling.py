"""Resampling of activation maps to the label grid against SciPy, scikit-image and PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxdissect.arrays.resampling import resample
from jaxdissect.bench.checking.gate import Gate, within
from jaxdissect.bench.others import host, pytorch
from jaxdissect.bench.others.libraries import load
from jaxdissect.bench.others.match import Contender, Match, unless_missing

ROUNDED = "float32; the same bits in every program"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is resampled.

    Attributes:
        images: How many maps of all units.
        units: Channels of them.
        side: Their rows and columns.
        grid: Rows and columns of the label grid.
        turns: How often each runs at most.
        seconds: After which no turn begins.
    """

    images: int = 8
    units: int = 512
    side: int = 14
    grid: int = 56
    turns: int = 11
    seconds: float = 45.0

    def __post_init__(self) -> None:
        if min(self.images, self.units, self.side, self.grid, self.turns) < 1:
            raise ValueError(
                f"`images` (={self.images}), `units` (={self.units}), `side` (={self.side}), "
                f"`grid` (={self.grid}) and `turns` (={self.turns}) must be at least 1"
            )


def resampling_match(sizes: Sizes) -> Match:
    """Prepare maps of normal noise."""
    shape = (sizes.images, sizes.side, sizes.side, sizes.units)
    maps = np.random.default_rng(0).standard_normal(shape, np.float32)
    grid = (sizes.grid, sizes.grid)
    contenders = [
        *host.ours(
            partial(resample, grid=grid),
            (maps,),
            exactness=ROUNDED,
            precision="float32",
            layout="channels last",
        ),
        *unless_missing("PyTorch, interpolate", "torch", lambda: _by_pytorch(maps, grid)),
        *unless_missing("SciPy, ndimage.zoom", "scipy", lambda: _by_scipy(maps, grid)),
        *unless_missing("scikit-image, resize", "scikit-image", lambda: _by_skimage(maps, grid)),
    ]

    def check(answers: Mapping[str, Any]) -> dict[str, Gate]:
        expected = exact_bilinear(maps, grid)
        return {
            f"{name}: resampled maps": within(
                _on_host(answer),
                expected,
                2e-6,
                reason="a few roundings of a float32",
                against="products of matrices in float64",
            )
            for name, answer in answers.items()
        }

    return Match(
        title=f"Bilinear resampling of {sizes.images} x {sizes.units} maps from {sizes.side} x "
        f"{sizes.side} to {sizes.grid} x {sizes.grid}",
        unit="image",
        units=sizes.images,
        contenders=contenders,
        check=check,
        note="All read between the centres of pixels and continue the border; ours splits its "
        "products so that every program rounds alike, which costs some additions.",
    )


def exact_bilinear(maps: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Resample maps [B, h, w, U] in float64, with the border continued outwards."""
    rows, columns = (_weights(*pair) for pair in zip(grid, maps.shape[1:3], strict=True))
    return np.einsum("Hh,Ww,bhwu->bHWu", rows, columns, maps.astype(np.float64), optimize=True)


def _weights(target: int, source: int) -> np.ndarray:
    places = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(source)))


def _by_pytorch(maps: np.ndarray, grid: tuple[int, int]) -> Sequence[Contender]:
    interpolate = load("torch.nn.functional").interpolate
    given = pytorch.placed(maps, channels_first=True)

    def run() -> Any:
        return interpolate(given, size=grid, mode="bilinear", align_corners=False)

    terms = pytorch.terms("default", "channels first", "float32", "arrays stay on the device")
    return [pytorch.contender("PyTorch, interpolate", run, terms)]


def _by_scipy(maps: np.ndarray, grid: tuple[int, int]) -> Sequence[Contender]:
    ndimage = load("scipy.ndimage")
    factors = (1, *(to / of for to, of in zip(grid, maps.shape[1:3], strict=True)), 1)

    def run() -> np.ndarray:
        return ndimage.zoom(maps, factors, order=1, mode="nearest", grid_mode=True)

    return [
        host.contender(
            "SciPy, ndimage.zoom",
            "scipy",
            run,
            exactness="float64 inside",
            precision="float32 to float32",
            layout="channels last",
            differs="splines of any order and dimension",
        )
    ]


def _by_skimage(maps: np.ndarray, grid: tuple[int, int]) -> Sequence[Contender]:
    transform = load("skimage.transform")
    options = {"order": 1, "mode": "edge", "anti_aliasing": False, "preserve_range": True}

    def run() -> np.ndarray:
        return np.stack([transform.resize(each, grid, **options) for each in maps])

    return [
        host.contender(
            "scikit-image, resize",
            "scikit-image",
            run,
            exactness="float32",
            precision="float32",
            layout="channels last",
            differs="one image after the other",
        )
    ]


def _on_host(answer: Any) -> np.ndarray:
    if isinstance(answer, np.ndarray | jax.Array):
        return np.asarray(answer)
    return pytorch.host(answer, channels_first=True)
