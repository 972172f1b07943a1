"""Tables of units as detectors of classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdissect.classifiers.detectors import Detectors, Peaks
from jaxdissect.commands.output import table_files
from jaxdissect.commands.output.table_files import Rows
from jaxdissect.stats import threshold_classifier

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


def reference_table(found: Detectors, choosing: Peaks, names: Sequence[str]) -> Rows:
    """One row per class: the threshold of its best unit by the rule of the paper's code.

    Its accuracy is that on the images it was chosen with, as there. Classes for which the rule
    gives no threshold are left out.
    """
    rows = []
    for c in found.order():
        unit, number = int(found.units[c, 0]), int(found.classes[c])
        try:
            rule = threshold_classifier.reference_threshold(
                choosing.values[:, unit], choosing.labels == number
            )
        except ValueError:  # fewer others than images of the class, or all of them lower
            continue
        rows.append((names[number], unit, *rule))
    return ("class", "unit", "threshold", "balanced accuracy when chosen"), rows


def unit_table(choosing: Peaks, judging: Peaks, names: Sequence[str]) -> Rows:
    """One row per unit and class, of the classes with images in both parts."""
    chosen, whole = (
        threshold_classifier.fit(part.values, part.labels, len(names))
        for part in (choosing, judging)
    )
    header = ("unit", "class", "threshold", "balanced accuracy when chosen", "AUROC")
    classes = np.intersect1d(choosing.labels, judging.labels)
    columns = (chosen.threshold, chosen.balanced_accuracy, whole.auroc)
    return header, [
        (unit, names[c], *(column[unit, c].item() for column in columns))
        for unit in range(choosing.values.shape[1])
        for c in classes
    ]


def summary(found: Detectors, names: Sequence[str], layer: str) -> str:
    """The best detectors and what they are on average, as text."""
    header, rows = detector_table(found, names)
    best = [row for row in rows if row[1] == 1][:MOST_SHOWN]
    printed = table_files.three_decimals(best)
    return "\n".join(
        [
            f"Best units of {layer} as detectors of classes, chosen on some images, judged on "
            "others (chance 0.5):",
            "",
            *table_files.aligned([header, *printed]),
            "",
            f"Mean over {len(found.classes)} classes: balanced accuracy "
            f"{found.accuracy[:, 0].mean():.3f} ({found.chosen_accuracy[:, 0].mean():.3f} when "
            f"chosen), AUROC {found.auroc[:, 0].mean():.3f}",
        ]
    )


def facts(found: Detectors, choosing: Peaks, judging: Peaks, layer: str) -> dict[str, Any]:
    """How detectors were found, and what they are on average, as JSON values."""
    return {
        "layer": layer,
        "units": choosing.values.shape[1],
        "classes": len(found.classes),
        "images": {"chosen with": len(choosing.labels), "judged with": len(judging.labels)},
        "mean balanced accuracy": float(found.accuracy[:, 0].mean()),
        "mean balanced accuracy when chosen": float(found.chosen_accuracy[:, 0].mean()),
        "mean AUROC": float(found.auroc[:, 0].mean()),
    }
