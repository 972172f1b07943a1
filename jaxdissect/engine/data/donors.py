"""Images that each come with another one, as unlike as chance makes them."""

from typing import Any

import numpy as np

from jaxdissect.engine.batching import Source


class WithOthers:
    """A source whose examples also hold the image of another example, under "other".

    Every example is the other of exactly one, and none of itself.

    Args:
        source: Examples with an "image".
        seed: Of the order in which examples are paired.

    Raises:
        ValueError: If there are less than two examples.
    """

    def __init__(self, source: Source, *, seed: int = 0):
        number = len(source)
        if number < 2:
            raise ValueError(f"`source` (={number} examples) must have at least 2, to pair them")
        order = np.random.default_rng(seed).permutation(number)
        self.source = source
        self.partners = np.empty(number, np.int64)
        self.partners[order] = np.roll(order, 1)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        other = self.source[int(self.partners[index])]["image"]
        return {**self.source[index], "other": other}
