"""The section of `jaxdissect generate artifacts`: the units that cost images their realism."""

from collections.abc import Iterator, Sequence

from jaxdissect.report.page_section import KeyFigure, PageSection, PageTable
from jaxdissect.report.sections.columns import Column, number_of, page_table, text, unit
from jaxdissect.report.sections.pictures import Picture, figures_there
from jaxdissect.report.sections.result_folder import ResultFolder, Row
from jaxdissect.report.sections.wording import change, count, decimal, images, the_first

_TEXTS = frozenset(("removed",))
_FALL, _ERROR = "fall of the distance", "standard error"


def generator_realism_sections(folder: ResultFolder) -> list[PageSection]:
    """Say which units cost images their realism, and what removing them gains.

    Args:
        folder: What `jaxdissect generate artifacts` has written.
    """
    layer = folder.named("layer", default="a layer")
    real = folder.number("real images")
    sets = list(folder.rows("sets", texts=_TEXTS, needs=("removed",)))
    section = PageSection(
        title=f"Units of {layer} that cost realism",
        question=(
            f"Does removing some units of `{layer}` bring the images of a generator closer to real "
            "ones? Closeness is the Fréchet distance to "
            f"{images(real, 'real ')} in the features of a network; a unit costs as much as the "
            "distance falls without it. Units are ranked on "
            f"{images(folder.number('command', 'num_ranking_images'))}, and the costliest removed "
            f"together from {images(folder.number('command', 'num_images'), 'other ')}, as are "
            "random ones."
        ),
        facts=list(_facts(sets)),
        found=list(_findings(folder, sets)),
        content=[*figures_there(folder, _pictures(sets)), *_tables(folder, layer)],
        limits=[
            "The Fréchet distance of few images is greater than that of many, and depends on the "
            "network of the features: compare only numbers of the same run.",
            "Standard errors are from the spread over a few parts of the images, and rough. A "
            "smaller distance does not show that anybody would find the images better: look at "
            "them.",
        ],
        layer=layer,
    )
    return [section]


def _rows(sets: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in sets if row.get("removed") == kind]


def _facts(sets: Sequence[Row]) -> Iterator[KeyFigure]:
    for row in _rows(sets, "all units"):
        distance = number_of(row, "distance")
        if distance is not None:
            yield KeyFigure("Fréchet distance with all units", decimal(distance))
    best = _best(sets)
    if best is not None:
        distance, units, fall, error = (
            number_of(best, name) for name in ("distance", "units", _FALL, _ERROR)
        )
        if distance is not None and units is not None and fall is not None:
            sure = "" if error is None else f" ± {decimal(error, digits=4)}"
            note = f"falls by {decimal(fall, digits=4)}{sure}, standard error"
            label = f"without the {the_first(units, 'costliest unit')}"
            yield KeyFigure(label, decimal(distance), note)


def _best(sets: Sequence[Row]) -> Row | None:
    """Find the number of costliest units without which the distance falls most."""
    rows = [row for row in _rows(sets, "costliest") if number_of(row, _FALL) is not None]
    return max(rows, key=lambda row: number_of(row, _FALL) or 0.0, default=None)


def _findings(folder: ResultFolder, sets: Sequence[Row]) -> Iterator[str]:
    best = _best(sets)
    if best is not None:
        units, fall, error = (number_of(best, name) for name in ("units", _FALL, _ERROR))
        if units is not None and fall is not None:
            without = f"Without the {the_first(units, 'costliest unit')}"
            sure = "" if error is None else f" ± {decimal(error, digits=4)} (standard error)"
            if fall > 0:
                yield (
                    f"{without} the distance falls most, by {decimal(fall, digits=4)}{sure}, among "
                    "the numbers of units that were tried on other latents. As the best of "
                    "several, this is a little too good to be true."
                )
            else:
                yield (
                    "On other latents, removing the costliest units does not bring the images "
                    f"closer: at best the distance changes by {change(-fall, digits=4)}{sure}."
                )
        same = [row for row in _rows(sets, "random") if row.get("units") == best.get("units")]
        for row in same:
            fall, error = number_of(row, _FALL), number_of(row, _ERROR)
            if fall is not None:
                sure = "" if error is None else f" ± {decimal(error, digits=4)}"
                yield (
                    f"Without as many random units it changes by {change(-fall, digits=4)}{sure}."
                )
    singles = [
        (cost, row)
        for row in folder.rows("units", needs=("unit",))
        if (cost := number_of(row, "cost")) is not None
    ]
    if singles:
        cost, row = max(singles, key=lambda item: item[0])
        positive = sum(cost > 0 for cost, _ in singles)
        yield (
            f"When ranked, the distance falls without {positive:,} of "
            f"{count(len(singles), 'unit')} alone, most without unit {row.get('unit')}: by "
            f"{decimal(cost, digits=4)}."
        )


def _pictures(sets: Sequence[Row]) -> Iterator[Picture]:
    curves = []
    for kind in ("costliest", "random"):
        points = [
            f"{units:,}: {decimal(distance)}"
            for row in _rows(sets, kind)
            if (units := number_of(row, "units")) is not None
            and (distance := number_of(row, "distance")) is not None
        ]
        curves.append(f"{kind} {', '.join(points)}")
    yield Picture(
        "distances",
        "Distance to real images by the number of units removed, the costliest or random ones, "
        "with standard errors.",
        f"A curve for each kind of set, by the number of units: {'; '.join(curves)}.",
    )
    yield Picture(
        "images",
        "Images with all units (above), and without more and more of the costliest from row to "
        "row.",
        "Rows of the same generated images, without more units in each row.",
    )


def _tables(folder: ResultFolder, layer: str) -> Iterator[PageTable]:
    yield from page_table(
        folder,
        "sets",
        "Distances to real images without sets of units, on other latents than those that rank "
        "them.",
        (
            text("removed"),
            *(Column(name, name) for name in ("units", "distance", _FALL, _ERROR)),
        ),
    )
    yield from page_table(
        folder,
        "units",
        "The units one by one, costliest first, on the latents that rank them.",
        (
            unit(),
            *(Column(name, name) for name in ("rank", "distance without it", "cost")),
        ),
        layer=layer,
    )
