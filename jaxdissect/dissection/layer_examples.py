"""What there is to show of every unit: top images, patches, a histogram, and its mistakes.

Shapes: U units, k top images, m mistakes, n examples of a sample, E edges of bins. Masks have a bit
for each pixel (see `jaxdissect.arrays.bit_masks`).
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8

from jaxdissect.arrays import bit_masks
from jaxdissect.arrays.representation import short_repr
from jaxdissect.arrays.resampling import Shape
from jaxdissect.engine.saved_files import damaged

ARRAYS, PHOTOS = "unit_examples.npz", "photos"
"""The file and the folder that `UnitExamples.save` writes."""

_FORMAT = 1
_WAY_OUT = "run the command again, or copy the folder again from where it is whole"


class Mistakes(NamedTuple):
    """Examples of a sample on which units and their best concepts disagree most, worst first.

    Attributes:
        examples: Positions in the data set; -1 where there are no more.
        pixels: How many pixels of the label grid are wrong; 0 where there are no more.
        masks: Where the unit is active.
        concept_masks: Where the concept is.
    """

    examples: Int64[np.ndarray, "U m"]
    pixels: Int32[np.ndarray, "U m"]
    masks: UInt8[np.ndarray, "U m bytes"]
    concept_masks: UInt8[np.ndarray, "U m bytes"]

    __repr__ = short_repr


class LayerExamples(NamedTuple):
    """What there is to show of the units of a layer.

    Attributes:
        units: The units.
        concepts: Their best concepts, as ids of the vocabulary; 0 for none.
        examples: Positions of the examples with the highest peaks, best first, as the dissection
            found them.
        peaks: Highest activation in each of them.
        cells: Rows and columns of the layer.
        places: Row and column of the layer's cell with this activation; of several such cells the
            one nearest to their middle.
        masks: Where the unit is active: a_u > t_u.
        boxes: The receptive field of this cell in the image, clipped: left, top, right, bottom in
            pixels, right and bottom exclusive. None for networks that make images, and where no
            receptive field could be measured.
        field_size: Height and width of a whole receptive field in pixels; None as `boxes`, and
            where it covers the image from every cell.
        edges: Edges of the bins of the histogram, of even width; the threshold is one of them.
        counts: How many pixels of the label grid, over the sample, have values in
            (edges[i], edges[i + 1]]. The first bin holds also what lies below it, the last what
            lies above.
        false_positives: Examples where the unit is active outside its best concept. Those without
            the concept come first, then by the number of such pixels.
        false_negatives: Examples with pixels of the best concept on which the unit is not active.
            Those where it is active on none of them come first, then by the number of such pixels.
    """

    units: Int64[np.ndarray, "U"]
    concepts: Int64[np.ndarray, "U"]
    examples: Int64[np.ndarray, "U k"]
    peaks: Float32[np.ndarray, "U k"]
    cells: Shape
    places: Int32[np.ndarray, "U k 2"]
    masks: UInt8[np.ndarray, "U k bytes"]
    boxes: Int32[np.ndarray, "U k 4"] | None
    field_size: Shape | None
    edges: Float32[np.ndarray, "U E"]
    counts: Int64[np.ndarray, "U _"]
    false_positives: Mistakes
    false_negatives: Mistakes

    __repr__ = short_repr


class UnitExamples(NamedTuple):
    """What there is to show of every unit of some layers; made by `unit_examples`.

    Attributes:
        layers: By layer.
        sample: Positions of the examples that histograms and mistakes are found in.
        mask_size: Rows and columns of all masks, which cover whole images.
        image_size: Height and width of the images in pixels, as the network's data give them.
        photos: The images that any unit shows, by position, small: bytes of JPEG files.
        network: Digest of the network's parameters, as in `Provenance`.
    """

    layers: dict[str, LayerExamples]
    sample: Int64[np.ndarray, "n"]
    mask_size: Shape
    image_size: Shape
    photos: Mapping[int, bytes]
    network: str

    __repr__ = short_repr

    def mask(self, packed: UInt8[np.ndarray, "*batch bytes"]) -> Bool[np.ndarray, "..."]:
        """Unpack any of the masks, [..., rows, columns]."""
        return bit_masks.unpack(packed, self.mask_size)

    def save(self, folder: str | Path) -> None:
        """Write ``unit_examples.npz``, and ``photos`` with a JPEG file for each photograph."""
        folder = Path(folder)
        (folder / PHOTOS).mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            "format": np.int64(_FORMAT),
            "layers": np.array(list(self.layers), np.str_),
            "sample": self.sample,
            "mask_size": np.array(self.mask_size, np.int64),
            "image_size": np.array(self.image_size, np.int64),
            "photos": np.array(sorted(self.photos), np.int64),
            "network": np.array(self.network),
        }
        for index, layer in enumerate(self.layers.values()):
            arrays |= {f"{index}/{name}": array for name, array in _arrays_of(layer)}
        np.savez_compressed(folder / ARRAYS, **arrays)
        for position, photo in self.photos.items():
            photo_path(folder, position).write_bytes(photo)


def load_unit_examples(folder: str | Path) -> UnitExamples:
    """Read what `UnitExamples.save` wrote; photographs are read when they are asked for.

    Raises:
        FileNotFoundError: If the folder holds none.
        ValueError: If the file is damaged, or of another version; the message names it.
    """
    path = Path(folder) / ARRAYS
    if not path.exists():
        raise FileNotFoundError(f"no examples of units in {folder}: {ARRAYS} is missing")
    try:
        arrays = _read_arrays(path)
        found = int(arrays["format"])
    except Exception as problem:  # broken bytes can trip decompression up in any way
        raise damaged(path, f"it is no npz file of examples: {problem!r}", _WAY_OUT) from problem
    if found != _FORMAT:
        raise ValueError(
            f"{path} has format {found}, and this version reads {_FORMAT}: update jaxdissect, or "
            "run the command again"
        )
    try:
        return UnitExamples(
            {str(name): _layer_of(arrays, index) for index, name in enumerate(arrays["layers"])},
            arrays["sample"],
            _shape(arrays["mask_size"]),
            _shape(arrays["image_size"]),
            _PhotoFiles(Path(folder), tuple(map(int, arrays["photos"]))),
            str(arrays["network"]),
        )
    except (KeyError, ValueError, IndexError, TypeError) as problem:
        raise damaged(path, f"arrays are missing: {problem!r}", _WAY_OUT) from problem


def photo_path(folder: str | Path, position: int) -> Path:
    """Name the file of a photograph in a folder that `UnitExamples.save` wrote."""
    return Path(folder) / PHOTOS / f"{position}.jpg"


class _PhotoFiles(Mapping[int, bytes]):
    """Photographs in files, by position."""

    def __init__(self, folder: Path, positions: tuple[int, ...]) -> None:
        self._folder, self._positions = folder, dict.fromkeys(positions)

    def __getitem__(self, position: int) -> bytes:
        if position not in self._positions:
            raise KeyError(position)
        return photo_path(self._folder, position).read_bytes()

    def __iter__(self) -> Iterator[int]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)


_KINDS_OF_MISTAKES = ("false_positives", "false_negatives")


def _arrays_of(layer: LayerExamples) -> Iterator[tuple[str, np.ndarray]]:
    """Name the arrays of a layer; those that are None are left out."""
    for name, value in layer._asdict().items():
        if name in _KINDS_OF_MISTAKES:
            for part, array in value._asdict().items():
                yield f"{name}/{part}", array
        elif value is not None:
            yield name, np.asarray(value)


def _layer_of(arrays: Mapping[str, np.ndarray], index: int) -> LayerExamples:
    values: dict[str, Any] = {
        name: Mistakes(*(arrays[f"{index}/{name}/{part}"] for part in Mistakes._fields))
        for name in _KINDS_OF_MISTAKES
    }
    for name in set(LayerExamples._fields) - set(_KINDS_OF_MISTAKES):
        key = f"{index}/{name}"
        may_be_none = name in ("boxes", "field_size")
        values[name] = None if may_be_none and key not in arrays else arrays[key]
    for name in ("cells", "field_size"):
        values[name] = None if values[name] is None else _shape(values[name])
    return LayerExamples(**values)


def _shape(array: np.ndarray) -> Shape:
    rows, columns = array
    return int(rows), int(columns)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        # Checks all checksums, of which numpy looks at some.
        if broken := zipfile.ZipFile(file).testzip():
            raise ValueError(f"{broken} does not match its checksum")
        file.seek(0)
        arrays = np.load(file, allow_pickle=False)
        return {name: arrays[name] for name in arrays.files}
