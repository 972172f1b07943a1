"""The scenes as a data set: images drawn in blocks, as they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Lock
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.scenes.rendering import SCENES, RenderedScene, render, stylised

BLOCK_SIZE = 64  # neighbouring examples, drawn at once
_BLOCKS_KEPT = 256  # 470 MB, 16,000 images

_DRAWING = Lock()  # threads that want the same block wait for one of them to draw it


@dataclass(frozen=True)
class ScenesDataset:
    """A source of images; built by `scenes_dataset`.

    `source[i]` is a dictionary of NumPy arrays, see `RenderedScene`: "image", float32 [64, 64, 3]
    in [0, 1], "labels", int32 [64, 64, 4], and "scene", int32 [], a position in `SCENES`. Blocks of
    images are drawn at once and kept, the last 16,000 images, so that passes in any order draw each
    once. Threads may share a source.
    """

    num_examples: int
    seed: int = 0
    scenes: tuple[str, ...] = SCENES
    stylised: bool = False

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        place = range(self.num_examples)[index]
        return {name: array[0] for name, array in self.read(place, place + 1).items()}

    def read(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Stack the examples from `first` up to, not including, `last`."""
        places = range(self.num_examples)[first:last]
        starts = range(places.start // BLOCK_SIZE * BLOCK_SIZE, places.stop, BLOCK_SIZE)
        parts = [
            {
                name: array[max(places.start - start, 0) : places.stop - start]
                for name, array in self._block(start // BLOCK_SIZE).items()
            }
            for start in starts
        ]
        return {
            name: _unpacked(name, np.concatenate([part[name] for part in parts]))
            for name in parts[0]
        }

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return vars(self)

    def _block(self, block: int) -> dict[str, np.ndarray]:
        with _DRAWING:
            return _draw_block(self.seed, block, self.scenes, self.stylised)


def scenes_dataset(
    num_examples: int,
    *,
    seed: int = 0,
    scenes: Sequence[str] | None = None,
    stylised: bool = False,
) -> ScenesDataset:
    """Make a data set of scenes.

    Example `i` shows scene `i % len(scenes)` of those asked for, and depends on `seed`, `i` and
    that scene alone: a longer data set begins with the shorter one, and the stylised data set shows
    the layouts of the other, one by one.

    Args:
        num_examples: How many images.
        seed: Another seed gives other images.
        scenes: Names of the scenes to show; None shows all of `rendering.SCENES`.
        stylised: Draw in any textures and colors, see `rendering.stylised`.

    Raises:
        ValueError: If `num_examples` is not positive, or `scenes` is empty or names an unknown or
            repeated scene.
    """
    if num_examples < 1:
        raise ValueError(f"`num_examples` (={num_examples}) must be at least 1")
    names = SCENES if scenes is None else tuple(scenes)
    if not names or len(set(names)) < len(names) or not set(names) <= set(SCENES):
        raise ValueError(f"`scenes` (={names}) must be different names among: {', '.join(SCENES)}")
    return ScenesDataset(num_examples, seed, names, stylised)


@lru_cache(maxsize=_BLOCKS_KEPT)
def _draw_block(
    seed: int, block: int, scenes: tuple[str, ...], stylised: bool
) -> dict[str, np.ndarray]:
    """Draw the examples of a block, and store them as bytes, 1.8 MB."""
    places = np.arange(BLOCK_SIZE) + block * BLOCK_SIZE
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(jnp.asarray(places))
    numbers = jnp.asarray([SCENES.index(scenes[i % len(scenes)]) for i in places], jnp.int32)
    drawn = (_draw_stylised if stylised else _draw_plain)(keys, numbers)
    return {name: _packed(np.asarray(array)) for name, array in drawn._asdict().items()}


def _packed(array: np.ndarray) -> np.ndarray:
    """Store colors, which are multiples of 1 / 255, and numbers below 256 as bytes."""
    whole = np.rint(array * 255) if array.dtype == np.float32 else array
    assert 0 <= whole.min() <= whole.max() < 256
    return whole.astype(np.uint8)


def _unpacked(name: str, packed: np.ndarray) -> np.ndarray:
    if name == "image":
        return packed.astype(np.float32) * np.float32(1 / 255)
    return packed.astype(np.int32)


def _draw_one_stylised(key: jax.Array, scene: jax.Array) -> RenderedScene:
    return stylised(key, scene, jax.random.fold_in(key, 1))


_draw_plain = jax.jit(jax.vmap(render))
_draw_stylised = jax.jit(jax.vmap(_draw_one_stylised))
