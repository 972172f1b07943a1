"""Figures of attacks and defences. Lengths are in inches."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdissect.arrays.resampling import Shape
from jaxdissect.attacks.defence import DefenceCurve
from jaxdissect.attacks.effect_on_units import (
    Group,
    Peaks,
    amplified_difference,
    changed_regions,
    most_changed,
    unit_maps,
)
from jaxdissect.commands.options.attack import Case
from jaxdissect.dissection.top_images import active_regions
from jaxdissect.plots import bars_and_curves
from jaxdissect.plots.image_grid import draw_grid
from jaxdissect.plots.palette import SERIES_COLORS
from jaxdissect.plots.regions import highlight
from jaxdissect.stats.paired_changes import NORMAL_99
from jaxdissect.stats.quantile import upper_quantile

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

FRACTION = 0.01
"""Units are lit where they are among their strongest activations, this fraction of all places."""

_MOST_UNITS = 16
_RISE, _FALL = (0.85, 0.15, 0.15), (0.15, 0.35, 0.85)


def group_figure(groups: Sequence[Group], case: Case) -> "Figure":
    """Draw the mean change of the peaks of each group, with 99% intervals."""
    shown = [group for group in groups if group.pairs]
    names = {
        "target": f"important to {case.names[case.targets[0]]}, the target",
        "source": "important to the source",
        "other": "all others",
    }
    intervals = np.array([group.interval for group in shown])
    return bars_and_curves.bar_figure(
        [names[group.name] for group in shown],
        {"change": np.array([group.mean for group in shown])},
        errors={"change": np.nan_to_num(intervals, posinf=0.0)},
        title=f"Attacked units of {case.layer}",
        unit="mean change of the peak activation, and its 99% interval",
    )


def unit_figure(peaks: Peaks, case: Case) -> "Figure":
    """Draw the mean change of the units that changed most, with 99% intervals."""
    change = peaks.change
    units = most_changed(change)[:_MOST_UNITS]
    target, important = int(case.targets[0]), case.important
    names = [
        f"unit {unit}" + (" (target)" if important[unit, target] else "") for unit in units.tolist()
    ]
    half = NORMAL_99 * change[:, units].std(axis=0) / np.sqrt(len(change))
    return bars_and_curves.bar_figure(
        names,
        {"change": change[:, units].mean(axis=0)},
        errors={"change": half},
        title=f"Units of {case.layer} that the attack changes most",
        unit="mean change of the peak activation, and its 99% interval",
    )


def example_sheet(
    case: Case, peaks: Peaks, *, number: int, least_change: float, factor: float
) -> "Image.Image":
    """Show attacked images, what was added, and what the most changed unit of each sees.

    Args:
        case: Attacked images.
        peaks: Of those on which the attack succeeded.
        number: How many to show.
        least_change: Change of an activation that is shown.
        factor: Of the difference.
    """
    there = np.flatnonzero(case.attacked.success)
    units = peaks.change.argmax(axis=1)[:number]
    kinds = np.unique(units)
    images, after = (shown[there] for shown in (case.images, np.asarray(case.attacked.images)))
    maps = unit_maps(case.network, jnp.asarray(images), case.layer, kinds)
    thresholds = upper_quantile(np.asarray(maps).reshape(-1, len(kinds)), FRACTION)
    shown_after = after[:number]
    later = unit_maps(case.network, jnp.asarray(shown_after), case.layer, kinds)
    rows, names = [], []
    size = (images.shape[1], images.shape[2])
    for i, unit in enumerate(units.tolist()):
        own = int(np.searchsorted(kinds, unit))
        pair = [maps[i : i + 1, ..., own : own + 1], later[i : i + 1, ..., own : own + 1]]
        lit = [
            highlight(picture, _active(cells, float(thresholds[own]), size))
            for picture, cells in zip((images[i], after[i]), pair, strict=True)
        ]
        rises, falls = changed_regions(pair[0], pair[1], size, least=least_change)
        painted = _paint(images[i], np.asarray(rises)[0, ..., 0], np.asarray(falls)[0, ..., 0])
        rows.append(
            [
                images[i],
                after[i],
                amplified_difference(images[i], after[i], factor=factor),
                *lit,
                painted,
            ]
        )
        names.append(f"{case.names[case.sources[there[i]]]}, unit {unit}")
    columns = ("image", "adversarial", f"difference x{factor:g}")
    columns += ("unit before", "unit after", "rise, fall")
    return draw_grid(
        np.array(rows, np.float32), rows=names, columns=columns, scale=max(1, round(128 / size[0]))
    )


def defence_figure(curves: Mapping[str, DefenceCurve]) -> "Figure":
    """Draw accuracies against the number of deactivated units, a panel for every defence."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(2.7 * len(curves) + 1.6, 3.4), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        series = {
            "original images": curve.clean,
            "attack on the undefended network": curve.transferred,
            "attack on the defence": curve.adaptive,
        }
        for (label, values), color in zip(series.items(), SERIES_COLORS, strict=False):
            axes.plot(curve.sizes, values, "o-", markersize=3, color=color, label=label)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("units deactivated")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(-0.02, 1.02)
        axes.grid(color="#DDDDDD", linewidth=0.6, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("accuracy")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
        frameon=False, fontsize=8,
    )  # fmt: skip
    return figure


def _active(
    cells: Float[Array, "1 h w 1"], threshold: float, size: Shape
) -> Bool[np.ndarray, "H W"]:
    threshold_of_unit = jnp.asarray([threshold], jnp.float32)
    return np.asarray(active_regions(cells, threshold_of_unit, size)[0, ..., 0])


def _paint(
    image: Float[np.ndarray, "H W 3"], rises: np.ndarray, falls: np.ndarray
) -> Float[np.ndarray, "H W 3"]:
    """Paint regions over a grey image."""
    grey = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1) * 0.5 + 0.4
    for region, color in ((rises, _RISE), (falls, _FALL)):
        grey = np.where(region[..., None], 0.35 * grey + 0.65 * np.array(color), grey)
    return grey.astype(np.float32)
