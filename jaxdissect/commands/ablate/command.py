"""`jaxdissect ablate`: which classes need which units, as a folder of tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from tyro.conf import arg

from jaxdissect.classifiers import ablation_methods, importance, replacements
from jaxdissect.classifiers.class_correlation import Responses, unit_responses
from jaxdissect.classifiers.class_study import ClassStudy, study_classes
from jaxdissect.classifiers.taylor_importance import estimated_damage
from jaxdissect.commands.ablate import figures, tables
from jaxdissect.commands.options.class_images import ClassImages, ClassSources, class_numbers
from jaxdissect.commands.options.model import choose_layers, find_model
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.dissection.result import load_dissection
from jaxdissect.engine.data.donors import WithOthers
from jaxdissect.engine.layer_reader import image_input
from jaxdissect.networks.network import Network, layer_shapes
from jaxdissect.plots.figure_files import save_figure

WAYS = {
    "fastest": (ablation_methods.low_rank, ablation_methods.edited),
    "low-rank": (ablation_methods.low_rank,),
    "edited": (ablation_methods.edited,),
    "masked-parameters": (ablation_methods.masked_parameters,),
}


@dataclass(frozen=True, kw_only=True)
class AblateOptions(TableOptions, ClassImages):
    """Remove units of a classifier, and count what it still tells right.

    Units are ranked for every class on some images, and sets of them are removed on others. Images
    come from --sample, from two folders (--rank-images, --images) that hold a folder for every
    class, or from two splits of --tfds.
    """

    model: Annotated[str, arg(metavar="NAME")]
    """The classifier; see `jaxdissect dissect --help`."""
    layer: Annotated[str | None, arg(metavar="L", help_behavior_hint="(default: the last)")] = None
    """Where to remove units. A wrong name lists the right ones."""
    weights: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Weights of a kind of network."""
    sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (4, 20, 256)
    """Numbers of most important units to remove together, or to keep alone; those that are less
    than the layer has."""
    curves: Annotated[
        tuple[str, ...], arg(metavar="CLASS [CLASS ...]", help_behavior_hint="(default: none)")
    ] = ()
    """Classes for which to remove every number of units."""
    rank_by: Literal["balanced-accuracy", "confidence"] = "balanced-accuracy"
    """What a removal must lower to make a unit important: the paper's measure, or the mean
    probability of the class, which tells more from few images."""
    dissection: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Results of `jaxdissect dissect` for the same layer, to compare importance with."""
    replace: Literal["zero", "mean", "resample"] = "zero"
    """What removed units say: nothing, their mean over the images to rank with, or what they say of
    another image."""
    way: Literal["fastest", "low-rank", "edited", "masked-parameters"] = "fastest"
    """How removals are computed: by subtracting from a linear map where the layer leads to one, by
    running what follows the layer, or by zeroing parameters; same predictions."""
    batch_size: Annotated[int, arg(metavar="N")] = 16
    """Images in a step; does not change results."""
    memory_gib: Annotated[float, arg(metavar="GIB")] = 1.0
    """Memory for sets of units that run together, about; does not change results."""
    checkpoints: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder in which an interrupted run is taken up again by the same command."""

    def run(self) -> None:
        """Rank and remove units as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_free()
        data = self.find_classes()
        model = find_model(self.model, self.weights)
        wanted = (self.layer,) if self.layer else model.default_layers[-1:]
        image_size = data.image_size
        (layer,) = choose_layers(model, wanted, image_size)
        example = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
        num_units = layer_shapes(model.network, example, (layer,))[layer].shape[-1]
        iou = None if self.dissection is None else _best_iou(self.dissection, layer, num_units)
        options = {"label_key": data.label_key, "batch_size": self.batch_size}
        with self.working() as (folder, progress):
            options["progress"] = progress
            data, replacement = self._replacing(data, model.network, layer, options)
            study = study_classes(
                model.network,
                data.ranking,
                data.judging,
                layer,
                num_units,
                sizes=tuple(size for size in self.sizes if size < num_units),
                curve_classes=class_numbers("curves", self.curves, data.class_names),
                rank_by=importance.MEASURES[self.rank_by],
                replacement=replacement,
                choose=WAYS[self.way],
                memory_budget=int(self.memory_gib * 2**30),
                checkpoints=self.checkpoints,
                **options,
            )
            num_classes = study.ranked_by.shape[1]
            estimate = estimated_damage(model.network, data.ranking, layer, num_classes, **options)
            responses = unit_responses(model.network, data.judging, layer, **options)
            names = data.all_names(num_classes)
            self._write(folder, study, estimate, responses, names, iou)
        self.print_summary(tables.summary(study, names))

    def _replacing(
        self, data: ClassSources, network: Network, layer: str, options: dict[str, Any]
    ) -> tuple[ClassSources, replacements.Replacement]:
        """Find what removed units say instead, and the images that it takes."""
        if self.replace == "mean":
            means = replacements.mean_activations(
                network,
                data.ranking,
                layer,
                batch_size=self.batch_size,
                progress=options["progress"],
            )
            return data, replacements.mean(jnp.asarray(means, jnp.float32))
        if self.replace == "resample":
            paired = data._replace(
                ranking=WithOthers(data.ranking), judging=WithOthers(data.judging)
            )
            return paired, replacements.resampled(network, layer, image_input)
        return data, replacements.zero

    def _write(
        self,
        folder: Path,
        study: ClassStudy,
        estimate: np.ndarray,
        responses: Responses,
        names: Sequence[str],
        iou: np.ndarray | None,
    ) -> None:
        written = {
            "units": tables.unit_table(study, estimate, responses, names),
            "classes": tables.class_table(study, names),
            "rates": tables.rate_table(study, names),
            "sets": tables.set_table(study, names),
            "curves": tables.curve_table(study, names),
            "improvements": tables.improvement_table(study, names),
            "important": tables.important_table(study, names, iou),
        }
        drawn = {
            "classes": figures.class_figure(study, names),
            "distribution": figures.distribution_figure(study),
        }
        if study.curve_classes:
            drawn["curves"] = figures.curve_figure(study, names)
        if iou is not None:
            written["importance"] = tables.importance_table(study, iou)
            drawn["importance"] = figures.mean_importance_figure(study, iou)
            drawn["number_of_classes"] = figures.number_of_classes_figure(study, iou)
        self.write_tables(folder, written)
        for name, figure in drawn.items():
            save_figure(folder / f"{name}.png", figure)
        facts = tables.facts(study, estimate, responses)
        write_settings(folder / "ablation.json", self, facts)


def _best_iou(folder: Path, layer: str, num_units: int) -> np.ndarray:
    result = load_dissection(folder)
    if layer not in result.layers or result[layer].num_units != num_units:
        raise ValueError(
            f"`dissection` (={folder}) has no layer {layer!r} of {num_units} units; it has: "
            f"{', '.join(result.layers)}"
        )
    return result[layer].best_iou
