"""Linear maps that read maps in a row: PyTorch has [C, h, w] in a row, networks here [h, w, C].

Both rows are of one length, so no shape tells them apart, and a network with its weights in the
wrong order runs. So wherever it may be, the user is asked.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxdissect.networks.weights.layouts import Stored
from jaxdissect.networks.weights.module_tree import Place

Maps = Mapping[str, Sequence[int] | None]
"""By the path of a layer, the maps [C, h, w] that are one row in PyTorch; None if none are."""


class Sizes(NamedTuple):
    """What a layer reads and makes.

    Attributes:
        path: Its dotted path.
        kind: "convolution", "linear", or "other", such as normalisation.
        inputs: Channels that it reads.
        outputs: Channels that it makes.
    """

    path: str
    kind: str
    inputs: int
    outputs: int


def sizes_of(places: Iterable[Place]) -> list[Sizes]:
    """Describe all layers that hold arrays, in the order of these."""
    layers: dict[str, Sizes] = {}
    for place in places:
        path, shape = place.layer, tuple(place.value.shape)
        if place.keys[-1] == "kernel" and len(shape) > 1:
            inputs, outputs = shape[-2:]
            if getattr(place.holders[-1], "transpose_kernel", False):
                inputs, outputs = outputs, inputs
            kind = "linear" if len(shape) == 2 else "convolution"
            layers[path] = Sizes(path, kind, inputs, outputs)
        elif len(shape) == 1:
            layers.setdefault(path, Sizes(path, "other", shape[0], shape[0]))
    return list(layers.values())


def questions(
    layers: Sequence[Sizes], flattened: Maps, unflattened: Maps, *, in_order: bool
) -> str:
    """Ask about linear maps that may read maps in a row, or make them.

    Args:
        layers: All layers.
        flattened: Layers whose inputs the user has explained.
        unflattened: Layers whose outputs the user has explained.
        in_order: Whether layers are in the order of definition, in which most read what the one
            before them makes.

    Returns:
        A message; "" if there is nothing to ask.
    """
    asked = []
    for place, layer in enumerate(layers):
        if layer.kind != "linear":
            continue
        before = layers[place - 1] if in_order and place else None
        following = [other for other in layers[place + 1 :] if other.kind != "other"]
        after = following[0] if in_order and following else None
        others = [other for other in layers if other is not layer]
        sources = layers[:place] if in_order else others
        if layer.path not in flattened and (channels := _read(layer.inputs, sources, before)):
            asked.append(_question("flattened", layer.path, layer.inputs, channels, "inputs"))
        if layer.path not in unflattened and (
            channels := _made(layer.outputs, others, after, in_order=in_order)
        ):
            asked.append(_question("unflattened", layer.path, layer.outputs, channels, "outputs"))
    return "\n".join([_BEGINNING, *asked]) if asked else ""


_BEGINNING = (
    "fits in two ways: PyTorch lays maps in a row as [C, h, w], networks here as [h, w, C], and "
    "shapes do not tell where. Please say"
)


def rearranged(stored: Stored, maps: Sequence[int], axis: int) -> Stored:
    """Bring an axis of an array of a file, which has maps in a row, into the order used here."""

    def from_file(array: np.ndarray) -> np.ndarray:
        apart = array.reshape(*array.shape[:axis], *maps, *array.shape[axis + 1 :])
        return stored.from_file(np.moveaxis(apart, axis, axis + 2).reshape(array.shape))

    return stored._replace(from_file=from_file)


def arranged(
    place: Place, stored: Stored, flattened: Maps, unflattened: Maps, *, has_kernel: bool
) -> Stored:
    """Read an array of a layer as the user explains its rows.

    Args:
        place: The array.
        stored: Where and how a file keeps it.
        flattened: Layers whose inputs are maps in a row.
        unflattened: Layers whose outputs are.
        has_kernel: Whether the layer has a kernel, so that its other arrays belong to outputs.

    Raises:
        ValueError: If maps are not of three sizes that have so many entries.
    """
    is_kernel = place.keys[-1] == "kernel"
    for argument, given, axis in (
        ("flattened", flattened, 1 if is_kernel else 0),
        ("unflattened", unflattened, 0),
    ):
        maps = given.get(place.layer)
        if maps is None or (argument == "flattened" and has_kernel and not is_kernel):
            continue
        shape = stored.shape or ()
        size = shape[axis] if axis < len(shape) else 0
        if len(maps) != 3 or math.prod(maps) != size:
            what = "reads" if axis else "has"
            raise ValueError(
                f"`{argument}` (={maps!r} for {place.layer!r}) must be channels, rows and columns "
                f"of maps with {size} cells in all, as many as it {what}"
            )
        stored = rearranged(stored, maps, axis)
    return stored


def _read(size: int, sources: Sequence[Sizes], before: Sizes | None) -> int | None:
    """Find the channels of maps that a linear map may read in a row."""
    maps = [source.outputs for source in sources if source.kind == "convolution"]
    fitting = [channels for channels in maps if 1 < channels < size and size % channels == 0]
    if not fitting or (before is not None and before.outputs == size):
        return None
    if before is not None and before.kind != "linear" and before.outputs in fitting:
        return before.outputs
    return None if any(source.outputs == size for source in sources) else fitting[-1]


def _made(size: int, others: Sequence[Sizes], after: Sizes | None, *, in_order: bool) -> int | None:
    """Find the channels of square maps that a linear map may make in a row."""
    if in_order:
        others = [] if after is None else [after]
    elif any(other.inputs == size for other in others if other.kind != "other"):
        return None
    for other in others:
        cells, rest = divmod(size, other.inputs)
        square = cells > 1 and not rest and math.isqrt(cells) ** 2 == cells
        # Not the first convolution of images, whose 3 channels divide many numbers of classes.
        if other.kind == "convolution" and other.inputs > 4 and square:
            return other.inputs
    return None


def _question(argument: str, path: str, size: int, channels: int, what: str) -> str:
    cells = size // channels
    side = math.isqrt(cells)
    sides = f"{side}, {side}" if side**2 == cells else f"h, w) with h w = {cells}"
    maps = f"({channels}, {sides}" + (")" if side**2 == cells else "")
    return (
        f"  {argument}={{{path!r}: {maps}}} if its {size} {what} are {channels} maps of {cells} "
        f"cells, or {{{path!r}: None}}"
    )
