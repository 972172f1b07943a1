"""A part of the demonstration about a network: its dissection, and what the page shows of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdissect.commands.output.dissection_files import write_dissection
from jaxdissect.dissection.example_search import unit_examples
from jaxdissect.dissection.result import Dissection
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.labelers import Labeler
from jaxdissect.plots.concept_chart import concept_figure
from jaxdissect.plots.figure_files import save_figure


def write_network(
    folder: Path,
    result: Dissection,
    network: Any,
    source: Source,
    labeler: Labeler,
    *,
    sample: int,
    options: Any,
    progress: Progress,
    how: Mapping[str, Any] | None = None,
) -> None:
    """Write a dissection, and what its page shows of every unit if there is to be a page.

    Args:
        folder: New folder.
        result: The dissection.
        network, source, labeler: What it was made with.
        sample: Examples in which histograms and mistakes are found.
        options: The options of the demonstration.
        progress: Called with how far each pass has come.
        how: `inputs` and `output_image`, if `dissect` was given them.
    """
    folder.mkdir()
    write_dissection(folder, result, source, options)
    save_figure(folder / "concepts.png", concept_figure(result))
    if options.page:
        unit_examples(
            result, network, source, labeler, sample=sample, progress=progress, **(how or {})
        ).save(folder)
