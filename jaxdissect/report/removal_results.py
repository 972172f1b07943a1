"""Read what the removal of single units does from the folders that hold it."""

from pathlib import Path

from jaxdissect.report.page_section import Estimate
from jaxdissect.report.sections.columns import number_of
from jaxdissect.report.sections.result_folder import ResultFolder, Row, read_result_folder
from jaxdissect.report.unit_effects import ClassChange, LayerEffects, UnitEffect

_LABEL = "balanced accuracy lost when removed"


def removal_effects(folder: Path) -> tuple[ResultFolder, str, LayerEffects] | None:
    """Read what single removals do.

    Args:
        folder: A folder of `jaxdissect ablate` or `jaxdissect generate remove`.

    Returns:
        The folder, the layer, and the effects; None where it holds none.

    Raises:
        ValueError: If a file cannot be read as what it should be.
    """
    for file, read in (("ablation.json", _of_classes), ("generation.json", _of_images)):
        if (folder / file).is_file():
            found = read_result_folder(folder, file)
            layer = found.settings.get("layer", found.option("layer"))
            effects = read(found) if isinstance(layer, str) and found.has_table("units") else None
            return None if effects is None else (found, str(layer), effects)
    return None


def _of_classes(folder: ResultFolder) -> LayerEffects | None:
    """Read the table of `jaxdissect ablate` with a row for each unit and class."""
    rows: dict[int, list[Row]] = {}
    for row in folder.rows("units", texts=frozenset(("class",))):
        unit = row.get("unit")
        if not isinstance(unit, int) or number_of(row, "balanced_accuracy_lost") is None:
            return None  # the table of an older version, or of another command
        rows.setdefault(unit, []).append(row)
    if not rows:
        return None
    measured = folder.number("images", "measured")
    images = "" if measured is None else f" on {int(measured):,} images that did not rank them"
    return LayerEffects(
        {unit: _class_effect(own) for unit, own in rows.items()},
        _LABEL,
        f"Change of the balanced accuracy of each class when the unit is removed alone{images}, "
        "with 99% intervals. Negative: the class is worse off without the unit.",
        "Over all classes",
    )


def _class_effect(rows: list[Row]) -> UnitEffect:
    changes = [_change(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: changes[i].change.value)
    # The class is chosen on other images than those on which it is measured: the greatest of many
    # losses on the same images would be too great to be true.
    ranked = [number_of(row, "balanced_accuracy_lost_when_ranked") or 0.0 for row in rows]
    most = max(range(len(rows)), key=lambda i: ranked[i])
    needed = ranked[most] > 0
    important = [str(row.get("class")) for row in rows if row.get("important") == 1]
    mean = sum(-change.change.value for change in changes) / len(changes)
    facts = [
        ("Important to", f"{len(important)} of {len(rows)} classes"),
        ("Mean balanced accuracy lost", f"{mean:.4f}"),
    ]
    correlation = number_of(rows[most], "correlation_of_peak_and_probability")
    if needed and correlation is not None:
        name = str(rows[most].get("class"))
        facts.append(
            (f"Correlation of its peak with the probability of {name}", f"{correlation:.2f}")
        )
    return UnitEffect(
        0.0 - changes[most].change.value if needed else None,
        str(rows[most].get("class")) if needed else None,
        [changes[i] for i in order],
        facts,
    )


def _change(row: Row) -> ClassChange:
    lost, low, high = (
        number_of(row, f"balanced_accuracy_lost{end}") for end in ("", "_low", "_high")
    )
    value = 0.0 - (lost or 0.0)
    ends = (value, value) if low is None or high is None else (0.0 - high, 0.0 - low)
    return ClassChange(str(row.get("class")), Estimate(value, *ends))


def _of_images(folder: ResultFolder) -> LayerEffects | None:
    """Read the table of `jaxdissect generate remove` with a row for each unit."""
    units = {}
    for row in folder.rows("units", texts=frozenset(("gains most",))):
        unit = row.get("unit")
        if not isinstance(unit, int) or number_of(row, "pixels changed per image") is None:
            return None
        units[unit] = UnitEffect(facts=_image_facts(row))
    if not units:
        return None
    concept, number = folder.option("concept"), folder.option("num_images")
    images = f" in {number:,} images" if isinstance(number, int) else ""
    return LayerEffects(units, None, "", f"What becomes of {concept}{images} without the unit")


def _image_facts(row: Row) -> list[tuple[str, str]]:
    facts = []
    for label, name, error in (
        ("Pixels changed per image", "pixels changed per image", "standard error"),
        ("Fraction left", "fraction left", "99% band"),
    ):
        value, spread = number_of(row, name), number_of(row, error)
        if value is not None:
            text = f"{value:.3g}" if abs(value) < 10 else f"{value:,.1f}"
            facts.append((label, text if spread is None else f"{text} ± {spread:.2g} ({error})"))
    gained, pixels = row.get("gains most"), number_of(row, "pixels gained per image")
    if isinstance(gained, str) and pixels is not None:
        facts.append(("Most appears of", f"{gained}, {pixels:,.1f} pixels per image"))
    return facts
