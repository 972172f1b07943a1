"""The section of `jaxdissect style`: which units respond to shapes, and which to textures."""

from collections.abc import Iterator, Sequence

from jaxdissect.report.page_section import KeyFigure, PageFigure, PageSection, PageTable
from jaxdissect.report.sections.columns import Column, number_of, page_table, text, unit
from jaxdissect.report.sections.pictures import Picture, figures_there
from jaxdissect.report.sections.result_folder import ResultFolder, Row
from jaxdissect.report.sections.wording import count, decimal

_TEXTS = frozenset(("layer", "category"))
_BOTH, _CHANCE = "mean IoU of both styles", "by chance"
_ORIGINALS, _STYLISED = "mean concept IoU on originals", "on stylised images"


def style_unit_sections(folder: ResultFolder) -> list[PageSection]:
    """Say which units are active at the same places when an image changes its style.

    Args:
        folder: What `jaxdissect style` has written.
    """
    layers = list(folder.rows("layers", texts=_TEXTS, needs=("layer",)))
    limit = folder.number("min_style_iou")
    above = "" if limit is None else f" (IoU of the two regions above {limit:g})"
    section = PageSection(
        title="Shapes or textures",
        question=(
            "Which units are active at the same places when an image keeps its layout and changes "
            f"its style? Those that are{above} are called shape-sensitive, the other units with a "
            "concept texture-sensitive. Every unit has one threshold for originals and one for "
            "stylised images, so that weaker activations alone do not count as a change of place."
        ),
        facts=list(_facts(layers)),
        found=list(_findings(folder, layers)),
        content=[*_pictures(folder, layers), *_tables(folder)],
        limits=[
            "Labels are those of the originals, for both images of a pair: a unit whose concept is "
            "a material or a color must lose it when the style changes.",
            "Stylised images may be unlike all that the network has learned from. That a unit is "
            "not active at the same places says that it does not respond to the shape alone, not "
            "which texture it responds to. The limit between the two groups is a convention; the "
            "IoU by chance is that of regions that are independent of each other.",
        ],
    )
    return [section]


def _facts(layers: Sequence[Row]) -> Iterator[KeyFigure]:
    for row in layers[-3:]:
        shape, there = (number_of(row, name) for name in ("shape-sensitive", "interpretable"))
        if shape is not None and there is not None:
            label = f"shape-sensitive units of {row.get('layer')}"
            yield KeyFigure(label, f"{shape:,}", f"of {there:,} with a concept")


def _findings(folder: ResultFolder, layers: Sequence[Row]) -> Iterator[str]:
    for row in layers[:12]:
        units, there, shape, texture = (
            number_of(row, name)
            for name in ("units", "interpretable", "shape-sensitive", "texture-sensitive")
        )
        both, chance, original, stylised = (
            number_of(row, name) for name in (_BOTH, _CHANCE, _ORIGINALS, _STYLISED)
        )
        if units is None or there is None or shape is None or texture is None:
            continue
        said = (
            f"`{row.get('layer')}`: of {count(units, 'unit')}, {there:,} have a concept; {shape:,} "
            f"of these are shape-sensitive, {texture:,} texture-sensitive."
        )
        if both is not None and chance is not None:
            said += (
                f" The regions of both styles agree with a mean IoU of {decimal(both)} "
                f"({decimal(chance)} by chance)."
            )
        if original is not None and stylised is not None:
            said += (
                f" The IoU with their concepts is {decimal(original)} on originals, "
                f"{decimal(stylised)} on stylised images."
            )
        yield said
    seed = folder.option("random_weights")
    if seed is not None:
        yield f"The network has random weights (seed {seed}): this is what there is untrained."


def _pictures(folder: ResultFolder, layers: Sequence[Row]) -> list[PageFigure]:
    divided = "; ".join(
        f"{row['layer']} {shape:,} and {texture:,}"
        for row in layers
        if (shape := number_of(row, "shape-sensitive")) is not None
        and (texture := number_of(row, "texture-sensitive")) is not None
    )
    agreements = "; ".join(
        f"{row.get('layer')} {decimal(both)}"
        for row in layers
        if (both := number_of(row, _BOTH)) is not None
    )
    found = figures_there(
        folder,
        [
            Picture(
                "layers",
                "How many units of each layer are shape-sensitive, and how many texture-sensitive.",
                f"Bars for each layer, shape-sensitive and texture-sensitive: {divided}.",
            ),
            Picture(
                "iou",
                "Every unit: how far its regions in both styles agree, against how far it agrees "
                "with its concept.",
                f"A scatter of units for each layer; mean agreement of both styles: {agreements}.",
            ),
        ],
    )
    strips = [
        PageFigure(
            f"Units of {_layer_of(file, layers)}: the originals with their highest peaks above, "
            "the same layouts in another style below, lit where the unit is active.",
            "Rows of images in pairs, the parts lit where the unit exceeds its threshold.",
            folder.path / file,
        )
        for file in folder.pictures("styles_")
    ]
    return [*found, *strips]


def _layer_of(file: str, layers: Sequence[Row]) -> str:
    """Name the layer of a picture, whose file bears its name as far as file names may."""
    part = file.rpartition(".")[0].removeprefix("styles_")
    return next((str(row["layer"]) for row in layers if str(row.get("layer")) == part), part)


def _tables(folder: ResultFolder) -> Iterator[PageTable]:
    agreement = (Column(_BOTH, _BOTH), Column(_CHANCE, _CHANCE))
    concepts = (
        Column(_ORIGINALS, _ORIGINALS),
        Column(f"mean concept IoU {_STYLISED}", _STYLISED),
    )
    yield from page_table(
        folder,
        "layers",
        "The layers: how their units with a concept divide. Means are over these units.",
        (
            text("layer"),
            *(Column(name, name) for name in ("units", "interpretable")),
            *(Column(name, name) for name in ("shape-sensitive", "texture-sensitive")),
            *agreement,
            *concepts,
        ),
    )
    yield from page_table(
        folder,
        "categories",
        "The same by the category of the units' concepts.",
        (
            text("layer"),
            text("category"),
            *(Column(name, name) for name in ("units", "shape-sensitive")),
            agreement[0],
            *concepts,
        ),
    )
    yield from page_table(
        folder,
        "units",
        "The units with a concept, those first whose regions in both styles agree best.",
        (
            text("layer"),
            unit(),
            text("concept"),
            text("category"),
            text("sensitive to"),
            Column("IoU of both styles", "IoU of both styles"),
            Column("concept IoU on originals", "concept IoU on originals"),
            Column("concept IoU on stylised images", "concept IoU on stylised images"),
        ),
        keep=lambda row: bool(row.get("sensitive to")),
        order=lambda row: -(number_of(row, "IoU of both styles") or 0.0),
    )
