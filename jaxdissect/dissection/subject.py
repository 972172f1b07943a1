"""What was dissected, kept beside the result so that units can be shown in its images."""

from dataclasses import dataclass, field

from jaxdissect.arrays.representation import short_repr
from jaxdissect.dissection.receptive_fields import receptive_extents
from jaxdissect.engine.batching import Source
from jaxdissect.engine.layer_reader import Inputs, LayerReader, OutputImage, image_input
from jaxdissect.networks.network import Network
from jaxdissect.networks.receptive_extent import ReceptiveExtent


@dataclass(frozen=True)
class Subject:
    """A network and the data on which it was dissected; never saved with the result.

    Attributes:
        network: The network, with its parameters.
        source: The examples, in the order of the dissection.
        inputs: Makes the network's input of a batch.
        output_image: For a network that makes images: RGB in [0, 1] of what it gives.
        image_key: Name of the image of an example, RGB in [0, 1]; not read from a network that
            makes images.
    """

    network: Network
    source: Source
    inputs: Inputs = image_input
    output_image: OutputImage | None = None
    image_key: str = "image"
    _extents: dict[str, ReceptiveExtent | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    __repr__ = short_repr

    def receptive_extent(self, layer: str) -> ReceptiveExtent | None:
        """Measure the receptive fields of a layer, once; None where there are none in images."""
        if layer not in self._extents:
            reader = LayerReader.of(
                self.network, layer, inputs=self.inputs, output_image=self.output_image
            )
            found = receptive_extents(
                reader, self.network.params, self.source, image_key=self.image_key
            )
            self._extents[layer] = found.get(layer)
        return self._extents[layer]
