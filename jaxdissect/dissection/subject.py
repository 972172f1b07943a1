"""What was dissected, kept beside the result so that units can be shown in its images."""

from dataclasses import dataclass

from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.batching import Source
from jaxdissect.engine.layer_reader import Inputs, OutputImage, image_input
from jaxdissect.networks.network import Network


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

    __repr__ = short_repr
