"""A few images that tell where thresholds are, before the passes over all data.

Shapes: I images of the pilot, S pixels of each, U units.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdissect.dissection.layer_counts import Sampling
from jaxdissect.engine.batching import Source, is_thread_safe, read_item, source_name

_MOST_IMAGES, _FEWEST_IMAGES = 1024, 16
_SAMPLED_PIXELS = 8192


class Chosen:
    """Some examples of a source.

    Args:
        source: The source.
        examples: Their places in it.
    """

    def __init__(self, source: Source, examples: np.ndarray) -> None:
        self.source, self.examples = source, examples
        self.thread_safe = is_thread_safe(source)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.source[int(self.examples[index])]

    def item_as_bytes(self, index: int) -> Mapping[str, Any]:
        """Return an example with `Bytes` where the source has them."""
        return read_item(self.source, int(self.examples[index]), as_bytes=True)

    def describe(self) -> str:
        """Name the source for people."""
        return source_name(self.source)

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return vars(self)


def pilot_examples(total: int, number: int | None = None) -> np.ndarray:
    """Choose the images of the pilot, spread evenly over the data: a twentieth, a few at least.

    Args:
        total: Number of all examples.
        number: How many to choose, instead.
    """
    if number is None:
        few = max(1, total // 10)
        number = min(max(total // 20, min(_FEWEST_IMAGES, few)), _MOST_IMAGES)
    number = min(number, total)
    return ((2 * np.arange(number) + 1) * total // (2 * number)).astype(np.int64)


def sampling_of(number: int) -> Sampling:
    """Choose which pixels to sample of so many images."""
    lattice = (16, 16) if number <= 32 else (8, 8)
    return Sampling(lattice, min(lattice[0] * lattice[1], max(4, _SAMPLED_PIXELS // number)))
