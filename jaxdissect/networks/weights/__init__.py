"""Weights: read from files without executing anything, fitted to networks, downloaded."""

from jaxdissect.networks.weights.download import PublishedFile as PublishedFile
from jaxdissect.networks.weights.download import cache_folder as cache_folder
from jaxdissect.networks.weights.download import download as download
from jaxdissect.networks.weights.files import read_weights as read_weights
from jaxdissect.networks.weights.files import write_weights as write_weights
from jaxdissect.networks.weights.linen_weights import load_linen_weights as load_linen_weights
from jaxdissect.networks.weights.mapping import Naming as Naming
from jaxdissect.networks.weights.mapping import parameters as parameters
from jaxdissect.networks.weights.mapping import pytorch_shapes as pytorch_shapes
from jaxdissect.networks.weights.mapping import with_parameters as with_parameters
from jaxdissect.networks.weights.nnx_weights import load_weights as load_weights
from jaxdissect.networks.weights.published import PUBLISHED as PUBLISHED
from jaxdissect.networks.weights.published import Published as Published
