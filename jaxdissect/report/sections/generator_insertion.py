"""The section of `jaxdissect generate insert`: where a concept appears when units are inserted."""

from collections.abc import Iterator, Sequence

from jaxdissect.report.page_section import KeyFigure, PageSection, PageTable
from jaxdissect.report.sections.columns import Column, number_of, page_table, text
from jaxdissect.report.sections.generator_removal import SEGMENTED
from jaxdissect.report.sections.pictures import Picture, figures_there
from jaxdissect.report.sections.result_folder import ResultFolder, Row
from jaxdissect.report.sections.wording import change, count, decimal, images

_THERE, _ADDED, _ERROR = "was there", "pixels added", "standard error by images"
_TEXTS = frozenset((_THERE, "category", "concept"))
_FEWEST = 100  # samples of contexts that are named, where the options do not say


def generator_insertion_sections(folder: ResultFolder) -> list[PageSection]:
    """Say where a concept appears when its units are inserted.

    Args:
        folder: What `jaxdissect generate insert` has written.
    """
    layer, concept = folder.named("layer", default="a layer"), folder.named("concept", default="it")
    units = folder.number("command", "num_units")
    times = folder.number("command", "times") or 1
    level = "the level" if times == 1 else f"{times:g} times the level"
    contexts = list(folder.rows("contexts", texts=_TEXTS, needs=(_THERE,)))
    section = PageSection(
        title=f"Inserting units of {layer} that match {concept}",
        question=(
            f"Where does {concept} appear when the "
            f"{'units' if units is None else count(units, 'unit')} of `{layer}` that match it best "
            f"are set to high values at one cell? Each is set to {level} that it exceeds on 0.5% "
            "of the pixels, at one cell after the other, in "
            f"{images(folder.number('command', 'num_images'))}; what was there is what the image "
            "showed below the cell before."
        ),
        facts=list(_facts(folder, contexts)),
        found=list(_findings(folder, contexts, concept)),
        content=[
            *figures_there(folder, _pictures(folder, contexts, concept, layer)),
            *_tables(folder, concept),
        ],
        limits=[
            SEGMENTED,
            "Insertions at several cells of one image are not independent: the standard errors by "
            "images, and the bands made of them, are those to judge by. With few images, or a "
            "context that few images have, they are themselves rough.",
            "A level that a unit exceeds on 0.5% of the pixels is high but occurs; that it occurs "
            "at that place, together with all the others, need not be so.",
        ],
        layer=layer,
    )
    return [section]


def _named(folder: ResultFolder, contexts: Sequence[Row]) -> list[Row]:
    """Contexts of one category with enough samples, those first where most is added."""
    fewest = folder.number("command", "min_samples") or _FEWEST
    category = folder.option("category")
    found = [
        row
        for row in contexts
        if (number_of(row, "samples") or 0) >= fewest
        and row.get(_THERE) not in ("anything", "none")
        and (category is None or row.get("category") == category)
        and number_of(row, _ADDED) is not None
    ]
    return sorted(found, key=lambda row: -(number_of(row, _ADDED) or 0.0))


def _facts(folder: ResultFolder, contexts: Sequence[Row]) -> Iterator[KeyFigure]:
    anywhere = [row for row in contexts if row.get(_THERE) == "anything"]
    named = _named(folder, contexts)
    for row, label in (
        *((row, "pixels added by one insertion, anywhere") for row in anywhere[:1]),
        *((row, f"pixels added where there was {row.get(_THERE)}") for row in named[:1]),
        *((row, f"pixels added where there was {row.get(_THERE)}") for row in named[1:][-1:]),
    ):
        added, error = number_of(row, _ADDED), number_of(row, _ERROR)
        if added is not None:
            note = None if error is None else f"± {decimal(error, digits=1)}, standard error"
            yield KeyFigure(label, change(added, digits=1), note)


def _findings(folder: ResultFolder, contexts: Sequence[Row], concept: str) -> Iterator[str]:
    named = _named(folder, contexts)
    if len(named) > 1:
        (most, first), (least, last) = (
            (row.get(_THERE), _measured(row)) for row in (named[0], named[-1])
        )
        yield (
            f"Whether {concept} appears depends on what was there. Most is added where there was "
            f"{most}: {first} pixels; least where there was {least}: {last} (standard errors by "
            "images)."
        )
    over = [row for row in contexts if row.get(_THERE) == "anything"]
    for row in over[:1]:
        share, band = (number_of(row, name) for name in ("added over mean area", "99% band"))
        if share is not None and band is not None:
            yield (
                f"One insertion adds {decimal(share)} ± {decimal(band)} (99% band) of the mean "
                f"area of {concept} in an image."
            )
    moved = [
        f"{row.get('concept')} {change(value, digits=1)}"
        for row in list(folder.rows("changes", texts=_TEXTS, needs=("concept",)))[:5]
        if (value := number_of(row, "pixels changed per insertion")) is not None
    ]
    if moved:
        yield f"What one insertion changes most in the whole image, in pixels: {', '.join(moved)}."


def _measured(row: Row) -> str:
    added, error = number_of(row, _ADDED), number_of(row, _ERROR)
    sure = "" if error is None else f" ± {decimal(error, digits=1)}"
    return "unknown" if added is None else f"{decimal(added, digits=1)}{sure}"


def _pictures(
    folder: ResultFolder, contexts: Sequence[Row], concept: str, layer: str
) -> Iterator[Picture]:
    bars = "; ".join(f"{row.get(_THERE)} {_measured(row)}" for row in _named(folder, contexts)[:10])
    yield Picture(
        "contexts",
        f"Pixels of {concept} that one insertion adds, by what was there; standard errors by "
        "images.",
        f"Bars with error bars, in pixels: {bars}.",
    )
    cells = [
        (added, row)
        for row in folder.rows("cells", needs=("row", "column"))
        if (added := number_of(row, _ADDED)) is not None
    ]
    best = max(cells, key=lambda item: item[0], default=None)
    peak = (
        ""
        if best is None
        else f" Most, {decimal(best[0], digits=1)} pixels, is added at row {best[1].get('row')}, "
        f"column {best[1].get('column')}, counted from 0 at the top left."
    )
    yield Picture(
        "cells",
        f"Pixels of {concept} that an insertion adds on average, by cell of {layer}.",
        f"A map with a color for each cell of the layer.{peak}",
    )
    yield Picture(
        "places",
        f"The places where most {concept} appears, and those where least does: before and after, "
        "with the cell framed.",
        "Rows of generated images before and after an insertion; a frame marks the cell.",
    )


def _tables(folder: ResultFolder, concept: str) -> Iterator[PageTable]:
    fewest = folder.number("command", "min_samples") or 2
    yield from page_table(
        folder,
        "contexts",
        f"Pixels of {concept} that one insertion adds, by what was there; contexts with at least "
        f"{fewest:,} samples.",
        (
            text(_THERE),
            text("category"),
            Column("samples", "samples"),
            Column("images", "images"),
            Column(_ADDED, _ADDED),
            Column(_ERROR, _ERROR),
            Column("added over mean area, 99% band", "added over mean area", half_width="99% band"),
        ),
        keep=lambda row: (number_of(row, "samples") or 0) >= fewest,
    )
    yield from page_table(
        folder,
        "changes",
        "What one insertion changes in the whole image, greatest change first.",
        (
            text("concept"),
            text("category"),
            Column("pixels per image before", "pixels per image before"),
            Column("pixels changed per insertion", "pixels changed per insertion"),
            Column(_ERROR, _ERROR),
        ),
        most=100,
    )
    yield from page_table(
        folder,
        "places",
        "The places where most is added, and where least.",
        (
            text("place"),
            *(Column(name, name) for name in ("example", "row", "column", _ADDED)),
            text(_THERE),
        ),
    )
