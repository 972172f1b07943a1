"""Figures of interventions in generators: charts, and strips of images that have been changed.

Shapes: N images, H W pixels, h w cells of a layer.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from jaxdissect.arrays.resampling import Shape
from jaxdissect.commands.generate.tables import concept_name
from jaxdissect.generators.causality import CausalEffect
from jaxdissect.generators.insertion import Insertion
from jaxdissect.generators.optimise import UnitStrengths
from jaxdissect.generators.realism import Realism
from jaxdissect.generators.removal import Removal
from jaxdissect.plots import bars_and_curves
from jaxdissect.plots.image_grid import grid_figure
from jaxdissect.plots.palette import YELLOW
from jaxdissect.plots.print_style import COLUMN_WIDTH, PAGE_WIDTH, printed
from jaxdissect.stats.intervals import student_t

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHEET_WIDTH = 1200  # pixels, about
_MOST_CONTEXTS = 24
_HIGHEST_MAP = 3.0  # inches


# --- removal --------------------------------------------------------------------------------------


def left_figure(removal: Removal, concept: int, *, width: float = PAGE_WIDTH) -> "Figure":
    """Draw what is left of a concept against the number of units removed, with its 99% band."""
    name = concept_name(removal.vocabulary, concept)
    left, band = removal.fraction_left[:, concept], removal.fraction_band[:, concept]
    return bars_and_curves.curve_figure(
        removal.num_removed.tolist(),
        {name: left},
        bands={name: band},
        title=f"Removing the units of {removal.layer} that match {name} best, "
        f"{len(removal.before)} images, 99% band",
        across="units removed",
        up=f"fraction of {name} pixels left",
        width=width,
    )


def replaced_figure(
    removal: Removal, concept: int, *, width: float = PAGE_WIDTH
) -> "Figure | None":
    """Draw what stands where a concept was, when most units are removed; None if nothing does."""
    counts = removal.in_place_of(concept)[-1]
    order = [c for c in np.argsort(-counts, kind="stable").tolist()[:12] if counts[c]]
    if not order:
        return None
    name = concept_name(removal.vocabulary, concept)
    return bars_and_curves.bar_figure(
        [concept_name(removal.vocabulary, c) for c in order],
        {"pixels": counts[order] / len(removal.before)},
        title=f"In the place of {name}, without {removal.num_removed[-1]} units",
        unit="pixels per image",
        width=width,
    )


def removal_strip(
    images: Float[np.ndarray, "S n H W 3"],
    examples: Int[np.ndarray, "n"],
    numbers: Sequence[int],
    *,
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Lay out images without more and more units, row by row.

    Args:
        images: What `images_without_units` makes.
        examples: Positions of the images in their source.
        numbers: How many units are removed in each row.
        width: Width of the figure in inches.
    """
    rows = [f"{number} units" for number in numbers]
    columns = [f"{example}" for example in examples]
    return grid_figure(images, rows=rows, columns=columns, width=width)


# --- insertion ------------------------------------------------------------------------------------


def context_figure(
    insertion: Insertion,
    concept: int,
    *,
    category: str | None,
    min_samples: int,
    width: float = PAGE_WIDTH,
) -> "Figure | None":
    """Draw added pixels by what was there, most first, with standard errors by images.

    Contexts are the concepts of one category, all if None, with so many samples or more. None if
    there are none.
    """
    known, number = insertion.vocabulary, insertion.number
    mean, error = insertion.mean_change[:, concept], insertion.clustered_error(concept)
    enough = [
        context
        for context in range(1, len(known))
        if number[context] >= min_samples
        and np.isfinite(error[context])
        and category in (None, known.categories[context])
    ]
    if not enough:
        return None
    order = sorted(enough, key=lambda context: -mean[context])[:_MOST_CONTEXTS]
    name = concept_name(known, concept)
    return bars_and_curves.bar_figure(
        [f"{known.names[c]} ({number[c]})" for c in order],
        {name: mean[order]},
        errors={name: error[order]},
        title=f"Inserting {len(insertion.units)} units of {insertion.layer} at one cell, "
        f"by what was there (samples)",
        unit=f"{name} pixels added, and standard errors by images",
        width=width,
    )


@printed
def cell_figure(
    insertion: Insertion, concept: int, cells: Shape, *, width: float = PAGE_WIDTH
) -> "Figure":
    """Draw a map of the layer: how many pixels an insertion at each cell adds on average."""
    from jaxdissect.plots.plain_figure import PlainFigure, count_ticks

    shown = np.full(cells, np.nan)
    shown[tuple(insertion.cells.T)] = insertion.added_at(concept).mean(axis=0, dtype=np.float64)
    width = min(width, COLUMN_WIDTH)
    height = min((width - 0.9) * cells[0] / cells[1], _HIGHEST_MAP)
    figure = PlainFigure(figsize=(width, height + 0.5), layout="compressed")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(True)
    picture = axes.imshow(shown, cmap="viridis")
    axes.set(xlabel="column", ylabel="row")
    for axis in (axes.xaxis, axes.yaxis):
        count_ticks(axis, width - 1, integer=True)
    name = concept_name(insertion.vocabulary, concept)
    figure.set_title(f"{name} pixels added, by cell of {insertion.layer}")
    figure.colorbar(picture, ax=axes)
    return figure


def place_sheet(
    images: Float[np.ndarray, "4 n H W 3"],
    insertion: Insertion,
    concept: int,
    cells: Shape,
    *,
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Lay out the places where most is added, and where least, with the cell marked.

    Rows: the best before and after the insertion, the worst before and after.

    Args:
        images: What `images_of_places` makes.
        insertion: The result that they belong to.
        concept: The concept that they belong to.
        cells: Height and width of the layer.
        width: Width of the figure in inches.
    """
    scale = max(1, round(_SHEET_WIDTH / (images.shape[1] * images.shape[3])))
    rows = [
        [
            mark_cell(image, insertion.cells[cell], cells, scale=scale)
            for image, (_, cell) in zip(
                row,
                insertion.best_places(concept, len(row), worst=place >= 2),
                strict=True,
            )
        ]
        for place, row in enumerate(images)
    ]
    names = ["best: before", "after", "worst: before", "after"]
    return grid_figure(np.array(rows), rows=names, width=width)


def mark_cell(
    image: Float[np.ndarray, "H W 3"], cell: Int[np.ndarray, "2"], cells: Shape, *, scale: int
) -> Float[np.ndarray, "_ _ 3"]:
    """Enlarge an image and draw a frame around the pixels of a cell, just outside of them."""
    marked = image.repeat(scale, axis=0).repeat(scale, axis=1)
    ends = [
        (place * side // number, (place + 1) * side // number)
        for place, side, number in zip(cell.tolist(), marked.shape[:2], cells, strict=True)
    ]
    width = max(1, scale)
    (top, bottom), (left, right) = ends
    frame = np.zeros(marked.shape[:2], bool)
    frame[max(top - width, 0) : bottom + width, max(left - width, 0) : right + width] = True
    frame[top:bottom, left:right] = False
    marked[frame] = YELLOW
    return marked


# --- sets of units --------------------------------------------------------------------------------


def effect_figure(
    effect: CausalEffect,
    sizes: Sequence[int],
    rankings: Sequence[str],
    *,
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Draw average causal effects against the number of units, a curve for each ranking."""
    number = len(sizes)
    parts = {name: slice(r * number, (r + 1) * number) for r, name in enumerate(rankings)}
    concept = concept_name(effect.vocabulary, effect.concept)
    factor = student_t(len(effect.before))
    return bars_and_curves.curve_figure(
        sizes,
        {name: effect.effect.mean[part] for name, part in parts.items()},
        bands={name: factor * effect.effect.standard_error[part] for name, part in parts.items()},
        title=f"Average causal effect on {concept} of units of {effect.layer}, 99% bands",
        across="units",
        up="pixels caused per pixel of the place",
        width=width,
    )


def step_figure(learned: UnitStrengths, *, width: float = PAGE_WIDTH) -> "Figure":
    """Draw how learning went."""
    steps = range(1, len(learned.effects) + 1)
    return bars_and_curves.curve_figure(
        steps,
        {"effect of the batch": learned.effects},
        title=f"Learning strengths of units of {learned.layer}",
        across="step",
        up="average causal effect",
        width=width,
    )


# --- artifacts ------------------------------------------------------------------------------------


def realism_figure(
    judged: Realism, names: Sequence[str], sizes: Sequence[int], *, width: float = PAGE_WIDTH
) -> "Figure":
    """Draw distances to real images against the number of units removed, with standard errors."""
    whole = float(judged.baseline.mean())
    kinds = list(dict.fromkeys(names))
    curves, bands = {}, {}
    for kind in kinds:
        mine = [i for i, name in enumerate(names) if name == kind]
        curves[kind] = np.array([whole, *judged.distances[:, mine].mean(axis=0)])
        bands[kind] = np.array([0.0, *judged.standard_error[mine]])
    places = [0, *(sizes[i] for i, name in enumerate(names) if name == kinds[0])]
    return bars_and_curves.curve_figure(
        places,
        curves,
        bands=bands,
        title=f"Removing units of {judged.layer}: distance to real images, other latents",
        across="units removed",
        up="Fréchet distance",
        width=width,
    )


def artifact_strip(
    images: Float[np.ndarray, "S n H W 3"], sizes: Sequence[int], *, width: float = PAGE_WIDTH
) -> "Figure":
    """Lay out images with all units, and without more and more of the costliest, row by row."""
    rows = ["all units", *(f"without {size}" for size in sizes)]
    return grid_figure(images, rows=rows, width=width)
