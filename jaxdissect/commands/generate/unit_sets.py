"""`jaxdissect generate optimise` and `artifacts`: sets of units, by what they cause and cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
from tyro.conf import arg

from jaxdissect.arrays.resampling import Shape
from jaxdissect.commands.generate import figures, tables
from jaxdissect.commands.generate.options import ConceptOptions, GeneratorOptions
from jaxdissect.commands.options.generator import FoundGenerator, choose_generator_layers
from jaxdissect.commands.options.model import BUILT_IN, choose_layers, find_model
from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.folders import image_folder
from jaxdissect.generators.causality import causal_effect, mean_where_present
from jaxdissect.generators.interventions import Interventions
from jaxdissect.generators.optimise import optimise_units
from jaxdissect.generators.realism import (
    Features,
    Realism,
    check_parts,
    measure_realism,
    moments_of_images,
)
from jaxdissect.generators.removal import remove_units
from jaxdissect.networks.ablation_masks import single_unit_masks, unit_set_masks
from jaxdissect.plots.figure_files import save_figure
from jaxdissect.scenes.dataset import scenes_dataset

RANKINGS = ("IoU", "strength")

_REAL_SEED = 5_000_003  # pictures that no built-in network was trained on


@dataclass(frozen=True, kw_only=True)
class OptimiseUnits(ConceptOptions):
    """Learn which units cause a concept, and compare them with those that match it best.

    A strength of every unit is learned by gradient through generator and segmenter. Sets of the
    strongest units and of the units with the best IoU are then inserted and removed in other
    images.
    """

    sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (1, 2, 4, 8, 12, 20, 30)
    """Numbers of units of the sets."""
    values: Literal["level", "present"] = "level"
    """What inserted units say: the level that each exceeds on 0.5% of the pixels, or its mean where
    the concept is present."""
    patch: Annotated[int, arg(metavar="N")] = 1
    """Cells of a side of the places of the layer."""
    steps: Annotated[int, arg(metavar="N")] = 200
    """Steps of learning."""
    step_size: Annotated[int, arg(metavar="N")] = 8
    """Latents in a step of learning."""
    learning_rate: Annotated[float, arg(metavar="X")] = 0.05
    """Of Adam."""
    penalty: Annotated[float, arg(metavar="X")] = 0.05
    """Weight of the length of the vector of strengths."""

    def run(self) -> None:
        """Learn strengths and compare rankings as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        case = self.case()
        if not self.sizes or not all(1 <= size <= case.num_units for size in self.sizes):
            raise ValueError(f"`sizes` (={self.sizes}) must be numbers from 1 to {case.num_units}")
        with self.working() as (folder, progress):
            units = case.dissect(progress)
            network, source, segmenter, layer = case.subject()
            learning = self.latents(case.found, "learning")
            looking: dict[str, Any] = {**case.looking(), "progress": progress}
            common = {key: looking[key] for key in ("grid", "to_pixels", "progress")}
            values = units.levels
            if self.values == "present":
                subject = network, learning, segmenter, layer, case.concept
                values = mean_where_present(*subject, batch_size=self.batch_size, **common)
            learn, place = jax.random.split(jax.random.key(self.seed))
            learned = optimise_units(
                learn,
                network,
                learning,
                segmenter,
                layer,
                case.concept,
                values,
                patch=self.patch,
                steps=self.steps,
                batch_size=self.step_size,
                learning_rate=self.learning_rate,
                penalty=self.penalty,
                **common,
            )
            chosen = [
                ranking[:size]
                for ranking in (units.ranking, learned.ranking)
                for size in self.sizes
            ]
            keep = unit_set_masks(chosen, case.num_units)
            effect = causal_effect(
                place,
                *case.subject(),
                case.concept,
                (~keep).astype(np.float32),
                values,
                patch=self.patch,
                **looking,
            )
            removal = remove_units(*case.subject(), keep, **looking)
            compared = tables.effect_table(effect, removal, self.sizes, RANKINGS)
            written = {
                "units": tables.strength_table(learned, units.iou),
                "steps": tables.step_table(learned),
                "effects": compared,
            }
            self.write(folder, written, {"values": values.tolist()})
            chart = figures.effect_figure(effect, self.sizes, RANKINGS)
            save_figure(folder / "effects.png", chart)
            save_figure(folder / "steps.png", figures.step_figure(learned))
        self.print_table(f"What units of {self.layer} cause of {self.concept}", compared)


@dataclass(frozen=True, kw_only=True)
class FindArtifacts(GeneratorOptions):
    """Rank units by how much realism they cost, and remove the costliest together.

    Realism is the Fréchet distance to real images in the features of a network. Units are ranked on
    some images, and sets of them are removed from others, as are random units.
    """

    layer: Annotated[str, arg(metavar="L")]
    """Where to remove units. A wrong name lists the right ones."""
    real_images: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: the scenes of `scenes`)")
    ] = None
    """Folder of real images, which are brought to the size of the generator's."""
    num_real: Annotated[int, arg(metavar="N")] = 2000
    """Real images, at most."""
    features: Annotated[str, arg(metavar="NAME")] = BUILT_IN
    """Network of the features, as for --model of `jaxdissect dissect`."""
    feature_layer: Annotated[
        str | None, arg(metavar="L", help_behavior_hint="(default: the last of the known)")
    ] = None
    """Layer of the features, whose means over the image are compared."""
    sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (1, 2, 4, 8, 16)
    """Numbers of units to remove together."""
    parts: Annotated[int, arg(metavar="N")] = 4
    """Parts of the images to measure with, whose spread tells how sure distances are."""

    def run(self) -> None:
        """Rank and remove units as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        found = self.find()
        choose_generator_layers(found, (self.layer,))
        source = self.latents(found, "measuring")
        network = found.model.network
        subject = Interventions(network, source, self.layer, found.to_pixels, 1)
        num_units, real = subject.num_units, self._real_images(found, subject.image_size)
        if not self.sizes or not all(1 <= size < num_units for size in self.sizes):
            raise ValueError(f"`sizes` (={self.sizes}) must be numbers from 1 to {num_units - 1}")
        check_parts(self.parts, source)
        features = self._features(real)
        with self.working() as (folder, progress):
            truth = moments_of_images(features, real, progress=progress)
            options: dict[str, Any] = {
                "to_pixels": found.to_pixels,
                "batch_size": self.batch_size,
                "chunk_size": self.chunk_size,
                "progress": progress,
            }
            ranking_source = self.latents(found, "ranking")
            judges = truth, features, self.layer
            singles = measure_realism(
                network, ranking_source, *judges, single_unit_masks(num_units), **options
            )
            random = np.random.default_rng(self.seed).permutation(num_units)
            chosen = [order[:size] for order in (singles.ranking, random) for size in self.sizes]
            kinds = [kind for kind in ("costliest", "random") for _ in self.sizes]
            keep = unit_set_masks(chosen, num_units)
            judged = measure_realism(network, source, *judges, keep, parts=self.parts, **options)
            sizes = (*self.sizes, *self.sizes)
            compared = tables.realism_table(judged, kinds, sizes)
            written = {"units": tables.artifact_table(singles), "sets": compared}
            self.write(folder, written, {"real images": len(real)})
            chart = figures.realism_figure(judged, kinds, sizes)
            save_figure(folder / "distances.png", chart)
            self._sheet(found, source, judged).save(folder / "images.png")
        title = f"Removing units of {self.layer}, Fréchet distance to real images"
        self.print_table(title, compared)

    def _real_images(self, found: FoundGenerator, size: Shape) -> Source:
        if self.real_images is not None:
            return image_folder(self.real_images, image_size=size, limit=self.num_real)
        if found.model.name != BUILT_IN:
            raise ValueError(f"`real_images` are needed for `model` {found.model.name!r}")
        from jaxdissect.scenes.training.train_generator import SCENES  # brings what trains

        return scenes_dataset(self.num_real, seed=_REAL_SEED, scenes=SCENES)

    def _features(self, real: Source) -> Features:
        model = find_model(self.features)
        layers = () if self.feature_layer is None else (self.feature_layer,)
        chosen = choose_layers(model, layers, real[0]["image"].shape[:2])
        return Features(model.network, chosen[-1])

    def _sheet(self, found: FoundGenerator, source: Source, judged: Realism) -> Any:
        keep = np.concatenate([np.ones_like(judged.keep[:1]), judged.keep[: len(self.sizes)]])
        shown = np.arange(min(8, len(source)))
        images = figures.without(
            found.model.network, source, self.layer, shown, keep, to_pixels=found.to_pixels
        )
        names = ["all units", *(f"without {size}" for size in self.sizes)]
        return figures.draw_grid(images, rows=names)
