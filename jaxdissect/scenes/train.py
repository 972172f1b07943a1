"""Train a network of the scenes again: `python -m jaxdissect.scenes.train classifier`.

A run that was stopped resumes when it is started again with the same options.
"""

import dataclasses
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np
import tyro
from flax import nnx
from tyro.conf import Positional, arg

from jaxdissect.engine.batching import Source
from jaxdissect.networks.weights.files import check_target, write_weights
from jaxdissect.networks.weights.mapping import parameters
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.shipped import GENERATOR_SCENES
from jaxdissect.scenes.training.loop import Row, Training, read_metrics, train
from jaxdissect.scenes.training.pool import Pool, draw_pool
from jaxdissect.scenes.training.train_classifier import (
    ClassifierSettings,
    classifier_training,
    evaluate_classifier,
    trained_classifier,
)
from jaxdissect.scenes.training.train_generator import (
    GeneratorSettings,
    evaluate_generator,
    generator_training,
    trained_generator,
)
from jaxdissect.scenes.training.train_segmenter import (
    SegmenterSettings,
    evaluate_parser,
    segmenter_training,
    trained_parser,
)
from jaxdissect.scenes.training.train_transformer import (
    TransformerSettings,
    trained_transformer,
    transformer_training,
)


class Recipe(NamedTuple):
    """How a network is trained.

    Attributes:
        settings: Makes the settings, of `seed` and perhaps `steps`.
        training: ``training(pool, settings)`` sets the training up.
        trained: Takes the network from the last state.
        evaluate: ``evaluate(model, held_out)`` measures it, as JSON.
        scenes: Scenes that it is trained on; None is all.
    """

    settings: Callable[..., Any]
    training: Callable[[Pool, Any], Training]
    trained: Callable[[Any], nnx.Module]
    evaluate: Callable[[Any, Source], dict[str, Any]]
    scenes: tuple[str, ...] | None = None


RECIPES: Mapping[str, Recipe] = {
    "classifier": Recipe(
        ClassifierSettings, classifier_training, trained_classifier, evaluate_classifier
    ),
    "generator": Recipe(
        GeneratorSettings,
        generator_training,
        trained_generator,
        evaluate_generator,
        scenes=GENERATOR_SCENES,
    ),
    "segmenter": Recipe(SegmenterSettings, segmenter_training, trained_parser, evaluate_parser),
    "vit": Recipe(
        TransformerSettings, transformer_training, trained_transformer, evaluate_classifier
    ),
}

HELD_OUT_SEED = 1_000_003
"""Seed of the images that measure; those to train with have the seed of the options."""


@dataclass(frozen=True)
class TrainOptions:
    """Train a network of the built-in scenes, or resume a training that was stopped."""

    network: Positional[Literal["classifier", "generator", "segmenter", "vit"]]
    """What to train."""
    out: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: training/...)")
    ] = None
    """Folder of checkpoints and metrics.jsonl."""
    steps: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: as it was made)")
    ] = None
    """Steps in all; the learning rate follows them."""
    num_images: Annotated[int, arg(metavar="N")] = 16_000
    """Images to draw for training."""
    num_held_out: Annotated[int, arg(metavar="N")] = 2000
    """Images to measure with, in the end."""
    seed: int = 0
    """Seed of the initial parameters, the images, and their order."""
    save_every: Annotated[int, arg(metavar="N")] = 100
    """Steps between checkpoints."""
    weights: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the trained parameters here (.safetensors, 16 bits each), and a card (.json) beside."""

    def run(self) -> None:
        """Train, measure, and write the weights if asked.

        Raises:
            ValueError, OSError: If the options cannot be followed.
        """
        if min(self.num_images, self.num_held_out) < 1:
            raise ValueError("`num_images` and `num_held_out` must be at least 1")
        if self.weights is not None:
            check_target(self.weights)
        recipe = RECIPES[self.network]
        changes = {} if self.steps is None else {"steps": self.steps}
        settings = recipe.settings(seed=self.seed, **changes)
        out = Path("training", self.network) if self.out is None else self.out
        pictures = scenes_dataset(self.num_images, seed=self.seed, scenes=recipe.scenes)
        print(f"drawing {len(pictures)} pictures", flush=True)
        training = recipe.training(draw_pool(pictures), settings)
        training = training._replace(
            settings={**training.settings, "num_images": self.num_images, "scenes": recipe.scenes}
        )
        state = train(training, settings.steps, out, save_every=self.save_every, report=_print_row)
        model = _rounded(recipe.trained(state))
        held_out = scenes_dataset(self.num_held_out, seed=HELD_OUT_SEED, scenes=recipe.scenes)
        figures = recipe.evaluate(model, held_out)
        print(json.dumps(figures, indent=1))
        if self.weights is not None:
            arrays = {
                name: np.asarray(array, np.float16) for name, array in parameters(model).items()
            }
            card = self._card(dataclasses.asdict(settings), figures, out)
            write_weights(self.weights, arrays, metadata={"card": json.dumps(card)})
            self.weights.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
            print(f"saved {self.weights}: {self.weights.stat().st_size / 1000:.0f} kB")

    def _card(
        self, settings: Mapping[str, Any], figures: Mapping[str, Any], out: Path
    ) -> dict[str, Any]:
        scenes = RECIPES[self.network].scenes or ("all scenes",)
        seconds = sum(row["seconds"] for row in read_metrics(out))
        return {
            "network": self.network,
            "data": f"{self.num_images} drawn pictures of {', '.join(scenes)}, seed {self.seed}, "
            "mirrored or not",
            **settings,
            **figures,
            "held_out": f"{self.num_held_out} drawn pictures, seed {HELD_OUT_SEED}",
            "command": f"python -m jaxdissect.scenes.train {self.network} "
            f"--steps {settings['steps']} --num-images {self.num_images} --seed {self.seed}",
            "hardware": f"{os.cpu_count()} cores, {platform.machine()}, {jax.default_backend()}",
            "minutes": round(seconds / 60, 1),
            "jax": jax.__version__,
        }


def _rounded(model: nnx.Module) -> nnx.Module:
    """Represent parameters as exactly as they ship, so that what is measured is what ships."""
    definition, params = nnx.split(model)
    return nnx.merge(
        definition, jax.tree.map(lambda leaf: leaf.astype("float16").astype(leaf.dtype), params)
    )


def _print_row(row: Row) -> None:
    values = "   ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
    print(f"step {row['step']:6g}   {values}", flush=True)


def main() -> None:
    """Run the command line."""
    try:
        tyro.cli(
            TrainOptions, prog="python -m jaxdissect.scenes.train", description=TrainOptions.__doc__
        ).run()
    except (ValueError, OSError) as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
