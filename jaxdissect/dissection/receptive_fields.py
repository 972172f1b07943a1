"""Receptive fields of layers as a dissection reads them, inputs and all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, PyTree

from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.layer_reader import LayerReader
from jaxdissect.networks.receptive_extent import ReceptiveExtent, measure_receptive_extents

_PROBES = 4  # images at most whose gradients, which take memory, are found together


def receptive_extents(
    reader: LayerReader,
    params: PyTree,
    source: Source,
    *,
    image_key: str = "image",
    batch_size: int = _PROBES,
) -> Mapping[str, ReceptiveExtent | None]:
    """Measure the receptive fields of layers in the images of a source.

    Args:
        reader: Reads the layers.
        params: Parameters of the network.
        source: Examples, of which the first tells the size of the images.
        image_key: Name of the image of an example.
        batch_size: Images in a forward pass.

    Returns:
        By layer; None where nothing depends on the image. Empty for networks that make images, that
        read none under this name, or that cannot be differentiated.
    """
    if reader.output_image is not None:
        return {}
    batch = read_block(source, 0, 1)
    if image_key not in batch or batch[image_key].ndim != 4:
        return {}
    size = min(batch_size, _PROBES)
    several = {name: np.repeat(np.asarray(array), size, axis=0) for name, array in batch.items()}
    others = {**several, "example": np.zeros(size, np.int32), "weight": np.ones(size, bool)}
    shape = others.pop(image_key).shape[1:]
    try:
        return measure_receptive_extents(
            _ImageToMaps(reader, image_key), (params, others), shape, batch_size=size
        )
    except (ValueError, TypeError, NotImplementedError):
        # A network that cannot be differentiated has no patches, and all else.
        return {}


@dataclass(frozen=True)
class _ImageToMaps:
    """Layers as a function of the images of a batch, whose other arrays are given."""

    reader: LayerReader
    image_key: str

    def __call__(self, params: Any, images: Array) -> dict[str, Array]:
        own, others = params
        return self.reader.traced(own, {**others, self.image_key: images}).maps
