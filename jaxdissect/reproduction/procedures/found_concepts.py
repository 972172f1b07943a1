"""What a dissection found, as quantities and as a folder with its page."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.unit_images import top_images
from jaxdissect.engine.batching import Source
from jaxdissect.plots import concept_chart
from jaxdissect.plots.figure_files import save_figure
from jaxdissect.plots.unit_strips import save_unit_strips
from jaxdissect.report.result_folders import build_report
from jaxdissect.reproduction.procedures.procedure import Measured, known
from jaxdissect.reproduction.way import Way

FOLDER = "dissection"
"""Where the dissection is kept, in the folder of the experiment."""


def concept_quantities(
    result: Dissection,
    *,
    with_units_of: Collection[str] = (),
    wanted: Collection[str] = (),
) -> Measured:
    """Count detectors, and the concepts that they detect, of every layer and category.

    Args:
        result: The dissection.
        with_units_of: Layers whose detectors are counted concept by concept too.
        wanted: Of these counts, those that are given even where they are 0.

    Returns:
        Numbers under ``concepts/LAYER/CATEGORY``, ``units/LAYER/CATEGORY``, ``units/LAYER`` and
        ``units/LAYER/CATEGORY/CONCEPT``; ``entries``, those of the vocabulary with "none".
    """
    names, categories = result.vocabulary.names, result.vocabulary.categories
    found = {"entries": len(result.vocabulary)}
    for name, layer in result.layers.items():
        found[f"units/{name}"] = len(layer.detectors())
        for category, count in layer.category_counts().items():
            found[f"units/{name}/{category}"] = count.units
            found[f"concepts/{name}/{category}"] = count.concepts
        if name in with_units_of:
            counts = layer.concept_counts()
            for concept in range(1, len(names)):
                key = f"units/{name}/{categories[concept]}/{names[concept]}"
                if concept in counts or key in wanted:
                    found[key] = counts.get(concept, 0)
    return known(found)


def dissected_quantities(layers: Iterable[str]) -> tuple[str, ...]:
    """Name what `concept_quantities` counts in layers."""
    kinds = ("units/{}", "units/{}/*", "concepts/{}/*")
    return ("entries", *(kind.format(layer) for layer in layers for kind in kinds))


def write_found(
    folder: Path, result: Dissection, network: Any, source: Source, way: Way, **how: Any
) -> None:
    """Write a dissection with its charts, the images of its best units, and a page.

    Args:
        folder: Folder of the experiment.
        result: The dissection.
        network: What was dissected.
        source: On what.
        way: How it ran.
        **how: What `dissect` was given of `inputs` and `output_image`.
    """
    home = folder / FOLDER
    result.save(home)
    result.write_csv(home / "units.csv")
    save_figure(home / "concepts.png", concept_chart.concept_figure(result))
    shown = top_images(result, network, source, progress=way.progress, **how)
    save_unit_strips(home, shown)
    build_report(home, [home])
