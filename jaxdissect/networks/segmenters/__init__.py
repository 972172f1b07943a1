"""Segmenters: networks that name what every pixel of an image shows."""

from jaxdissect.networks.segmenters.ade20k import ADE20K_OBJECTS as ADE20K_OBJECTS
from jaxdissect.networks.segmenters.channel_concepts import (
    read_channel_concepts as read_channel_concepts,
)
from jaxdissect.networks.segmenters.file_segmenters import FILE_SEGMENTERS as FILE_SEGMENTERS
from jaxdissect.networks.segmenters.file_segmenters import VOC_OBJECTS as VOC_OBJECTS
from jaxdissect.networks.segmenters.file_segmenters import load_deeplab as load_deeplab
from jaxdissect.networks.segmenters.file_segmenters import load_espnetv2 as load_espnetv2
from jaxdissect.networks.segmenters.parsing_segmenter import Parsing as Parsing
from jaxdissect.networks.segmenters.parsing_segmenter import unified_parsing as unified_parsing
from jaxdissect.networks.segmenters.pretrained import (
    load_semantic_segmentation as load_semantic_segmentation,
)
from jaxdissect.networks.segmenters.pretrained import load_unified_parsing as load_unified_parsing
from jaxdissect.networks.segmenters.pretrained import pretrained_segmenter as pretrained_segmenter
from jaxdissect.networks.segmenters.rules import DEFAULT_RULES as DEFAULT_RULES
from jaxdissect.networks.segmenters.rules import REFERENCE_RULES as REFERENCE_RULES
from jaxdissect.networks.segmenters.rules import Rules as Rules
from jaxdissect.networks.segmenters.scored_segmenter import segmenter_of as segmenter_of
from jaxdissect.networks.segmenters.segmenter import Segmenter as Segmenter
from jaxdissect.networks.segmenters.segmenter import merge_segmenters as merge_segmenters
from jaxdissect.networks.segmenters.segmenter import predict_labels as predict_labels
from jaxdissect.networks.segmenters.segmenter import (
    predict_single_concept as predict_single_concept,
)
from jaxdissect.networks.segmenters.semantic_segmenter import (
    semantic_segmentation as semantic_segmentation,
)
