"""Connected components of label maps against SciPy and scikit-image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdissect.arrays.components import connected_components
from jaxdissect.bench.checking.gate import Gate, equal
from jaxdissect.bench.others import host
from jaxdissect.bench.others.libraries import load
from jaxdissect.bench.others.match import Contender, Match, unless_missing

_FOREGROUND = 8  # labels of a map besides the background


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is numbered.

    Attributes:
        maps: How many label maps.
        side: Their rows and columns.
        turns: How often each runs at most.
        seconds: After which no turn begins.
    """

    maps: int = 32
    side: int = 112
    turns: int = 11
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if min(self.maps, self.side, self.turns) < 1:
            raise ValueError(
                f"`maps` (={self.maps}), `side` (={self.side}) and `turns` (={self.turns}) must "
                "be at least 1"
            )


def components_match(sizes: Sizes) -> Match:
    """Prepare maps whose labels form regions of about eight pixels' width."""
    random = np.random.default_rng(0)
    coarse = -(-sizes.side // 8)
    labels = random.integers(0, _FOREGROUND + 1, (sizes.maps, coarse, coarse), np.int32)
    labels = labels.repeat(8, axis=1).repeat(8, axis=2)[:, : sizes.side, : sizes.side]
    noise = random.random(labels.shape) < 0.05  # single pixels and torn borders
    labels = np.where(noise, random.integers(0, _FOREGROUND + 1, labels.shape), labels)
    labels = np.ascontiguousarray(labels, np.int32)

    contenders = [
        *host.ours(
            connected_components,
            (labels,),
            exactness="exact; a component is called by its first pixel",
        ),
        *unless_missing("SciPy, ndimage.label", "scipy", lambda: _by_scipy(labels)),
        *unless_missing("scikit-image, label", "scikit-image", lambda: _by_skimage(labels)),
    ]

    def check(answers: Mapping[str, Any]) -> dict[str, Gate]:
        first = np.asarray(answers[host.ON_DEVICE])
        return {
            f"{name}: components": equal(
                first,
                np.asarray(answer) if name == host.FROM_HOST else first_pixels(answer),
                against=name,
            )
            for name, answer in answers.items()
            if name != host.ON_DEVICE
        }

    return Match(
        title=f"Connected components of {sizes.maps} label maps of {sizes.side} x {sizes.side} "
        "pixels, corners included",
        unit="map",
        units=sizes.maps,
        contenders=contenders,
        check=check,
        note="Ours numbers components by where their first pixel is and works in parallel, in "
        "as many steps as the logarithm of the longest way; the others count them, one pixel "
        "after another.",
    )


def first_pixels(numbers: np.ndarray) -> np.ndarray:
    """Call components by their first pixel, in reading order, counted from 1.

    Args:
        numbers: Maps [B, H, W] whose components have different numbers within a map; 0 is none.
    """
    named = np.zeros(numbers.shape, np.int32)
    for index, each in enumerate(numbers):
        found, first, inverse = np.unique(each, return_index=True, return_inverse=True)
        names = np.where(found == 0, 0, first + 1).astype(np.int32)
        named[index] = names[inverse].reshape(each.shape)
    return named


def _by_scipy(labels: np.ndarray) -> Sequence[Contender]:
    ndimage = load("scipy.ndimage")
    corners = np.ones((3, 3), int)

    def run() -> np.ndarray:
        numbers = np.zeros(labels.shape, np.int32)
        for index, each in enumerate(labels):
            last = 0
            for label in np.unique(each):
                if label:
                    found, number = ndimage.label(each == label, corners)
                    numbers[index] += np.where(found, found + last, 0).astype(np.int32)
                    last += number
        return numbers

    return [
        host.contender(
            "SciPy, ndimage.label",
            "scipy",
            run,
            exactness="exact; components are counted",
            differs="knows foreground alone: it runs once for every label of a map",
        )
    ]


def _by_skimage(labels: np.ndarray) -> Sequence[Contender]:
    measure = load("skimage.measure")

    def run() -> np.ndarray:
        return np.stack([measure.label(each, background=0, connectivity=2) for each in labels])

    return [
        host.contender(
            "scikit-image, label",
            "scikit-image",
            run,
            exactness="exact; components are counted",
            differs="one map after the other",
        )
    ]
