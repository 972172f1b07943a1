"""`jaxdissect ablate`: which classes need which units, as a folder of tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from tyro.conf import arg

from jaxdissect.classifiers import ablation_methods, importance, replacements
from jaxdissect.classifiers.class_correlation import ClassCorrelation, correlate_with_classes
from jaxdissect.classifiers.class_study import ClassStudy, study_classes
from jaxdissect.classifiers.taylor_importance import estimated_damage
from jaxdissect.commands.ablate import figures, tables
from jaxdissect.commands.options.checkpoints import CheckpointOptions
from jaxdissect.commands.options.class_images import ClassImages, ClassSources, class_numbers
from jaxdissect.commands.options.computing import images_like
from jaxdissect.commands.options.model import FoundLayer, LayerOptions
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.dissection.result import load_dissection
from jaxdissect.engine.data.pairs import WithDonors
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.identity import digest, looked_at_once
from jaxdissect.networks.network import Network
from jaxdissect.stats import accuracy

METHODS = {
    "fastest": ablation_methods.FASTEST,
    "low-rank": (ablation_methods.low_rank,),
    "edited": (ablation_methods.edited,),
    "masked-parameters": (ablation_methods.masked_parameters,),
}


@dataclass(frozen=True, kw_only=True)
class AblateOptions(CheckpointOptions, LayerOptions, ClassImages, TableOptions):
    """Remove units of a classifier, and count what it still classifies correctly.

    Units are ranked for every class on some images, and sets of them are removed on others. Images
    come from --sample, from two folders (--rank-images, --images) that hold a folder for every
    class, or from two splits of --tfds.
    """

    sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (4, 20, 256)
    """Numbers of most important units to remove together, or to keep alone; those that are not
    below the number of units of the layer are left out."""
    curves: Annotated[
        tuple[str, ...], arg(metavar="CLASS [CLASS ...]", help_behavior_hint="(default: none)")
    ] = ()
    """Classes for which to remove every number of units."""
    rank_by: Literal["balanced-accuracy", "confidence"] = "balanced-accuracy"
    """What a removal must lower to make a unit important: the paper's measure, or the mean
    probability of the class, which distinguishes more from few images."""
    dissection: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Results of `jaxdissect dissect` for the same layer, to compare importance with."""
    replace: Literal["zero", "mean", "resample"] = "zero"
    """What removed units output instead: zero, their mean over the images to rank with, or what
    they output for another image."""
    way: Literal["fastest", "low-rank", "edited", "masked-parameters"] = "fastest"
    """How removals are computed: by subtracting from a linear map where the layer leads to one, by
    running what follows the layer, or by zeroing parameters; all give the same predictions."""
    memory_gib: Annotated[float, arg(metavar="GIB")] = 1.0
    """Memory for sets of units that run together, about; does not change results."""
    of_results_alone: ClassVar = frozenset(("dissection",))

    @looked_at_once()
    def run(self) -> None:
        """Rank and remove units as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        check_at_least(self, memory_gib=0)
        self.check_free()
        self.check_checkpoints()
        data = self.find_classes()
        found = self.find_layer(data.image_size)
        network, layer, num_units = found
        batch_size = self.computing.size_of_batches(
            network, images_like(data.image_size), layers=(layer,), on_processor=16
        )
        names = data.names_of_outputs(network)
        curves = class_numbers("curves", self.curves, names)
        iou = None if self.dissection is None else _best_iou(self.dissection, found)
        self.claim_checkpoints(self.contents(data, network))
        with self.working() as (folder, progress):
            data, replacement = self._replacing(data, found, batch_size, progress)
            study = study_classes(
                network,
                data.ranking,
                data.judging,
                layer,
                num_units,
                sizes=tuple(size for size in self.sizes if size < num_units),
                curve_classes=curves,
                rank_by=importance.MEASURES[self.rank_by],
                label_key=data.label_key,
                replacement=replacement,
                methods=METHODS[self.way],
                batch_size=batch_size,
                mesh=self.computing.mesh,
                memory_budget=int(self.memory_gib * 2**30),
                checkpoints=self.checkpoints,
                progress=progress,
            )
            num_classes = study.ranked_by.shape[1]
            estimate = estimated_damage(
                network,
                data.ranking,
                layer,
                num_classes,
                label_key=data.label_key,
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("estimates"),
                mesh=self.computing.mesh,
                progress=progress,
            )
            correlation = correlate_with_classes(
                network,
                data.judging,
                layer,
                label_key=data.label_key,
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("correlation"),
                mesh=self.computing.mesh,
                progress=progress,
            )
            self._write(folder, study, estimate, correlation, names, iou, network, data.skipped)
        self.print_summary(tables.summary(study, names))

    def _replacing(
        self, data: ClassSources, found: FoundLayer, batch_size: int, progress: Progress
    ) -> tuple[ClassSources, replacements.Replacement]:
        """Find what removed units output instead, and the images that this takes."""
        network, layer, _ = found
        if self.replace == "mean":
            means = replacements.mean_activations(
                network,
                data.ranking,
                layer,
                batch_size=batch_size,
                mesh=self.computing.mesh,
                checkpoints=self.checkpoints_of("means"),
                progress=progress,
            )
            return data, replacements.mean(means)
        if self.replace == "resample":
            paired = data._replace(
                ranking=WithDonors(data.ranking), judging=WithDonors(data.judging)
            )
            return paired, replacements.resampled(network, layer)
        return data, replacements.zero

    def _write(
        self,
        folder: Path,
        study: ClassStudy,
        estimate: Float[np.ndarray, "U N"],
        correlation: ClassCorrelation,
        names: Sequence[str],
        iou: Float[np.ndarray, "U"] | None,
        network: Network,
        skipped: Sequence[str],
    ) -> None:
        single = study.single_intervals(accuracy.balanced_accuracy)
        written = {
            "units": tables.unit_table(study, single, estimate, correlation, names),
            "classes": tables.class_table(study, names),
            "rates": tables.rate_table(study, names),
            "sets": tables.set_table(study, names),
            "curves": tables.curve_table(study, names),
            "improvements": tables.improvement_table(study, single, names),
            "important": tables.important_table(study, names, iou),
        }
        width = self.figure_inches
        drawn = {
            "classes": figures.class_figure(study, names, width=width),
            "distribution": figures.distribution_figure(study, width=width),
        }
        if study.curve_classes:
            drawn["curves"] = figures.curve_figure(study, names, width=width)
        if iou is not None:
            written["importance"] = tables.importance_table(study, iou)
            drawn["importance"] = figures.mean_importance_figure(study, iou, width=width)
            chart = figures.number_of_classes_figure(study, iou, width=width)
            drawn["number_of_classes"] = chart
        self.write_tables(folder, written)
        for name, figure in drawn.items():
            self.save_figure(folder, name, figure)
        facts = tables.facts(study, single, estimate, correlation)
        facts |= {"network": digest(network.params), "skipped": list(skipped)}
        write_settings(folder / "ablation.json", self, facts)


def _best_iou(folder: Path, found: FoundLayer) -> Float[np.ndarray, "U"]:
    """Read the IoU of every unit with its best concept from the results of a dissection."""
    result = load_dissection(folder)
    network, layer, num_units = found
    if layer not in result.layers or result[layer].num_units != num_units:
        raise ValueError(
            f"`dissection` (={folder}) has no layer {layer!r} of {num_units} units; it has: "
            f"{', '.join(result.layers)}"
        )
    known = result.provenance
    if known is not None and known.network != digest(network.params):
        raise ValueError(
            f"`dissection` (={folder}) is that of another network than `model`, or of other "
            "weights: dissect this one"
        )
    return result[layer].best_iou
