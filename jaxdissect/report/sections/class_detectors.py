"""The section of `jaxdissect detect`: the single unit that detects each class best."""

import re
from collections.abc import Iterator, Sequence

from jaxdissect.report.page_section import KeyFigure, PageFigure, PageSection, PageTable
from jaxdissect.report.sections.columns import Column, number_of, page_table, text, unit
from jaxdissect.report.sections.pictures import Picture, figures_there
from jaxdissect.report.sections.result_folder import ResultFolder, Row
from jaxdissect.report.sections.wording import count, decimal, images

_TEXTS = frozenset(("class",))
_NAMED = 8  # classes that the words for a picture name


def class_detector_sections(folder: ResultFolder) -> list[PageSection]:
    """Say how well one unit detects each class.

    Args:
        folder: What `jaxdissect detect` has written.
    """
    layer = folder.text("layer")
    chosen, judged = (folder.number("images", part) for part in ("chosen with", "judged with"))
    rows = folder.rows("detectors", texts=_TEXTS, needs=("class", "rank", "unit"))
    best = [row for row in rows if row["rank"] == 1]
    section = PageSection(
        title=f"One unit of {layer} as a detector of each class",
        question=(
            "Does a single unit tell a class from all others? For every class, the unit of "
            f"`{layer}` and the threshold of its peak over an image that do this best are chosen "
            f"on {images(chosen)}, and judged on {images(judged, 'other ')}."
        ),
        facts=list(_facts(folder)),
        found=list(_findings(folder, best)),
        content=[*_pictures(folder, best), *_tables(folder, layer)],
        limits=[
            "The unit and its threshold are the best of all there are on the images they were "
            "chosen with: what they reach there is too good to be true, and the difference to "
            "the other images says how much. A class with few images has few to judge with; "
            "there are no intervals here.",
            "That a unit tells a class apart does not show that the network uses it for that "
            "class. Remove it to know (`jaxdissect ablate`).",
        ],
        layer=layer,
    )
    return [section]


def _facts(folder: ResultFolder) -> Iterator[KeyFigure]:
    accuracy = folder.number("mean balanced accuracy")
    chosen = folder.number("mean balanced accuracy when chosen")
    if accuracy is not None:
        note = "chance 0.5" if chosen is None else f"{decimal(chosen)} when chosen; chance 0.5"
        yield KeyFigure("mean balanced accuracy of the best units", decimal(accuracy), note)
    auroc = folder.number("mean AUROC")
    if auroc is not None:
        yield KeyFigure("their mean AUROC", decimal(auroc), "chance 0.5")


def _findings(folder: ResultFolder, best: Sequence[Row]) -> Iterator[str]:
    judged = [
        (accuracy, str(row["class"]), row)
        for row in best
        if (accuracy := number_of(row, "balanced accuracy")) is not None
    ]
    judged.sort(key=lambda item: -item[0])
    for accuracy, name, row in judged[:1]:
        auroc = number_of(row, "AUROC")
        yield (
            f"Unit {row['unit']} tells {name} from all other classes with a balanced accuracy "
            f"of {decimal(accuracy)}{'' if auroc is None else f' (AUROC {decimal(auroc)})'} on "
            "images that it was not chosen with: the best of all."
        )
    if len(judged) > 1:
        accuracy, name, row = judged[-1]
        good = sum(accuracy > 0.9 for accuracy, *_ in judged)
        yield (
            f"{good} of {count(len(judged), 'class', 'classes')} have a unit with more than 0.9. "
            f"{name} is detected worst: unit {row['unit']} reaches {decimal(accuracy)}."
        )
    units = [row["unit"] for row in best]
    if len(set(units)) < len(units):
        yield (
            f"{len(units):,} classes share {count(len(set(units)), 'unit')} as their best "
            "detectors."
        )
    absent = folder.number("classes without images")
    if absent:
        yield (
            f"{count(absent, 'class has', 'classes have')} no images, or only in one of the two "
            "parts, and no detector."
        )
    seed = folder.option("random_weights")
    if seed is not None:
        yield f"The network has random weights (seed {seed}): this is what there is untrained."


def _pictures(folder: ResultFolder, best: Sequence[Row]) -> list[PageFigure]:
    said = []
    for row in best[:_NAMED]:
        chosen, judged = (
            number_of(row, name) for name in ("balanced accuracy when chosen", "balanced accuracy")
        )
        if chosen is not None and judged is not None:
            values = f"{decimal(chosen, digits=2)} and {decimal(judged, digits=2)}"
            said.append(f"{row['class']} {values}")
    more = "; and others" if len(best) > _NAMED else ""
    found = figures_there(
        folder,
        [
            Picture(
                "detectors",
                "Balanced accuracy of the best unit of each class, where it was chosen and on "
                "other images.",
                f"Two bars for each class, when chosen and judged: {'; '.join(said)}{more}.",
            )
        ],
    )
    return [*found, *(_peak_figure(folder, file, best) for file in folder.pictures("peaks_"))]


def _peak_figure(folder: ResultFolder, file: str, best: Sequence[Row]) -> PageFigure:
    """Describe the picture of the peaks of one detector, whose file bears the class's name."""
    part = file.rpartition(".")[0].removeprefix("peaks_").partition("_")[2]
    stems = [(_in_a_file_name(row), row) for row in best if part]
    # Long names are cut off; where several classes share what is left, none is named for sure.
    found = [row for stem, row in stems if stem == part] or [
        row for stem, row in stems if stem.startswith(part)
    ]
    row = found[0] if len(found) == 1 else None
    name = part.replace("_", " ") if row is None else str(row["class"])
    threshold = None if row is None else number_of(row, "threshold")
    of = name if row is None else f"unit {row['unit']}, the best detector of {name}"
    cut = "" if threshold is None else f", cut at the threshold {decimal(threshold, digits=2)}"
    return PageFigure(
        f"Peaks of {of}: images of the class and all others.",
        f"Two densities of peak activations, of images of {name} and of others{cut}.",
        folder.path / file,
    )


def _in_a_file_name(row: Row) -> str:
    """Write the class of a row as the names of pictures have it."""
    return re.sub(r"[^\w.-]+", "_", str(row["class"])).strip("_")


def _tables(folder: ResultFolder, layer: str) -> Iterator[PageTable]:
    yield from page_table(
        folder,
        "detectors",
        "The best units of each class, where they were chosen and on other images.",
        (
            text("class"),
            Column("rank", "rank"),
            unit(),
            Column("threshold", "threshold"),
            Column("balanced accuracy when chosen", "balanced accuracy when chosen"),
            Column("balanced accuracy", "balanced accuracy"),
            Column("AUROC when chosen", "AUROC when chosen"),
            Column("AUROC", "AUROC"),
        ),
        layer=layer,
    )
    yield from page_table(
        folder,
        "reference",
        "The same by the rule of the paper's code, which chooses and judges on the same images.",
        (
            text("class"),
            unit(),
            Column("threshold", "threshold"),
            Column("balanced accuracy when chosen", "balanced accuracy when chosen"),
        ),
        layer=layer,
    )
