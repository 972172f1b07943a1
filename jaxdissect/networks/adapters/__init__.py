"""Make a Network of whatever the user has."""

from jaxdissect.networks.adapters.linen_network import LinenNetwork as LinenNetwork
from jaxdissect.networks.adapters.nnx_network import NnxNetwork as NnxNetwork
from jaxdissect.networks.adapters.prepared_network import PreparedNetwork as PreparedNetwork
from jaxdissect.networks.adapters.staged_network import StagedNetwork as StagedNetwork
from jaxdissect.networks.adapters.structure import Structure as Structure
from jaxdissect.networks.adapters.structure import Structured as Structured
from jaxdissect.networks.adapters.tapped_network import TappedNetwork as TappedNetwork
