"""Paint with the units of a generator."""

from jaxdissect.painting.document import Action as Action
from jaxdissect.painting.document import Paint as Paint
from jaxdissect.painting.document import PaintedStroke as PaintedStroke
from jaxdissect.painting.document import Painting as Painting
from jaxdissect.painting.json_document import from_json as from_json
from jaxdissect.painting.json_document import to_json as to_json
from jaxdissect.painting.rendering import as_bytes as as_bytes
from jaxdissect.painting.rendering import replay as replay
from jaxdissect.painting.strokes import Stroke as Stroke
