"""The second part of the demonstration: what the units of the scene classifier detect and cause."""

from jaxdissect.engine.batches import Source
from jaxdissect.engine.fold import Progress
from jaxdissect.engine.labelers import annotated
from jaxdissect.experiments.dissect import dissect
from jaxdissect.experiments.dissection import Dissection
from jaxdissect.faces import figures, strips, tables
from jaxdissect.faces.report.page import Picture, Section, Table
from jaxdissect.networks.network import Network
from jaxdissect.scenes.concepts import vocabulary

LAYERS = tuple(f"features.relu{name}" for name in ("1_1", "2_1", "3_1", "3_2", "4_1", "4_2"))
"""Every convolution, after its ReLU."""

NUM_REMOVED = 4
"""Units of a class that are removed together."""


def dissect_classifier(network: Network, source: Source, progress: Progress) -> Dissection:
    """Dissect every convolution with the labels that were drawn."""
    return dissect(
        network,
        source,
        annotated(vocabulary()),
        layers=LAYERS,
        grid=(32, 32),
        batch_size=32,
        progress=progress,
    )


def dissection_section(
    network: Network, source: Source, result: Dissection, progress: Progress
) -> Section:
    """Show the detectors of every layer, and the best units of the last at work."""
    last = LAYERS[-1]
    alone = Dissection({last: result[last]}, result.vocabulary, result.settings)
    rows = strips.top_unit_strips(network, source, alone, batch_size=32, progress=progress)[last]
    header, layer_rows = tables.layer_table(result)
    unit_header, unit_rows = tables.best_unit_table(result)
    return Section(
        "What the units of the classifier detect",
        (
            f"For every unit of the {len(LAYERS)} convolutions, the threshold that it exceeds on "
            "1% of all pixels; then the concept whose pixels agree best with those above it, by "
            f"intersection over union, on {result.settings['examples']} pictures. A unit whose IoU "
            f"exceeds {result[last].min_iou:g} is called a detector.",
            "Colors and materials come first. Objects and their parts appear in the later layers, "
            "although nobody told the network about objects.",
        ),
        (
            Table("Detectors by category, with (distinct concepts).", header, layer_rows),
            Picture(
                "How many units of every layer detect each concept.",
                figures.concept_figure(result),
            ),
            Table("The ten most interpretable units of all layers.", unit_header, unit_rows),
            Picture(
                f"The best units of {last}: the pictures with their highest peaks, lit where the "
                "unit exceeds its threshold.",
                strips.draw_sheet(last, rows),
            ),
        ),
    )
