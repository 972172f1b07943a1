"""Train a network of the scenes again: `python -m jaxdissect.scenes.train classifier`.

A run that was stopped resumes when it is started again with the same options.
"""

import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np
import tyro
from flax import nnx
from tyro.conf import Positional, arg

from jaxdissect.engine.batching import Source
from jaxdissect.engine.saved_files import read_json, write_json
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
    LEAST_STEPS,
    GeneratorSettings,
    evaluate_generator,
    generator_training,
    seconds_per_step,
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


class Prepared(NamedTuple):
    """A training that is ready to begin.

    Attributes:
        training: What to train.
        settings: What it depends on, as the card has it.
        steps: Steps in all.
        trained: Takes the network from the last state.
        evaluate: Measures it on held-out images, as JSON.
        scenes: Scenes that it is trained on; None is all.
        data: What it learns from, in words.
        options: Options of the command that make it again, beside the steps.
    """

    training: Training
    settings: Mapping[str, Any]
    steps: int
    trained: Callable[[Any], nnx.Module]
    evaluate: Callable[[Any, Source], dict[str, Any]]
    scenes: tuple[str, ...] | None
    data: str
    options: str


class Recipe(NamedTuple):
    """How a network is trained on labelled pictures that were drawn before.

    Attributes:
        settings: Makes the settings, of `seed` and perhaps `steps`.
        training: ``training(pool, settings)`` sets the training up.
        trained: Takes the network from the last state.
        evaluate: ``evaluate(model, held_out)`` measures it, as JSON.
    """

    settings: Callable[..., Any]
    training: Callable[[Pool, Any], Training]
    trained: Callable[[Any], nnx.Module]
    evaluate: Callable[[Any, Source], dict[str, Any]]


RECIPES: Mapping[str, Recipe] = {
    "classifier": Recipe(
        ClassifierSettings, classifier_training, trained_classifier, evaluate_classifier
    ),
    "segmenter": Recipe(SegmenterSettings, segmenter_training, trained_parser, evaluate_parser),
    "vit": Recipe(
        TransformerSettings, transformer_training, trained_transformer, evaluate_classifier
    ),
}

HELD_OUT_SEED = 1_000_003
"""Seed of the images that measure; those to train with have the seed of the options."""

PLAN = "plan.json"
"""Beside the checkpoints: how many steps were chosen to fit into some minutes."""

MOST_BYTES = 4_000_000
"""Of the weights of a generator, as they ship."""


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
    minutes: Annotated[float | None, arg(metavar="M", help_behavior_hint="")] = None
    """Of a generator: instead of steps, about how long the training takes. Steps are timed first,
    and a training that resumes keeps the number that was chosen."""
    scene: Annotated[str, arg(metavar="NAME")] = GENERATOR_SCENES[0]
    """Of a generator: what it learns to draw, such as farm or kitchen."""
    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 64)")] = None
    """Of a generator: drawn and generated pictures of a step."""
    sizes: Annotated[
        tuple[int, ...], arg(metavar="N [N ...]", help_behavior_hint="(default: 3.2 MB)")
    ] = ()
    """Of a generator: the length of its latents, and its units at 4 x 4, 8 x 8, ..., 64 x 64."""
    critic_sizes: Annotated[
        tuple[int, ...], arg(metavar="N [N ...]", help_behavior_hint="(default: about as many)")
    ] = ()
    """Of a generator: units of its discriminator at 4 x 4, 8 x 8, ..., 64 x 64."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of a generator: what both networks compute in; bfloat16 on accelerators, else float32."""
    max_distance: Annotated[float, arg(metavar="D")] = 0.004
    """Of a generator: its weights are written only if its Fréchet distance is at most that."""
    num_images: Annotated[int, arg(metavar="N")] = 16_000
    """Images to draw for training; a generator draws others in every step."""
    num_held_out: Annotated[int, arg(metavar="N")] = 2000
    """Images to measure with, in the end."""
    seed: int = 0
    """Seed of the initial parameters, the images, and their order."""
    save_every: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: 100, of a generator 1000)")
    ] = None
    """Steps between checkpoints."""
    weights: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the trained parameters here (.safetensors, 16 bits each), and a card (.json) beside."""

    def run(self) -> None:
        """Train, measure, and write the weights if asked.

        Raises:
            ValueError, OSError: If the options cannot be followed, or a generator is not as good as
                `max_distance` asks for.
        """
        if min(self.num_images, self.num_held_out) < 1:
            raise ValueError("`num_images` and `num_held_out` must be at least 1")
        if self.weights is not None:
            check_target(self.weights)
        is_generator = self.network == "generator"
        self._check_of_generator(is_generator)
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"`minutes` (={self.minutes}) must be positive")
        if self.minutes is not None and self.steps is not None:
            raise ValueError("`minutes` and `steps` exclude each other")
        name = f"{self.network}_{self.scene}" if is_generator else self.network
        out = Path("training", name) if self.out is None else self.out
        prepared = self._prepare_generator(out) if is_generator else self._prepare_supervised()
        save_every = self.save_every
        if save_every is None:
            save_every = 1000 if is_generator else 100
        state = train(
            prepared.training, prepared.steps, out, save_every=save_every, report=_print_row
        )
        model = _rounded(prepared.trained(state))
        held_out = scenes_dataset(self.num_held_out, seed=HELD_OUT_SEED, scenes=prepared.scenes)
        figures = prepared.evaluate(model, held_out)
        print(json.dumps(figures, indent=1))
        if self.weights is not None:
            self._write(self.weights, model, self._card(prepared, figures, out))

    def _check_of_generator(self, is_generator: bool) -> None:
        """Refuse options of generators for another network, and the other way round."""
        own = ("minutes", "scene", "batch_size", "sizes", "critic_sizes", "dtype", "max_distance")
        foreign = ("num_images",) if is_generator else own
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        if given := [name for name in foreign if getattr(self, name) != defaults[name]]:
            names = ", ".join(f"`{name}`" for name in given)
            raise ValueError(f"{names} cannot be given for `network` {self.network!r}")

    def _prepare_supervised(self) -> Prepared:
        """Draw the pictures, and set a training on them up."""
        recipe = RECIPES[self.network]
        changes = {} if self.steps is None else {"steps": self.steps}
        settings = recipe.settings(seed=self.seed, **changes)
        pictures = scenes_dataset(self.num_images, seed=self.seed)
        print(f"drawing {len(pictures)} pictures", flush=True)
        training = recipe.training(draw_pool(pictures), settings)
        training = training._replace(
            settings={**training.settings, "num_images": self.num_images, "scenes": None}
        )
        return Prepared(
            training,
            dataclasses.asdict(settings),
            settings.steps,
            recipe.trained,
            recipe.evaluate,
            None,
            f"{self.num_images} drawn pictures of all scenes, seed {self.seed}, mirrored or not",
            f"--num-images {self.num_images}",
        )

    def _prepare_generator(self, out: Path) -> Prepared:
        """Set the training of a generator up, for a number of steps or of minutes."""
        dtype = self.dtype
        if dtype == "auto":
            dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
        changes: dict[str, Any] = {"steps": self.steps, "batch_size": self.batch_size}
        changes |= {"sizes": self.sizes, "critic_sizes": self.critic_sizes}
        given = {name: value for name, value in changes.items() if value not in (None, ())}
        settings = GeneratorSettings(scene=self.scene, dtype=dtype, seed=self.seed, **given)
        generator_training(settings)  # refuses what cannot be trained
        if self.minutes is not None:
            settings = dataclasses.replace(settings, steps=self._planned(settings, out))
        return Prepared(
            generator_training(settings),
            dataclasses.asdict(settings),
            settings.steps,
            partial(trained_generator, settings=settings),
            partial(evaluate_generator, scenes=(self.scene,)),
            (self.scene,),
            f"{settings.steps * settings.batch_size} drawn pictures of {self.scene}, seed "
            f"{self.seed}, others in every step",
            f"--scene {self.scene!r} --dtype {dtype} --batch-size {settings.batch_size} "
            f"--sizes {' '.join(map(str, settings.sizes))} "
            f"--critic-sizes {' '.join(map(str, settings.critic_sizes))}",
        )

    def _planned(self, settings: GeneratorSettings, out: Path) -> int:
        """Find how many steps fit into the minutes; a training that resumes keeps its number."""
        path = out / PLAN
        if path.exists():
            plan = read_json(path, way_out="delete the folder to begin again")
            if plan["minutes"] != self.minutes:
                raise ValueError(
                    f"{out} holds a training of {plan['minutes']} minutes; give these, or another "
                    "folder"
                )
            return plan["steps"]
        assert self.minutes is not None
        begin = time.perf_counter()
        print("timing steps", flush=True)
        seconds = seconds_per_step(settings)
        left = 60 * self.minutes - (time.perf_counter() - begin)
        steps = max(int(left / seconds), LEAST_STEPS)
        print(f"{1000 * seconds:.1f} ms a step: {steps} steps", flush=True)
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, {"minutes": self.minutes, "steps": steps})
        return steps

    def _write(self, path: Path, model: nnx.Module, card: Mapping[str, Any]) -> None:
        """Write weights and card, of a generator only if it is good and small enough."""
        arrays = {name: np.asarray(array, np.float16) for name, array in parameters(model).items()}
        if self.network == "generator":
            distance, size = card["frechet_distance"], sum(a.nbytes for a in arrays.values())
            if distance > self.max_distance:
                raise ValueError(
                    f"`max_distance` (={self.max_distance}): the Fréchet distance is "
                    f"{distance:.4f}, so nothing is written; a larger `max_distance` writes it "
                    "without training again"
                )
            if size > MOST_BYTES:
                raise ValueError(f"`sizes` give {size} bytes of weights, more than {MOST_BYTES}")
        write_weights(path, arrays, metadata={"card": json.dumps(card)})
        path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
        print(f"saved {path}: {path.stat().st_size / 1000:.0f} kB")

    def _card(self, prepared: Prepared, figures: Mapping[str, Any], out: Path) -> dict[str, Any]:
        seconds = sum(row["seconds"] for row in read_metrics(out))
        return {
            "network": self.network,
            "data": prepared.data,
            **prepared.settings,
            **figures,
            "held_out": f"{self.num_held_out} drawn pictures, seed {HELD_OUT_SEED}",
            "command": f"python -m jaxdissect.scenes.train {self.network} "
            f"--steps {prepared.steps} {prepared.options} --seed {self.seed}",
            "hardware": f"{os.cpu_count()} cores, {platform.machine()}, {_device()}",
            "minutes": round(seconds / 60, 1),
            "jax": jax.__version__,
        }


def _device() -> str:
    """Name what computes: "cpu", or an accelerator by its kind."""
    device = jax.devices()[0]
    return device.platform if device.platform == "cpu" else device.device_kind


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
