"""How a statistic meets a data set: batches, folds, labelers, memory, checkpoints."""

from jaxdissect.engine import data as data
from jaxdissect.engine.batching import Batch as Batch
from jaxdissect.engine.batching import BlockSource as BlockSource
from jaxdissect.engine.batching import Joined as Joined
from jaxdissect.engine.batching import Source as Source
from jaxdissect.engine.batching import Stored as Stored
from jaxdissect.engine.batching import batches as batches
from jaxdissect.engine.batching import read_block as read_block
from jaxdissect.engine.folding import Progress as Progress
from jaxdissect.engine.folding import fold as fold
from jaxdissect.engine.folding import map_batches as map_batches
from jaxdissect.engine.folding import no_progress as no_progress
from jaxdissect.engine.label_grid import LayerOnGrid as LayerOnGrid
from jaxdissect.engine.labelers import Labeler as Labeler
from jaxdissect.engine.labelers import annotated as annotated
from jaxdissect.engine.labelers import at_pixel_centers as at_pixel_centers
from jaxdissect.engine.labelers import colored as colored
from jaxdissect.engine.labelers import segmented as segmented
from jaxdissect.engine.labelers import together as together
from jaxdissect.engine.layer_reader import LayerMaps as LayerMaps
from jaxdissect.engine.layer_reader import LayerReader as LayerReader
from jaxdissect.engine.layer_reader import image_input as image_input
from jaxdissect.engine.memory_plan import MemoryPlan as MemoryPlan
from jaxdissect.engine.memory_plan import plan_memory as plan_memory
from jaxdissect.engine.resume import digest as digest
from jaxdissect.engine.resume import fold_resumably as fold_resumably
