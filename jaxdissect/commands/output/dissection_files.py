"""Write a dissection into a folder: its arrays, its settings and its tables."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.settings import provenance
from jaxdissect.commands.output.table_files import write_csv
from jaxdissect.dissection.result import Dissection
from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.decoded_cache import decoded_source
from jaxdissect.engine.data.folders import ImageFolder


def write_dissection(folder: Path, result: Dissection, source: Source, options: Any) -> None:
    """Write everything but the charts and images.

    Args:
        folder: Where to write.
        result: The dissection.
        source: What was dissected; images of a folder are listed by their names, and the settings
            keep which were skipped.
        options: The options of the command, a dataclass, which the settings keep.
    """
    source = decoded_source(source)
    settings = {**result.settings, **provenance(options)}
    if isinstance(source, ImageFolder):
        settings["skipped"] = list(source.skipped)
    replace(result, settings=settings).save(folder)
    result.write_csv(folder / "units.csv")
    write_csv(folder / "concepts.csv", *dissection_tables.concept_table(result))
    write_csv(folder / "layers.csv", *dissection_tables.category_table(result))
    if isinstance(source, ImageFolder):
        write_csv(folder / "images.csv", ("example", "image"), list(enumerate(source.names)))
