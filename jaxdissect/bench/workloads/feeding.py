"""Feeding alone: images are read, decoded, resized and placed on the device, and nothing computes.

A step that takes next to nothing adds up every image with weights of its pixels, so that each byte
must have arrived, and in its place. What binds is the host, for which there is no roof here: with
`reader` "pillow" the same files are decoded by as many threads of Pillow and nothing else, which is
the most that can be expected.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8, UInt32

from jaxdissect.bench.checking import gate
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.workload import Prepared, Work, Workload
from jaxdissect.bench.workloads.drawn_values import at_least, drawn_labels
from jaxdissect.bench.workloads.made_images import (
    InMemory,
    MadeFiles,
    TemporaryFolder,
    decoded_by_pillow,
    make_files,
)
from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.decoded_cache import cached
from jaxdissect.engine.folding import map_batches
from jaxdissect.engine.meter import Meter
from jaxdissect.engine.reader_threads import num_cores

NO_ROOF = "nothing: it is the host that works, for which no roof was measured"

_CHECKED = 64
_PRIME = 65_521


@dataclass(frozen=True, kw_only=True)
class FeedingSizes:
    """Sizes of `feeding`.

    Attributes:
        images: Images.
        batch_size: Images in a step.
        image_size: Pixels along each side of the images that are fed.
        input: JPEG files of 375 x 500 pixels; "decoded" before, and kept on disk; or "memory".
        label_maps: PNG files of labels that are read with each image; only from files.
        reader: The library, or "pillow": as many threads of bare Pillow, a batch at a time.
    """

    images: int = 256
    batch_size: int = 32
    image_size: int = 224
    input: Literal["files", "decoded", "memory"] = "files"
    label_maps: int = 0
    reader: Literal["library", "pillow"] = "library"

    def __post_init__(self) -> None:
        at_least(images=self.images, batch_size=self.batch_size)
        if self.image_size < 8 or self.image_size % 8:
            raise ValueError(f"`image_size` (={self.image_size}) must be a multiple of 8")
        if self.label_maps < 0:
            raise ValueError(f"`label_maps` (={self.label_maps}) must be at least 0")
        if self.label_maps and self.input == "memory":
            raise ValueError(
                "`label_maps` are read from files: leave `input` 'files', or 'decoded'"
            )
        if self.reader == "pillow" and (self.input != "files" or self.label_maps):
            raise ValueError(
                "`reader` (='pillow') reads images alone, from files: `input` must be 'files' and "
                "`label_maps` 0"
            )


def prepare(sizes: FeedingSizes) -> Prepared:
    """Make images, in memory or as files."""
    notes: dict[str, Any] = {"threads": num_cores()}
    labels = None
    if sizes.label_maps:
        labels = drawn_labels(
            sizes.images, 56, concepts=1825, channels=sizes.label_maps, labels_per_image=65
        )
    files: MadeFiles | None = None
    folder: TemporaryFolder | None = None
    if sizes.input == "memory":
        none = np.zeros((sizes.images, 1, 1, 1), np.int32)
        source: Source = InMemory(sizes.images, sizes.image_size, none)
        expected = _in_memory(source)
    else:
        files = make_files(sizes.images, labels)
        notes["bytes of a file"] = files.bytes // sizes.images
        folder_source = files.source(sizes.image_size)
        expected = partial(_by_pillow, folder_source.image_files, sizes.image_size)
        source = folder_source
        if sizes.input == "decoded":
            folder = TemporaryFolder()
            source = cached(folder_source, folder.path)

    def run() -> UInt32[np.ndarray, "n"]:
        if sizes.reader == "pillow":
            assert files is not None
            return _fed_by_pillow(sizes, files)
        assert folder is None or folder.path.is_dir()  # it lives as long as this function
        meter = Meter()
        found = np.zeros(sizes.images, np.uint32)
        map_batches(
            lambda batch: add_up(batch["image"], batch.get("labels")),
            source,
            batch_size=sizes.batch_size,
            receive=partial(_receive, found),
            forward_passes=0,
            description="feeding",
            progress=meter,
        )
        notes["bytes moved per image"] = round(meter.summary().bytes_moved)
        return found

    def check(answer: UInt32[np.ndarray, "n"]) -> Gate:
        some = np.unique(np.linspace(0, sizes.images - 1, _CHECKED).round().astype(int))
        own = {int(index): (expected(int(index)), _labels(labels, int(index))) for index in some}
        return gate.equal(
            answer[list(own)],
            np.array([_add_up_in_numpy(*one) for one in own.values()], np.uint32),
            against=f"{'NumPy' if sizes.input == 'memory' else 'Pillow and NumPy'}, every pixel "
            f"of {len(own)} images",
            answer=answer,
        )

    return Prepared(
        images=sizes.images,
        work=Work(products=0.0, operations=0.0, bytes=0.0, counted=NO_ROOF),
        check=check,
        run=run,
        notes=notes,
        devices=1,
    )


@jax.jit
def add_up(images: Array, labels: Array | None) -> UInt32[Array, "B"]:
    """Add up the bytes of every image [B, H, W, 3] in [0, 1], each times a weight of its place.

    Labels, where there are any, count in the same way. Sums wrap at 2**32.
    """
    found = _weighted(jnp, jnp.rint(images * 255).astype(jnp.uint32))
    return found if labels is None else found + _weighted(jnp, labels.astype(jnp.uint32))


@jax.jit
def _add_up_bytes(images: Array) -> UInt32[Array, "B"]:
    return _weighted(jnp, images.astype(jnp.uint32))


def _weighted(numbers: Any, values: Any) -> Any:
    flat = values.reshape(len(values), -1)
    weights = numbers.arange(flat.shape[1], dtype=numbers.uint32) % numbers.uint32(_PRIME)
    return (flat * (weights + numbers.uint32(1))[None]).sum(axis=1, dtype=numbers.uint32)


def _add_up_in_numpy(image: UInt8[np.ndarray, "H W 3"], labels: np.ndarray | None) -> int:
    parts = (image,) if labels is None else (image, labels)
    return sum(int(_weighted(np, part[None].astype(np.uint32))[0]) for part in parts) % 2**32


def _labels(labels: np.ndarray | None, index: int) -> np.ndarray | None:
    """Labels of an image as they stand in its files: larger than drawn, see `make_files`."""
    if labels is None:
        return None
    grid = labels.shape[1]
    each = -(-grid // 2)
    rows, columns = (
        ((np.arange(side) + 0.5) * grid / side).astype(int) for side in (3 * each, 4 * each)
    )
    return labels[index][rows[:, None], columns]


def _receive(found: np.ndarray, batch: dict[str, Any], output: Array) -> None:
    found[batch["example"][batch["weight"]]] = np.asarray(output)[batch["weight"]]


def _in_memory(source: Any) -> Callable[[int], np.ndarray]:
    return lambda index: source.images.values[index]


def _by_pillow(files: tuple[Path, ...], size: int, index: int) -> np.ndarray:
    return decoded_by_pillow(files[index], size)


def _fed_by_pillow(sizes: FeedingSizes, files: MadeFiles) -> UInt32[np.ndarray, "n"]:
    """Decode all files in threads of Pillow, and place them batch by batch."""
    paths = sorted(files.images.iterdir())

    def batches(threads: ThreadPoolExecutor) -> Iterator[np.ndarray]:
        decoded = threads.map(partial(decoded_by_pillow, size=sizes.image_size), paths)
        for start in range(0, sizes.images, sizes.batch_size):
            number = min(sizes.batch_size, sizes.images - start)
            images = [next(decoded) for _ in range(number)]
            images += images[-1:] * (sizes.batch_size - number)
            yield np.stack(images)

    with ThreadPoolExecutor(num_cores()) as threads:
        found = [_add_up_bytes(jax.device_put(images)) for images in batches(threads)]
    return np.concatenate([np.asarray(part) for part in found])[: sizes.images]


FEEDING = Workload(
    name="feeding",
    summary="Images read, decoded, resized and placed on the device; nothing is computed of them.",
    sizes=FeedingSizes,
    prepare=prepare,
)
