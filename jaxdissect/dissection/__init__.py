"""Dissect networks: which concept does each unit of each layer respond to?"""

from jaxdissect.dissection.comparison import ComparedSide as ComparedSide
from jaxdissect.dissection.comparison import Comparison as Comparison
from jaxdissect.dissection.comparison import DetectedConcept as DetectedConcept
from jaxdissect.dissection.comparison import MatchedUnits as MatchedUnits
from jaxdissect.dissection.comparison import compare as compare
from jaxdissect.dissection.presets import GANDISSECT2019 as GANDISSECT2019
from jaxdissect.dissection.presets import NETDISSECT2017 as NETDISSECT2017
from jaxdissect.dissection.presets import PNAS2020 as PNAS2020
from jaxdissect.dissection.presets import PRESETS as PRESETS
from jaxdissect.dissection.presets import REFERENCE as REFERENCE
from jaxdissect.dissection.presets import Preset as Preset
from jaxdissect.dissection.presets import Scope as Scope
from jaxdissect.dissection.presets import all_pixels as all_pixels
from jaxdissect.dissection.presets import annotated_images as annotated_images
from jaxdissect.dissection.presets import annotated_pixels as annotated_pixels
from jaxdissect.dissection.result import CategoryCount as CategoryCount
from jaxdissect.dissection.result import Dissection as Dissection
from jaxdissect.dissection.result import LayerDissection as LayerDissection
from jaxdissect.dissection.result import Provenance as Provenance
from jaxdissect.dissection.result import load_dissection as load_dissection
from jaxdissect.dissection.run import dissect as dissect
from jaxdissect.dissection.unit_images import UnitImages as UnitImages
from jaxdissect.dissection.unit_images import active_regions as active_regions
from jaxdissect.dissection.unit_images import top_images as top_images
