"""The scenes as a data set: images drawn in blocks, as they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Lock
from typing import Any, ClassVar, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdissect.engine.image_bytes import Bytes
from jaxdissect.scenes.rendering import SCENES, RenderedScene, render, stylised

BLOCK_SIZE = 64  # neighbouring examples, drawn at once

MAX_KEPT = 2048
"""Examples of the largest data set that is kept once drawn, 60 MB."""

_BLOCKS_KEPT = 80  # of such data sets together, 150 MB
_BLOCKS_AT_HAND = 4  # of larger ones

OF_SCENES = np.arange(256, dtype=np.uint8).astype(np.float32) * np.float32(1 / 255)
"""Colors in [0, 1] of the bytes of drawn images, which differ from those of files in last bits."""

_DRAWING = Lock()  # threads that want the same block wait for one of them to draw it


@dataclass(frozen=True)
class ScenesDataset:
    """A source of images; built by `scenes_dataset`.

    `source[i]` is a dictionary of NumPy arrays, see `RenderedScene`: "image", float32 [64, 64, 3]
    in [0, 1], "labels", int32 [64, 64, 4], and "scene", int32 [], a position in `SCENES`. Blocks of
    images are drawn at once, on the device, and kept there as bytes: all of a data set of up to
    `MAX_KEPT` examples, so that passes in any order draw each once. Larger data sets are drawn anew
    in every pass, and take no more memory than smaller ones. Threads may share a source.
    """

    thread_safe: ClassVar[bool] = True

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
        begin, blocks = self._blocks(places)
        found = {
            name: np.concatenate([np.asarray(block[name]) for block in blocks])
            for name in blocks[0]
        }
        return {
            name: _unpacked(name, array[begin : begin + len(places)])
            for name, array in found.items()
        }

    def read_as_bytes(self, first: int, last: int) -> dict[str, Any]:
        """Stack examples as `read` does, on the device, and leave images as `Bytes`."""
        places = range(self.num_examples)[first:last]
        begin, blocks = self._blocks(places)
        found = _rows(blocks, begin, number=len(places))
        return found | {"image": Bytes(found["image"], OF_SCENES)}

    def describe(self) -> str:
        """Name the source for people."""
        return f"{self.num_examples:,} built-in scenes"

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return vars(self)

    def _blocks(self, places: range) -> tuple[int, list[dict[str, jax.Array]]]:
        """Return the blocks that hold examples, and where in them these begin."""
        draw = _kept_block if self.num_examples <= MAX_KEPT else _block_at_hand
        first, last = places.start // BLOCK_SIZE, -(-places.stop // BLOCK_SIZE)
        blocks = []
        for block in range(first, last):
            with _DRAWING:
                blocks.append(draw(self.seed, block, self.scenes, self.stylised))
        return places.start - first * BLOCK_SIZE, blocks


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


def _draw_block(
    seed: int, block: int, scenes: tuple[str, ...], stylised: bool
) -> dict[str, jax.Array]:
    """Draw the examples of a block as bytes on the device, 1.8 MB."""
    places = np.arange(BLOCK_SIZE) + block * BLOCK_SIZE
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(jnp.asarray(places))
    numbers = jnp.asarray([SCENES.index(scenes[i % len(scenes)]) for i in places], jnp.int32)
    return _packed((_draw_stylised if stylised else _draw_plain)(keys, numbers)._asdict())


_kept_block = lru_cache(maxsize=_BLOCKS_KEPT)(_draw_block)
_block_at_hand = lru_cache(maxsize=_BLOCKS_AT_HAND)(_draw_block)


@jax.jit
def _packed(drawn: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Store colors, which are multiples of 1 / 255, and numbers below 256 as bytes."""
    return {
        name: (jnp.rint(array * 255) if name == "image" else array).astype(jnp.uint8)
        for name, array in drawn.items()
    }


def _unpacked(name: str, packed: np.ndarray) -> np.ndarray:
    return OF_SCENES[packed] if name == "image" else packed.astype(np.int32)


@partial(jax.jit, static_argnames="number")
def _rows(
    blocks: list[dict[str, jax.Array]], begin: jax.Array, number: int
) -> dict[str, jax.Array]:
    """Cut examples out of blocks; images stay bytes."""
    found = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *blocks)
    rows = jax.tree.map(lambda array: lax.dynamic_slice_in_dim(array, begin, number), found)
    return {
        name: array if name == "image" else array.astype(jnp.int32) for name, array in rows.items()
    }


def _draw_one_stylised(key: jax.Array, scene: jax.Array) -> RenderedScene:
    return stylised(key, scene, jax.random.fold_in(key, 1))


_draw_plain = jax.jit(jax.vmap(render))
_draw_stylised = jax.jit(jax.vmap(_draw_one_stylised))
