"""The section of `jaxdissect ablate`: which classes need which units."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from jaxdissect.report.page_section import Cell, Estimate, KeyFigure, PageSection, PageTable
from jaxdissect.report.sections.columns import (
    MOST_ROWS,
    Column,
    number_of,
    page_table,
    text,
    unit,
)
from jaxdissect.report.sections.pictures import Picture, figures_there
from jaxdissect.report.sections.result_folder import ResultFolder, Row
from jaxdissect.report.sections.wording import (
    MINUS,
    change,
    count,
    decimal,
    images,
    interval,
    percent,
    the_first,
)

_TEXTS = frozenset(
    ("class", "most_important_units", "removed_or_alone", "names_of_classes", "grouped_by")
)
_BY_CLASSES = "classes to which a unit is important"
_NAMED = 8  # classes that the words for a picture name

_REPLACEMENTS = {
    "zero": "zero, which is a value that later layers may never have met; `--replace mean` and "
    "`--replace resample` put others",
    "mean": "their mean over the images they are ranked with",
    "resample": "what they output for another image",
}


class _Effect(NamedTuple):
    """How a set of units changes the balanced accuracy of its class, and accuracy over all."""

    own: Estimate
    overall: Estimate


_Effects = dict[tuple[str, int], dict[str, _Effect]]
"""By what is done ("removed" or "alone") and the number of units: the effect on every class."""


def class_unit_sections(folder: ResultFolder) -> list[PageSection]:
    """Say which classes need which units.

    Args:
        folder: What `jaxdissect ablate` has written.
    """
    layer = folder.text("layer")
    effects = _effects(folder)
    ranked, measured = (folder.number("images", part) for part in ("ranked with", "measured"))
    question = (
        f"Which units of `{layer}` does the network need for which class? Every unit is removed "
        f"alone on {images(ranked)}, which ranks the units for each class by what this costs it. "
        "The first of them are then removed together, and kept alone, on "
        f"{images(measured, 'other ')}; balanced accuracy is that of telling the class from all "
        "others (chance 0.5)."
    )
    section = PageSection(
        title=f"Which classes need which units of {layer}",
        question=question,
        facts=list(_facts(folder)),
        found=list(_findings(folder, effects)),
        content=[
            *figures_there(folder, _pictures(folder)),
            *_class_tables(folder, effects),
            *_unit_tables(folder, layer),
        ],
        limits=list(_limits(folder)),
        layer=layer,
    )
    return [section]


def _effects(folder: ResultFolder) -> _Effects:
    found: _Effects = {}
    for row in folder.rows("sets", texts=_TEXTS, needs=("class", "removed_or_alone")):
        own, overall = (_estimate(row, name) for name in ("change", "overall_change"))
        size = number_of(row, "units")
        if own is not None and overall is not None and size is not None:
            key = (str(row["removed_or_alone"]), int(size))
            found.setdefault(key, {})[str(row["class"])] = _Effect(own, overall)
    return found


def _estimate(row: Row, name: str) -> Estimate | None:
    value, low, high = (number_of(row, f"{name}{end}") for end in ("", "_low", "_high"))
    return None if value is None or low is None or high is None else Estimate(value, low, high)


def _sizes(folder: ResultFolder) -> list[int]:
    """Numbers of units that were removed together, least first."""
    words = (name.split() for name in folder.mapping("mean balanced accuracy"))
    return sorted(int(word[1]) for word in words if len(word) == 2 and word[0] == "without")


def _facts(folder: ResultFolder) -> Iterator[KeyFigure]:
    accuracy = folder.number("accuracy over all classes")
    if accuracy is not None:
        yield KeyFigure("classified correctly, with all units", percent(accuracy))
    whole = folder.number("mean balanced accuracy", "all units")
    if whole is not None:
        yield KeyFigure("mean balanced accuracy of a class", decimal(whole), "with all units")
    for size in _sizes(folder)[:2]:
        for value, half in (
            (folder.number("mean balanced accuracy", f"without {size}"), "without"),
            (folder.number("mean balanced accuracy", f"{size} alone"), "with only"),
        ):
            if value is not None:
                label = f"{half} its {the_first(size, 'most important unit')}"
                yield KeyFigure(label, decimal(value), "mean balanced accuracy of a class")


def _findings(folder: ResultFolder, effects: _Effects) -> Iterator[str]:
    num_units, classes = folder.number("units"), folder.number("classes")
    left_out = folder.number("classes left out", "number") or 0
    least = min(_sizes(folder), default=0)
    for size in _sizes(folder):
        mine = effects.get(("removed", size), {})
        if not mine:
            continue
        surely = [name for name, effect in mine.items() if effect.own.high < 0]
        worst = min(mine, key=lambda name: mine[name].own.value)
        own = mine[worst].own
        few = f"{len(surely)} of {count(len(mine), 'class', 'classes')}"
        most = (
            f" {worst} loses most: {change(own.value)} of balanced accuracy (99% interval "
            f"{interval(own.low, own.high)})."
            if own.value < 0
            else ""
        )
        if most and len(mine) > 1:
            most += f" As the worst of {len(mine):,} on the same images, this is a little too bad."
        yield (
            f"Without its own {the_first(size, 'most important unit')}, {few} "
            f"{'is' if len(surely) == 1 else 'are'} surely classified worse (the 99% interval of "
            f"the change lies below 0).{most}"
        )
        damaging = folder.number("units with damage", f"of the first {size}")
        if damaging is not None and size == least:
            yield (
                f"Of the {size} most important units of each class, {damaging:,} of "
                f"{size * len(mine):,} damage it when removed alone; the others are taken in the "
                "order of the margin (the score of the class minus the greatest other) that they "
                "cost."
            )
    important = list(folder.rows("important", texts=_TEXTS, needs=("classes",)))
    some = sum((number_of(row, "classes") or 0) > 0 for row in important)
    if important:
        yield (
            f"{some:,} of {count(len(important), 'unit')} {'is' if some == 1 else 'are'} important "
            "to some class: among the few that cost it most, and costing it anything."
        )
    means = [_mean_iou(folder, is_important=part) for part in (True, False)]
    if means[0] is not None and means[1] is not None:
        yield (
            f"Units that are important to some class match their best concept with a mean IoU of "
            f"{decimal(means[0])}, all others with {decimal(means[1])}."
        )
    improving = folder.number("improvements", "when ranked")
    if improving:
        again, certain = (
            int(folder.number("improvements", name) or 0) or "none"
            for name in ("improve again", "with an interval above 0")
        )
        verb = "improves" if improving == 1 else "improve"
        yield (
            f"{count(improving, 'removal')} of one unit {verb} a class on the images to rank with. "
            f"On the other images {again} of them do so again, {certain} for certain (99%)."
        )
    agreement = folder.number("rank correlation of estimated and measured importance")
    if agreement is not None:
        yield (
            "The estimate of importance from one backward pass orders the units as measured "
            f"removals do with a mean rank correlation of {decimal(agreement, digits=2)}."
        )
    if left_out and classes is not None:
        yield f"{left_out:,} of {classes:,} classes are left out, as they lack images in one part."
    seed = folder.option("random_weights")
    if seed is not None and num_units is not None:
        yield f"The network has random weights (seed {seed}): this is what there is untrained."


def _mean_iou(folder: ResultFolder, *, is_important: bool) -> float | None:
    """Average the IoU of the units that are important to some class, or to none."""
    found = [
        (number, iou)
        for row in _groups(folder, _BY_CLASSES)
        if ((number_of(row, "value") or 0) > 0) == is_important
        and (number := number_of(row, "units"))
        and (iou := number_of(row, "mean_iou")) is not None
    ]
    total = sum(number for number, _ in found)
    return sum(number * iou for number, iou in found) / total if total else None


def _pictures(folder: ResultFolder) -> Iterator[Picture]:
    sizes, num_units = _sizes(folder), folder.number("units")
    rows = list(folder.rows("classes", texts=_TEXTS, needs=("class",)))
    if sizes:
        # As the picture has it: the classes that lose most without the smallest set, and the
        # largest set that is a small part of the layer.
        rows.sort(key=lambda row: _lost(row, sizes[0]))
        few = [size for size in sizes if num_units is not None and 4 * size <= num_units]
        size = few[-1] if few else sizes[0]
        values = [
            (str(row["class"]), [number_of(row, name) for name in names])
            for row in rows
            if (names := ("all_units", f"without_{size}", f"with_{size}_alone"))
        ]
        words = "; ".join(
            f"{name} {', '.join('unknown' if x is None else decimal(x, digits=2) for x in numbers)}"
            for name, numbers in values[:_NAMED]
        )
        yield Picture(
            "classes",
            "Balanced accuracy of the classes that lose most: with all units, without their most "
            "important ones, and with these alone.",
            f"Bars for each class: with all units, without its {size}, with its {size} alone. "
            f"{words}{'; and others' if len(values) > _NAMED else ''}.",
        )
    means = folder.mapping("mean balanced accuracy")
    shown = ", ".join(
        f"{name} {decimal(value, digits=2)}"
        for name in means
        if (value := folder.number("mean balanced accuracy", name)) is not None
    )
    yield Picture(
        "distribution",
        "Balanced accuracies of all classes, best first, for every number of units.",
        f"Falling curves over the classes; their means: {shown}.",
    )
    yield Picture(
        "curves",
        "Balanced accuracy as more and more units are removed, the most important first, or the "
        "least important first.",
        _curve_words(folder),
    )
    yield Picture(
        "importance",
        "The IoU of units with their best concept, in groups of units that damage all "
        "classes alike on average.",
        f"Points with error bars. {_group_words(folder, 'mean damage to all classes')}",
    )
    yield Picture(
        "number_of_classes",
        "The mean IoU of units that are important to no, one, two or more classes.",
        f"Bars. {_group_words(folder, _BY_CLASSES)}",
    )


def _lost(row: Row, size: int) -> float:
    """Say by how much a class changes without its most important units, for an order of rows."""
    whole, without = (number_of(row, name) for name in ("all_units", f"without_{size}"))
    return 0.0 if whole is None or without is None else without - whole


def _curve_words(folder: ResultFolder) -> str:
    """Say where the curves of each class begin and end."""
    curves: dict[str, list[Row]] = {}
    for row in folder.rows("curves", texts=_TEXTS, needs=("class",)):
        curves.setdefault(str(row["class"]), []).append(row)
    said = []
    for name, rows in curves.items():
        middle = rows[max(0, len(rows) // 2 - 1)]
        most, least = (number_of(middle, f"without_{end}_important") for end in ("most", "least"))
        number = number_of(middle, "units_removed")
        if most is not None and least is not None and number is not None:
            said.append(
                f"{name}: without the {number:,} most important units "
                f"{decimal(most, digits=2)}, without the {number:,} least important "
                f"{decimal(least, digits=2)}"
            )
    return f"Two curves for each class. {'; '.join(said[:_NAMED])}."


def _groups(folder: ResultFolder, kind: str) -> list[Row]:
    """Find the groups of like importance of one kind."""
    rows = folder.rows("importance", texts=_TEXTS, needs=("grouped_by",))
    return [row for row in rows if row["grouped_by"] == kind]


def _group_words(folder: ResultFolder, kind: str) -> str:
    """Say the mean IoU of the groups of a kind."""
    rows = _groups(folder, kind)
    said = [
        f"{value:.3g}: {decimal(iou)}".replace("-", MINUS)
        for row in rows
        if (value := number_of(row, "value")) is not None
        and (iou := number_of(row, "mean_iou")) is not None
    ]
    return f"Mean IoU by {kind}: {'; '.join(said[:12])}."


def _class_tables(folder: ResultFolder, effects: _Effects) -> Iterator[PageTable]:
    """Make tables of the classes: what sets of units do to each, and to all classes together."""
    rows = list(folder.rows("classes", texts=_TEXTS, needs=("class",)))
    kinds = (("removed", "without {}"), ("alone", "with only {}"))
    sets = [(key, name.format(key[1])) for kind, name in kinds for key in effects if key[0] == kind]
    note = None
    if len(rows) > MOST_ROWS:
        file = folder.file_of_table("classes")
        note = f"The first {MOST_ROWS} of {len(rows):,} rows; all of them are in `{file}`."
    if rows:
        yield PageTable(
            "The classes: their most important units, of which only those are named that damage "
            "the class when removed alone; and how its balanced accuracy changes without the "
            "first of the ranking, and with these alone; in brackets the 99% intervals.",
            (
                *("class", "images", "most important units", "balanced accuracy"),
                *(f"change {name}" for _, name in sets),
            ),
            [
                (
                    str(row["class"]),
                    number_of(row, "images"),
                    str(row.get("most_important_units") or "none"),
                    number_of(row, "all_units"),
                    *(_cell(effects[key], row, "own") for key, _ in sets),
                )
                for row in rows[:MOST_ROWS]
            ],
            note,
        )
    if rows and sets:
        yield PageTable(
            "How the same sets of units, ranked for one class, change the accuracy over all "
            "classes; in brackets the 99% intervals.",
            ("ranked for", *(f"change {name}" for _, name in sets)),
            [
                (str(row["class"]), *(_cell(effects[key], row, "overall") for key, _ in sets))
                for row in rows[:MOST_ROWS]
            ],
            note,
        )


def _cell(effects: Mapping[str, _Effect], row: Row, part: Literal["own", "overall"]) -> Cell:
    effect = effects.get(str(row["class"]))
    return None if effect is None else getattr(effect, part)


def _unit_tables(folder: ResultFolder, layer: str) -> Iterator[PageTable]:
    yield from page_table(
        folder,
        "important",
        "The units that are important to some class, or whose removal changes anything when units "
        "are ranked: to how many classes, and what it costs a class on average.",
        (
            unit(),
            Column("classes", "classes"),
            Column("mean damage", "mean_damage"),
            Column("IoU with its concept", "best_iou"),
            text("important to", "names_of_classes"),
        ),
        layer=layer,
        keep=lambda row: bool(row.get("classes") or row.get("mean_damage")),
    )
    ends = ("balanced_accuracy_lost_low", "balanced_accuracy_lost_high")
    yield from page_table(
        folder,
        "units",
        "The most important units of each class, one by one: what their removal alone costs the "
        "class, when ranked and on other images, with 99% intervals.",
        (
            text("class"),
            Column("rank", "rank"),
            unit(),
            Column("balanced accuracy lost when ranked", "balanced_accuracy_lost_when_ranked"),
            Column("balanced accuracy lost", "balanced_accuracy_lost", ends=ends),
            Column("probability lost", "confidence_lost"),
            Column("AUROC lost", "auroc_lost"),
            Column("estimated loss of log probability", "log_probability_lost_estimated"),
            Column("correlation of peak and probability", "correlation_of_peak_and_probability"),
        ),
        layer=layer,
        keep=lambda row: bool(row.get("important")),
        order=lambda row: (str(row.get("class")), number_of(row, "rank") or 0),
    )
    yield from page_table(
        folder,
        "improvements",
        "Removals of one unit that improve a class when units are ranked, and what they gain on "
        "other images, with 99% intervals.",
        (
            unit(),
            text("class"),
            Column("gain when ranked", "gain_when_ranked"),
            Column("gain", "gain", ends=("gain_low", "gain_high")),
        ),
        layer=layer,
        most=100,
    )
    yield from page_table(
        folder,
        "importance",
        "Units in groups of like importance, and the IoU of their best concepts.",
        (
            text("grouped by", "grouped_by"),
            Column("value", "value"),
            Column("units", "units"),
            Column("mean IoU", "mean_iou"),
            Column("standard error", "standard_error"),
        ),
    )
    yield from page_table(
        folder,
        "rates",
        "The classes with all units, on the images to measure with.",
        (
            text("class"),
            *(Column(name, name) for name in ("images", "predicted", "correct")),
            *(Column(name, name) for name in ("precision", "recall")),
            Column("balanced accuracy", "balanced_accuracy"),
            Column("mean probability", "confidence"),
            Column("AUROC", "auroc"),
        ),
    )


def _limits(folder: ResultFolder) -> Iterator[str]:
    yield (
        "Intervals are for other images of the same classes, each for itself: of a hundred of "
        "them, one may miss. A class with few images has wide ones, and then a unit may matter "
        "although nothing is certain."
    )
    yield (
        "What a unit costs alone is not what it adds to others: two units that do the same cost "
        "nothing one by one. And a unit that a class needs need not stand for something that "
        "people have a name for."
    )
    replaced = _REPLACEMENTS.get(str(folder.option("replace")))
    if replaced is not None:
        yield f"Removed units output {replaced}."
