"""Inputs of image generators: vectors of independent standard normal numbers.

`latents` draws every example by itself; `reference_latents` draws them in one row, as the reference
implementation does, for results to be compared with its own number by number.

    source = latents(1000, 512)
    source[7]["latent"].shape   # (512,)

Shapes: Z latent.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, SupportsIndex

import numpy as np
from jaxtyping import Float32

from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.batching import Stored


@dataclass(frozen=True)
class Latents:
    """A source of latents; built by `latents`.

    `source[i]` is ``{"latent": float32 [Z]}``. Nothing is stored, so the source may be as long as
    one likes, and threads may share it.

    Latents are drawn on the host, some 30 us each, and ahead of the device: on a device logarithm
    and square root round otherwise, and a seed would not give the same latents everywhere.
    """

    num_examples: int
    size: int
    seed: int = 0

    thread_safe: ClassVar[bool] = True

    __repr__ = short_repr

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        return {"latent": self._draw(range(self.num_examples)[index])}

    def read(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Stack the examples from `first` up to, not including, `last`."""
        places = range(self.num_examples)[first:last]
        block = np.empty((len(places), self.size), np.float32)
        for row, place in enumerate(places):
            block[row] = self._draw(place)
        return {"latent": block}

    def describe(self) -> str:
        """Name the source for people."""
        return f"{self.num_examples:,} latents"

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return vars(self)

    def _draw(self, place: int) -> Float32[np.ndarray, "Z"]:
        # Philox is keyed, not run through, so any example is drawn at once; the distributions of
        # RandomState, unlike those of Generator, are promised never to change.
        key = np.array([self.seed, place], np.uint64)
        random = np.random.RandomState(np.random.Philox(key=key))
        return random.standard_normal(self.size).astype(np.float32)


def latents(num_examples: int, size: int, *, seed: int = 0) -> Latents:
    """Make a data set of inputs for an image generator.

    Example `i` depends on `seed` and `i` alone: a longer data set begins with the shorter one,
    whatever the version of NumPy.

    Args:
        num_examples: How many.
        size: Z, the generator's input size.
        seed: 0 to 2^64 - 1; another seed gives other latents.

    Raises:
        ValueError: If `num_examples` or `size` is not positive, or `seed` out of range.
    """
    _check(num_examples, size, seed, bits=64)
    return Latents(num_examples, size, seed)


def reference_latents(num_examples: int, size: int, *, seed: int = 1) -> Stored:
    """Draw the latents of the reference implementation, the same to the last bit.

    All numbers come from one stream, example after example: the first examples are those of a
    longer data set of the same `size`, but not of another `size`. They are drawn at once and kept,
    4 bytes each (20 MB for the 10,000 latents of 512 numbers of Bau et al., PNAS 2020).

    Args:
        num_examples: How many.
        size: Z, the generator's input size.
        seed: 0 to 2^32 - 1; the reference always takes 1.

    Returns:
        A source whose items are ``{"latent": float32 [Z]}``.

    Raises:
        ValueError: If `num_examples` or `size` is not positive, or `seed` out of range.
    """
    _check(num_examples, size, seed, bits=32)
    numbers = np.random.RandomState(seed).standard_normal((num_examples, size))
    return Stored({"latent": numbers.astype(np.float32)})


def _check(num_examples: int, size: int, seed: int, *, bits: int) -> None:
    for name, value in (("num_examples", num_examples), ("size", size)):
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")
    if not 0 <= seed < 2**bits:
        raise ValueError(f"`seed` (={seed}) must be at least 0 and below 2^{bits}")
