"""`jaxdissect detect`: the best single unit for every class, as tables and figures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from tyro.conf import arg

from jaxdissect.classifiers.detectors import (
    Detectors,
    PeakActivations,
    as_binary,
    best_detectors,
    peak_activations,
    reference_detectors,
    unit_detectors,
)
from jaxdissect.commands.detect import figures, tables
from jaxdissect.commands.options.checkpoints import CheckpointOptions
from jaxdissect.commands.options.class_images import ClassImages, class_numbers
from jaxdissect.commands.options.computing import images_like
from jaxdissect.commands.options.model import LayerOptions
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.engine.identity import digest, looked_at_once

_LONGEST_NAME = 50  # characters of the name of a class in that of a file, which has 255 bytes


@dataclass(frozen=True, kw_only=True)
class DetectOptions(CheckpointOptions, LayerOptions, ClassImages, TableOptions):
    """Find the single unit whose peak activation detects each class best.

    Units and thresholds are chosen on some images and judged on others. Images come from --sample,
    from two folders (--rank-images, --images) that hold a folder for every class, or from two
    splits of --tfds.
    """

    unit: Annotated[int | None, arg(metavar="U", help_behavior_hint="(default: all)")] = None
    """Look at one unit only."""
    classes: Annotated[
        tuple[str, ...], arg(metavar="CLASS [CLASS ...]", help_behavior_hint="(default: each)")
    ] = ()
    """Join these classes into one, and look for units that distinguish it from all others."""
    units_per_class: Annotated[int, arg(metavar="N")] = 3
    """How many units to name for each class."""
    num_figures: Annotated[int, arg(metavar="N")] = 3
    """How many detectors to draw the peaks of, the best on the images to choose with."""

    of_results_alone: ClassVar = frozenset(("unit", "classes", "units_per_class", "num_figures"))

    @looked_at_once()
    def run(self) -> None:
        """Find detectors as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        check_at_least(self, units_per_class=1, num_figures=0)
        self.check_free()
        self.check_checkpoints()
        data = self.find_classes()
        wanted = class_numbers("classes", self.classes, data.class_names)
        network, layer, _ = self.find_layer(data.image_size)
        batch_size = self.computing.size_of_batches(
            network, images_like(data.image_size), layers=(layer,), on_processor=16
        )
        self.claim_checkpoints(self.contents(data, network))
        with self.working() as (folder, progress):
            choosing, judging = (
                peak_activations(
                    network,
                    source,
                    (layer,),
                    label_key=data.label_key,
                    batch_size=batch_size,
                    checkpoints=self.checkpoints_of(part),
                    mesh=self.computing.mesh,
                    progress=progress,
                )[layer]
                for part, source in (("choosing", data.ranking), ("judging", data.judging))
            )
            greatest = int(max(choosing.labels.max(), judging.labels.max()))
            names = data.all_names(greatest + 1)
            if wanted:
                names = ("others", " or ".join(self.classes))
                choosing, judging = (
                    part._replace(labels=as_binary(part.labels, np.array(wanted)))
                    for part in (choosing, judging)
                )
            found = best_detectors(
                choosing,
                judging,
                units=None if self.unit is None else (self.unit,),
                units_per_class=self.units_per_class,
                num_classes=len(names),
            )
            every = unit_detectors(choosing, judging, len(names))
            absent = len(names) - len(found.classes)
            if wanted:  # nobody asks which unit detects all others
                found, every = found.of_class(1), every.of_class(1)
            reference = reference_detectors(found, choosing)
            written = {
                "detectors": tables.detector_table(found, names),
                "units": tables.unit_table(every, names),
                "reference": tables.reference_table(reference, names),
            }
            self.write_tables(folder, written)
            self._draw(folder, found, judging, names, layer)
            facts = tables.facts(found, choosing, judging, layer, absent)
            facts |= {"network": digest(network.params), "skipped": list(data.skipped)}
            write_settings(folder / "detectors.json", self, facts)
        self.print_summary(tables.summary(found, names, layer, absent))

    def _draw(
        self,
        folder: Path,
        found: Detectors,
        judging: PeakActivations,
        names: Sequence[str],
        layer: str,
    ) -> None:
        chart = figures.detector_figure(found, names, width=self.figure_inches)
        self.save_figure(folder, "detectors", chart)
        for c in found.order()[: self.num_figures]:
            number, unit = int(found.classes[c]), int(found.units[c, 0])
            figure = figures.peak_figure(
                judging.values[:, unit],
                judging.labels == number,
                float(found.thresholds[c, 0]),
                name=names[number],
                title=f"{layer}, unit {unit}: balanced accuracy {found.accuracy[c, 0]:.3f}, "
                f"AUROC {found.auroc[c, 0]:.3f}",
                width=self.figure_inches,
            )
            stem = re.sub(r"[^\w.-]+", "_", names[number]).strip("_")[:_LONGEST_NAME]
            self.save_figure(folder, f"peaks_{number}_{stem}", figure)
