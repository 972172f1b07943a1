"""`jaxdissect generate artifacts`: the units whose removal brings images closer to real ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import arg

from jaxdissect.arrays.resampling import Shape
from jaxdissect.commands.generate import figures, tables
from jaxdissect.commands.generate.options import SETTINGS_FILE, LatentOptions
from jaxdissect.commands.options.generator import GeneratorOptions
from jaxdissect.commands.options.model import BUILT_IN, choose_layers, find_model
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.folders import image_folder
from jaxdissect.engine.identity import digest, looked_at_once
from jaxdissect.generators.images import images_without_units
from jaxdissect.generators.realism import (
    Features,
    check_parts,
    measure_realism,
    moments_of_images,
)
from jaxdissect.networks.ablation_masks import single_unit_masks, unit_set_masks
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.shipped import GENERATOR_SCENES

_REAL_SEED = 5_000_003  # pictures that no built-in network was trained on
_SHOWN_IMAGES = 8


@dataclass(frozen=True, kw_only=True)
class FindArtifacts(LatentOptions, GeneratorOptions, TableOptions):
    """Rank units by how much realism they cost, and remove the costliest together.

    Realism is the Fréchet distance to real images in the features of a network. Units are ranked on
    some images, and sets of them are removed from others, as are random units.
    """

    layer: Annotated[str, arg(metavar="L")]
    """Layer to remove units of. A wrong name lists the right ones."""
    real_images: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: the scenes of `scenes`)")
    ] = None
    """Folder of real images, which are brought to the size of the generator's."""
    num_real: Annotated[int, arg(metavar="N")] = 2000
    """Real images, at most."""
    features: Annotated[str, arg(metavar="NAME")] = BUILT_IN
    """Network of the features, named like the --model of `jaxdissect dissect`."""
    feature_layer: Annotated[
        str | None, arg(metavar="L", help_behavior_hint="(default: the last of the known)")
    ] = None
    """Layer of the features, whose means over the image are compared."""
    sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (1, 2, 4, 8, 16)
    """Numbers of units to remove together."""
    parts: Annotated[int, arg(metavar="N")] = 4
    """Parts of the images to measure with, whose spread shows how sure distances are."""

    @looked_at_once()
    def run(self) -> None:
        """Rank and remove units as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_latents()
        self.check_free()
        self.check_checkpoints()
        generator = self.find_generator().generator()
        batch_size = self.size_of_batches(generator)
        _, _, num_units = generator.map_shape(self.layer)
        source = self.latents(generator.latent_size, "measuring")
        real = self._real_images(generator.image_size)
        if not self.sizes or not all(1 <= size < num_units for size in self.sizes):
            raise ValueError(f"`sizes` (={self.sizes}) must be numbers from 1 to {num_units - 1}")
        check_parts(self.parts, source)
        features = self._features(real)
        self.claim_checkpoints(
            {
                "weights of model": generator.params,
                "content of real_images": real,
                "weights of features": features.network.params,
            }
        )
        with self.working() as (folder, progress):
            truth = moments_of_images(
                features,
                real,
                checkpoints=self.checkpoints_of("real"),
                mesh=self.computing.mesh,
                progress=progress,
            )
            singles = measure_realism(
                generator,
                self.latents(generator.latent_size, "ranking"),
                self.layer,
                single_unit_masks(num_units),
                features,
                truth,
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("singles"),
                mesh=self.computing.mesh,
                chunk_size=self.chunk_size,
                progress=progress,
            )
            random = np.random.default_rng(self.seed).permutation(num_units)
            chosen = [order[:size] for order in (singles.ranking, random) for size in self.sizes]
            kinds = [kind for kind in ("costliest", "random") for _ in self.sizes]
            judged = measure_realism(
                generator,
                source,
                self.layer,
                unit_set_masks(chosen, num_units),
                features,
                truth,
                parts=self.parts,
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("sets"),
                mesh=self.computing.mesh,
                chunk_size=self.chunk_size,
                progress=progress,
            )
            costliest = judged.keep[: len(self.sizes)]
            images = images_without_units(
                generator,
                source,
                self.layer,
                np.arange(min(_SHOWN_IMAGES, len(source))),
                np.concatenate([np.ones_like(costliest[:1]), costliest]),
            )
            sizes = (*self.sizes, *self.sizes)
            compared = tables.realism_table(judged, kinds, sizes)
            self.write_tables(folder, {"units": tables.artifact_table(singles), "sets": compared})
            facts = {"real images": len(real), "network": digest(generator.network.params)}
            write_settings(folder / SETTINGS_FILE, self, facts)
            chart = figures.realism_figure(judged, kinds, sizes, width=self.figure_inches)
            self.save_figure(folder, "distances", chart)
            strip = figures.artifact_strip(images, self.sizes, width=self.figure_inches)
            self.save_figure(folder, "images", strip)
        title = f"Removing units of {self.layer}, Fréchet distance to real images"
        self.print_table(title, compared)

    def _real_images(self, size: Shape) -> Source:
        if self.real_images is not None:
            return image_folder(self.real_images, image_size=size, limit=self.num_real)
        if self.model != BUILT_IN:
            raise ValueError(f"`real_images` are needed for `model` {self.model!r}")
        return scenes_dataset(self.num_real, seed=_REAL_SEED, scenes=GENERATOR_SCENES)

    def _features(self, real: Source) -> Features:
        model = find_model(self.features)
        layers = () if self.feature_layer is None else (self.feature_layer,)
        chosen = choose_layers(model, layers, real[0]["image"].shape[:2])
        return Features(model.network, chosen[-1])
