"""Tables of units as detectors of classes."""

from collections.abc import Sequence
from typing import Any

from jaxdissect.classifiers.detectors import (
    Detectors,
    PeakActivations,
    ReferenceDetector,
    UnitDetectors,
)
from jaxdissect.commands.output import table_files
from jaxdissect.commands.output.table_files import Rows

MOST_SHOWN = 20
"""Classes in a figure or on the terminal, those with the best detectors."""


def detector_table(found: Detectors, names: Sequence[str]) -> Rows:
    """One row per class and detector: its unit and threshold, where chosen and on other images."""
    header = (
        *("class", "rank", "unit", "threshold"),
        *("balanced accuracy when chosen", "balanced accuracy"),
        *("AUROC when chosen", "AUROC"),
    )
    columns = (
        *(found.units, found.thresholds, found.chosen_accuracy, found.accuracy),
        *(found.chosen_auroc, found.auroc),
    )
    rows = [
        (names[int(found.classes[c])], rank + 1, *(column[c, rank].item() for column in columns))
        for c in found.order()
        for rank in range(found.units.shape[1])
    ]
    return header, rows


def reference_table(found: Sequence[ReferenceDetector], names: Sequence[str]) -> Rows:
    """One row per class: the threshold of its best unit by the rule of the paper's code.

    Its accuracy is that on the images it was chosen with, as there.
    """
    header = ("class", "unit", "threshold", "balanced accuracy when chosen")
    return header, [(names[number], *columns) for number, *columns in found]


def unit_table(found: UnitDetectors, names: Sequence[str]) -> Rows:
    """One row per unit and class, of the classes with images in both parts."""
    header = ("unit", "class", "threshold", "balanced accuracy when chosen", "AUROC")
    classes, *columns = found
    return header, [
        (unit, names[number], *(column[unit, place].item() for column in columns))
        for unit in range(len(found.thresholds))
        for place, number in enumerate(classes)
    ]


def summary(found: Detectors, names: Sequence[str], layer: str, absent: int) -> str:
    """List the best detectors and their averages over classes, as text.

    Args:
        found: The detectors.
        names: Names of all classes.
        layer: The layer of the units.
        absent: How many classes have no images to choose or to judge with.
    """
    header, rows = detector_table(found, names)
    best = [row for row in rows if row[1] == 1][:MOST_SHOWN]
    printed = table_files.three_decimals(best)
    missing = f" ({absent} classes have no images, or only in one part)" if absent else ""
    return "\n".join(
        [
            f"Best units of {layer} as detectors of classes, chosen on some images, judged on "
            "others (chance 0.5):",
            "",
            *table_files.aligned([header, *printed]),
            "",
            f"Mean over {len(found.classes)} classes{missing}: balanced accuracy "
            f"{found.accuracy[:, 0].mean():.3f} ({found.chosen_accuracy[:, 0].mean():.3f} when "
            f"chosen), AUROC {found.auroc[:, 0].mean():.3f}",
        ]
    )


def facts(
    found: Detectors,
    choosing: PeakActivations,
    judging: PeakActivations,
    layer: str,
    absent: int,
) -> dict[str, Any]:
    """List how detectors were found, and their averages over classes, as JSON values."""
    return {
        "layer": layer,
        "units": choosing.values.shape[1],
        "classes": len(found.classes),
        "classes without images": absent,
        "images": {"chosen with": len(choosing.labels), "judged with": len(judging.labels)},
        "mean balanced accuracy": float(found.accuracy[:, 0].mean()),
        "mean balanced accuracy when chosen": float(found.chosen_accuracy[:, 0].mean()),
        "mean AUROC": float(found.auroc[:, 0].mean()),
    }
