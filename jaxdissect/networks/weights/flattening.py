"""Linear maps that read maps in a row: PyTorch has [C, h, w] in a row, networks here [h, w, C].

Both rows are of one length, so no shape tells them apart, and a network with its weights in the
wrong order runs. So the user is asked wherever sizes suggest it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxdissect.networks.weights.fitting import begins
from jaxdissect.networks.weights.layouts import Stored, is_attention, summed_axes
from jaxdissect.networks.weights.module_tree import Place

Maps = Mapping[str, Sequence[int] | None]
"""By the path of a layer, the maps [C, h, w] that are one row in PyTorch; None if none are."""


IMAGE_CHANNELS = 3


class Sizes(NamedTuple):
    """What a layer reads and makes.

    Attributes:
        path: Its dotted path.
        kind: "convolution", "linear", "embedding", or "other", such as normalisation.
        inputs: Channels that it reads.
        outputs: Channels that it makes.
        channels: Of a linear map that sums over several axes, the size of the last; else 0.
    """

    path: str
    kind: str
    inputs: int
    outputs: int
    channels: int = 0


def sizes_of(places: Iterable[Place]) -> list[Sizes]:
    """Describe all layers that hold arrays, in the order of these."""
    layers: dict[str, Sizes] = {}
    for place in places:
        path, shape = place.layer, tuple(place.value.shape)
        if place.keys[-1] == "kernel" and len(shape) > 1:
            layers[path] = _kernel_sizes(place, path, shape)
        elif place.keys[-1] == "embedding":
            layers[path] = Sizes(path, "embedding", *shape[-2:])
        elif len(shape) == 1:
            layers.setdefault(path, Sizes(path, "other", shape[0], shape[0]))
    return list(layers.values())


def _kernel_sizes(place: Place, path: str, shape: tuple[int, ...]) -> Sizes:
    owner = place.holders[-1]
    summed = summed_axes(owner, shape)
    if summed is not None:
        inputs = math.prod(shape[axis] for axis in summed)
        outputs = math.prod(shape) // max(inputs, 1)
        rows = len(summed) > 1 and not (len(place.holders) > 1 and is_attention(place.holders[-2]))
        return Sizes(path, "linear", inputs, outputs, shape[[*summed][-1]] if rows else 0)
    inputs, outputs = shape[-2:]
    if getattr(owner, "transpose_kernel", False):
        inputs, outputs = outputs, inputs
    if len(shape) == 2:
        return Sizes(path, "linear", inputs, outputs)
    groups = getattr(owner, "feature_group_count", None) or getattr(owner, "groups", 1)
    return Sizes(path, "convolution", inputs * groups, outputs)


def questions(
    layers: Sequence[Sizes], flattened: Maps, unflattened: Maps, *, in_order: bool
) -> str:
    """Ask about layers that may read maps in a row, or make them.

    A linear map that directly follows a layer with as many outputs reads these; any other one whose
    inputs are a multiple of the outputs of some convolution may read maps of it, and the first may
    read the pixels of an image or a patch. One whose outputs
    are a multiple of what the next convolution reads may make maps for it. A normalisation between
    is asked about as well. Rows of maps beside other numbers are not found.

    Args:
        layers: All layers.
        flattened: Layers whose inputs the user has explained, or for all below a path that there
            are no rows.
        unflattened: Layers whose outputs the user has explained, in the same way.
        in_order: Whether layers are in the order of definition, or of calls. Otherwise it is not
            known what follows what, and more is asked.

    Returns:
        A message; "" if there is nothing to ask.
    """
    asked = []
    for place, layer in enumerate(layers):
        before, after = None, None
        if in_order:
            before = next((one for one in reversed(layers[:place]) if one.kind != "other"), None)
            after = next((one for one in layers[place + 1 :] if one.kind != "other"), None)
        if not _is_explained(layer.path, flattened):
            channels = _read(layer, before, after, layers, in_order=in_order)
            if channels:
                asked.append(_question("flattened", layer.path, layer.inputs, channels))
        if not _is_explained(layer.path, unflattened):
            channels = _made(layer, before, [after] if in_order else layers)
            if channels:
                asked.append(_question("unflattened", layer.path, layer.outputs, channels))
    if len(asked) > 1:
        asked.append('  {"": None} says it of all layers')
    return "\n".join([_BEGINNING, *asked]) if asked else ""


def _is_explained(path: str, given: Maps) -> bool:
    return path in given or any(
        maps is None and begins(path, beginning) for beginning, maps in given.items()
    )


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


def _read(
    layer: Sizes,
    before: Sizes | None,
    after: Sizes | None,
    layers: Sequence[Sizes],
    *,
    in_order: bool,
) -> int | None:
    """Find the channels of maps that a layer may read in a row."""
    size = layer.inputs
    if before is not None and before.outputs == size and not layer.channels:
        return None
    if layer.kind in ("convolution", "embedding"):
        return None
    if layer.kind == "linear" and in_order and before is None and _is_image(size):
        return IMAGE_CHANNELS
    if layer.kind == "other" and (after is None or (after.kind, after.inputs) != ("linear", size)):
        return None
    maps = [one.outputs for one in layers if one.kind == "convolution"]
    if layer.channels:
        return layer.channels if maps else None
    fitting = [channels for channels in maps if 1 < channels < size and size % channels == 0]
    if before is not None and before.outputs in fitting:
        return before.outputs
    if not in_order and size in maps:
        return None  # the units of a convolution, averaged over its cells
    # Three channels are those of images that a generator makes.
    return next((channels for channels in reversed(fitting) if channels > IMAGE_CHANNELS), None)


def _is_image(size: int) -> bool:
    """Whether so many numbers may be a square image, or a patch of one."""
    cells, rest = divmod(size, IMAGE_CHANNELS)
    return not rest and cells >= 16 and math.isqrt(cells) ** 2 == cells


def _made(layer: Sizes, before: Sizes | None, readers: Sequence[Sizes | None]) -> int | None:
    """Find the channels of maps that a layer may make in a row, for one of some layers."""
    size = layer.outputs
    if layer.kind in ("convolution", "embedding"):
        return None
    if layer.kind == "other" and (
        before is None or (before.kind, before.outputs) != ("linear", size)
    ):
        return None
    # The channels of images divide many numbers of classes.
    least = 1 if len(readers) == 1 else IMAGE_CHANNELS
    for reader in readers:
        if reader is not None and reader.kind == "convolution":
            if least < reader.inputs < size and size % reader.inputs == 0:
                return reader.inputs
    return None


def _question(argument: str, path: str, size: int, channels: int) -> str:
    cells = size // channels
    side = math.isqrt(cells)
    sides = f"{side}, {side}" if side**2 == cells else f"h, w) with h w = {cells}"
    maps = f"({channels}, {sides}" + (")" if side**2 == cells else "")
    what = {"flattened": "inputs", "unflattened": "outputs"}[argument]
    return (
        f"  {argument}={{{path!r}: {maps}}} if its {size} {what} are {channels} maps of {cells} "
        f"cells, or {{{path!r}: None}}"
    )
