"""Networks whose layers can be recorded and edited, and the published ones.

`Network` is the protocol, and `adapters` make one of an nnx or linen module or of functions. `Edit`
changes the output of units; masks say which units stay. `pretrained` and `load_network` build the
networks of `models` with weights that `weights` reads; `segmenters` name what images show.
"""

from jaxdissect.networks.ablation_masks import best_unit_masks as best_unit_masks
from jaxdissect.networks.ablation_masks import single_unit_masks as single_unit_masks
from jaxdissect.networks.ablation_masks import unit_set_masks as unit_set_masks
from jaxdissect.networks.convolution import Conv2D as Conv2D
from jaxdissect.networks.convolution import conv2d as conv2d
from jaxdissect.networks.convolution import max_pool2d as max_pool2d
from jaxdissect.networks.edits import Edit as Edit
from jaxdissect.networks.edits import ablate as ablate
from jaxdissect.networks.edits import add_noise as add_noise
from jaxdissect.networks.edits import apply_edit as apply_edit
from jaxdissect.networks.edits import compose as compose
from jaxdissect.networks.edits import insert as insert
from jaxdissect.networks.edits import keep_units as keep_units
from jaxdissect.networks.edits import mask_params as mask_params
from jaxdissect.networks.edits import replace_by_mean as replace_by_mean
from jaxdissect.networks.imagenet import imagenet_classes as imagenet_classes
from jaxdissect.networks.imagenet import imagenet_synsets as imagenet_synsets
from jaxdissect.networks.loading import convert as convert
from jaxdissect.networks.loading import fetch as fetch
from jaxdissect.networks.loading import load_network as load_network
from jaxdissect.networks.loading import pretrained as pretrained
from jaxdissect.networks.loading import untrained as untrained
from jaxdissect.networks.network import Network as Network
from jaxdissect.networks.network import as_maps as as_maps
from jaxdissect.networks.network import as_network as as_network
from jaxdissect.networks.network import layer_shapes as layer_shapes
from jaxdissect.networks.precision import in_precision as in_precision
