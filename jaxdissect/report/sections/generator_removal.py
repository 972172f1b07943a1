"""The section of `jaxdissect generate remove`: what goes without units, and what comes instead."""

from collections.abc import Iterator, Sequence

from jaxdissect.report.page_section import KeyFigure, PageSection, PageTable
from jaxdissect.report.sections.columns import Column, number_of, page_table, text, unit
from jaxdissect.report.sections.pictures import Picture, figures_there
from jaxdissect.report.sections.result_folder import ResultFolder, Row
from jaxdissect.report.sections.wording import change, count, decimal, images, percent, the_first

_NAMES = frozenset(("in its place", "category"))
_REMOVED, _LEFT, _BAND = "units removed", "fraction left", "99% band"

SEGMENTED = (
    "Areas are what a segmenter sees in the images. It errs, and it errs more in images that are "
    "unlike those it has learned from, as images with removed or inserted units may be."
)
"""A limit of every figure of areas in generated images."""


def generator_removal_sections(folder: ResultFolder) -> list[PageSection]:
    """Say what goes without the units that match a concept, and what comes in its place.

    Args:
        folder: What `jaxdissect generate remove` has written.
    """
    layer, concept = folder.named("layer", default="a layer"), folder.named("concept", default="it")
    number = folder.number("command", "num_images")
    sets = list(folder.rows("sets"))
    section = PageSection(
        title=f"Removing units of {layer} that match {concept}",
        question=(
            f"What goes from the images of a generator without the units of `{layer}` that match "
            f"{concept} best, and what comes in its place? Units are ranked by their IoU with "
            f"{concept} on some images, and put to zero, more and more of them, in "
            f"{images(number, 'other ')}."
        ),
        facts=list(_facts(sets, concept)),
        found=list(_findings(folder, sets, concept)),
        content=[
            *figures_there(folder, _pictures(folder, sets, concept)),
            *_tables(folder, sets, layer, concept),
        ],
        limits=[
            SEGMENTED,
            "The 99% band is for other latents. Units were chosen for their IoU on some latents "
            f"and are removed from others, so that what is left of {concept} is not made smaller "
            "by the choice.",
            f"A unit whose removal alone leaves {concept} as it is may still make it together with "
            "others; and removing a unit takes from an image whatever else the unit makes.",
        ],
        layer=layer,
    )
    return [section]


def _facts(sets: Sequence[Row], concept: str) -> Iterator[KeyFigure]:
    for row in sets[-1:]:
        removed, left, band = (number_of(row, name) for name in (_REMOVED, _LEFT, _BAND))
        if removed and left is not None:
            label = f"of the {concept} pixels are left without {count(removed, 'unit')}"
            note = None if band is None else f"99% band ± {band:.1%}"
            yield KeyFigure(label, percent(left), note)
    half = next(
        (row for row in sets if (left := number_of(row, _LEFT)) is not None and left < 0.5),
        None,
    )
    if half is not None:
        removed = number_of(half, _REMOVED)
        if removed is not None:
            yield KeyFigure(f"units remove more than half of {concept}", f"{removed:,}")


def _findings(folder: ResultFolder, sets: Sequence[Row], concept: str) -> Iterator[str]:
    for row in sets[-1:]:
        removed, left, pixels, band = (
            number_of(row, name) for name in (_REMOVED, _LEFT, "pixels per image", _BAND)
        )
        before = number_of(sets[0], "pixels per image")
        if removed and left is not None and pixels is not None and before is not None:
            sure = ""
            if band is not None:
                sure = f" (99% band {percent(left - band)} to {percent(left + band)})"
            yield (
                f"Without the {the_first(removed, 'best unit')}, {percent(left)} of the {concept} "
                f"pixels are left{sure}: {decimal(pixels, digits=1)} of "
                f"{decimal(before, digits=1)} an image."
            )
    instead = _last_replacements(folder, sets)
    named = [
        f"{row.get('in its place')} ({percent(share)})"
        for row in instead[:5]
        if (share := number_of(row, "share")) is not None
    ]
    if named:
        yield f"Where {concept} was, there is now {', '.join(named)}."
    singles = [
        (lost, row)
        for row in folder.rows("units", texts=frozenset(("gains most",)), needs=("unit",))
        if (lost := number_of(row, "pixels changed per image")) is not None
    ]
    if singles:
        lost, row = min(singles, key=lambda item: item[0])
        error, rank = (number_of(row, name) for name in ("standard error", "rank by IoU"))
        sure = "" if error is None else f" ± {decimal(error, digits=1)} (standard error)"
        place = "" if rank is None else f"; by IoU it is number {rank:,} of {len(singles):,}"
        if lost < 0:
            yield (
                f"Removed alone, unit {row.get('unit')} takes most from {concept}: "
                f"{change(lost, digits=1)}{sure} pixels an image{place}. As the greatest of "
                f"{len(singles):,} in the same images, this is too great to be true."
            )
        else:
            yield f"Removed alone, none of {count(len(singles), 'unit')} takes from {concept}."


def _last_replacements(folder: ResultFolder, sets: Sequence[Row]) -> list[Row]:
    """What stands where the concept was, without all the units that were removed."""
    last = number_of(sets[-1], _REMOVED) if sets else None
    rows = folder.rows("replaced", texts=_NAMES, needs=("in its place", _REMOVED))
    return [row for row in rows if row[_REMOVED] == last]


def _pictures(folder: ResultFolder, sets: Sequence[Row], concept: str) -> Iterator[Picture]:
    left = [
        f"{removed:,}: {percent(share)}"
        for row in sets
        if (removed := number_of(row, _REMOVED)) is not None
        and (share := number_of(row, _LEFT)) is not None
    ]
    yield Picture(
        "left",
        f"What is left of {concept} by the number of units removed, with its 99% band.",
        f"A curve with a band. Left without so many units: {'; '.join(_some(left))}.",
    )
    instead = [
        f"{row.get('in its place')} {percent(share)}"
        for row in _last_replacements(folder, sets)[:8]
        if (share := number_of(row, "share")) is not None
    ]
    yield Picture(
        "replaced",
        f"What stands where {concept} was, when most units are removed.",
        f"Bars: {'; '.join(instead)}.",
    )
    shown = folder.option("shown")
    numbers = f" ({', '.join(map(str, shown))})" if isinstance(shown, list) else ""
    yield Picture(
        "images",
        f"Images with most {concept}, without more and more of the units from row to row{numbers}.",
        f"Rows of the same generated images; {concept} goes from row to row as units are removed.",
    )


def _some(items: list[str], most: int = 10) -> list[str]:
    """Keep some items that are evenly spaced, with the first and the last."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _tables(
    folder: ResultFolder, sets: Sequence[Row], layer: str, concept: str
) -> Iterator[PageTable]:
    last = number_of(sets[-1], _REMOVED) if sets else None
    yield from page_table(
        folder,
        "sets",
        f"What is left of {concept} by the number of units removed, best IoU first.",
        (
            Column(_REMOVED, _REMOVED),
            unit("the last of them", "last unit"),
            Column(f"{concept} pixels per image", "pixels per image"),
            Column("fraction left, 99% band", _LEFT, half_width=_BAND),
        ),
        layer=layer,
    )
    yield from page_table(
        folder,
        "replaced",
        f"What stands where {concept} was, without all of these units.",
        (
            text("in its place"),
            text("category"),
            Column("pixels per image", "pixels per image"),
            Column("share", "share"),
        ),
        keep=lambda row: row.get(_REMOVED) == last,
    )
    yield from page_table(
        folder,
        "changes",
        "How the areas of all concepts change without all of these units, greatest change first.",
        (
            text("concept"),
            text("category"),
            Column("pixels per image before", "pixels per image before"),
            Column("pixels changed per image", "pixels changed per image"),
            Column("standard error", "standard error"),
        ),
        keep=lambda row: row.get(_REMOVED) == last,
        order=lambda row: -abs(number_of(row, "pixels changed per image") or 0.0),
        most=100,
    )
    yield from page_table(
        folder,
        "units",
        f"The units one by one: what the removal of each alone does to {concept}.",
        (
            unit(),
            Column("rank by IoU", "rank by IoU"),
            Column("IoU", "IoU"),
            Column("pixels changed per image", "pixels changed per image"),
            Column("standard error", "standard error"),
            Column("fraction left, 99% band", _LEFT, half_width=_BAND),
            text("gains most"),
            Column("pixels gained per image", "pixels gained per image"),
        ),
        layer=layer,
    )
