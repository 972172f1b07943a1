"""The section of `jaxdissect generate optimise`: the units that cause a concept, learned."""

from collections.abc import Iterator, Mapping, Sequence

from jaxdissect.report.page_section import KeyFigure, PageSection, PageTable
from jaxdissect.report.sections.columns import Column, number_of, page_table, text, unit
from jaxdissect.report.sections.generator_removal import SEGMENTED
from jaxdissect.report.sections.pictures import Picture, figures_there
from jaxdissect.report.sections.result_folder import ResultFolder, Row
from jaxdissect.report.sections.wording import change, count, decimal, images, percent, the_first

_TEXTS = frozenset(("ranking",))
_FIRST = "IoU"
_MORE = f"more than by {_FIRST}"


def generator_cause_sections(folder: ResultFolder) -> list[PageSection]:
    """Say what the units that were learned cause, beside those that match a concept best.

    Args:
        folder: What `jaxdissect generate optimise` has written.
    """
    layer, concept = folder.named("layer", default="a layer"), folder.named("concept", default="it")
    steps = folder.number("command", "steps")
    learned = "" if steps is None else f" in {count(steps, 'step')}"
    effects: dict[str, list[Row]] = {}
    for row in folder.rows("effects", texts=_TEXTS, needs=("ranking",)):
        effects.setdefault(str(row["ranking"]), []).append(row)
    section = PageSection(
        title=f"Units of {layer} that cause {concept}",
        question=(
            f"Which units of `{layer}` cause {concept}, rather than only match it? A strength of "
            f"every unit is learned by gradient through the generator and the segmenter{learned}. "
            "The strongest units, and as many of the best by IoU, are then inserted and removed in "
            f"{images(folder.number('command', 'num_images'), 'other ')}. The average causal "
            "effect is the area with them inserted minus the area with them removed, over the area "
            "of the places: 1 means as many pixels as the places have."
        ),
        facts=list(_facts(effects)),
        found=list(_findings(effects, concept)),
        content=[
            *figures_there(folder, _pictures(folder, effects, concept)),
            *_tables(folder, layer, concept),
        ],
        limits=[
            SEGMENTED,
            "Strengths are found by following a gradient from one start: others might cause more, "
            "and units that do the same share the strength among them in no particular way. What "
            "they cause is measured with other latents, so that it is not made greater by having "
            "been learned.",
            "Standard errors and bands are for other latents and places.",
        ],
        layer=layer,
    )
    return [section]


def _facts(effects: Mapping[str, Sequence[Row]]) -> Iterator[KeyFigure]:
    for ranking, rows in effects.items():
        value, error, units = (
            number_of(rows[-1], name) for name in ("effect", "standard error", "units")
        )
        if value is not None and units is not None:
            label = f"causal effect of the first {the_first(units, 'unit')} by {ranking}"
            note = None if error is None else f"± {decimal(error)}, standard error"
            yield KeyFigure(label, decimal(value), note)


def _findings(effects: Mapping[str, Sequence[Row]], concept: str) -> Iterator[str]:
    for ranking, rows in effects.items():
        if ranking == _FIRST:
            continue
        for row in rows[-1:]:
            more, error, units, left, band = (
                number_of(row, name)
                for name in (
                    *(_MORE, "error of the difference", "units"),
                    *("fraction left without them", "99% band"),
                )
            )
            if more is not None and error is not None and units is not None:
                yield (
                    f"The first {the_first(units, 'unit')} by {ranking} cause {change(more)} ± "
                    f"{decimal(error)} (standard error) more {concept} than as many by {_FIRST}."
                )
            if left is not None and units is not None:
                sure = "" if band is None else f" (99% band ± {band:.1%})"
                yield (
                    f"Without the first {the_first(units, 'unit')} by {ranking}, "
                    f"{percent(left)} of the {concept} pixels are left{sure}."
                )


def _pictures(
    folder: ResultFolder, effects: Mapping[str, Sequence[Row]], concept: str
) -> Iterator[Picture]:
    curves = []
    for ranking, rows in effects.items():
        points = [
            f"{units:,} {count(units, 'unit').split()[-1]} {decimal(value)}"
            for row in rows
            if (units := number_of(row, "units")) is not None
            and (value := number_of(row, "effect")) is not None
        ]
        curves.append(f"by {ranking}, {', '.join(points)}")
    yield Picture(
        "effects",
        f"Average causal effect on {concept} by the number of units, with 99% bands.",
        f"A curve with a band for each ranking: {'; '.join(curves)}.",
    )
    steps = [
        value
        for row in folder.rows("steps")
        if (value := number_of(row, "effect of the batch")) is not None
    ]
    ends = (
        f" From {decimal(steps[0])} in the first to {decimal(steps[-1])} in the last of "
        f"{count(len(steps), 'step')}."
        if steps
        else ""
    )
    yield Picture(
        "steps",
        "How learning went: the causal effect of the strengths on the latents of each step.",
        f"A curve over the steps of learning.{ends}",
    )


def _tables(folder: ResultFolder, layer: str, concept: str) -> Iterator[PageTable]:
    yield from page_table(
        folder,
        "effects",
        f"What sets of units cause of {concept}, with standard errors; and what is left of it "
        "without them, with 99% bands.",
        (
            text("ranking"),
            Column("units", "units"),
            *(Column(name, name) for name in ("effect", "standard error")),
            *(Column(name, name) for name in (_MORE, "error of the difference")),
            *(Column(name, name) for name in ("by insertion", "error of insertion")),
            *(Column(name, name) for name in ("by ablation", "error of ablation")),
            Column(
                "fraction left without them", "fraction left without them", half_width="99% band"
            ),
        ),
    )
    yield from page_table(
        folder,
        "units",
        "The units, strongest first: the strength that was learned, and the IoU.",
        (
            unit(),
            *(Column(name, name) for name in ("rank", "strength", "IoU", "rank by IoU")),
        ),
        layer=layer,
    )
