"""Train the classifier of scenes, on the names of scenes alone.

A small penalty on activations keeps units from all doing a little of everything.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, PyTree

from jaxdissect.engine.batching import Source, batches
from jaxdissect.scenes.scene_classifier import SceneClassifier
from jaxdissect.scenes.training.loop import Task
from jaxdissect.scenes.training.pool import Pool, draw_batch

SCENES = None
"""Scenes that it is trained on: all."""


@dataclass(frozen=True)
class Settings:
    """What a training depends on, but for its data."""

    steps: int = 2500
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    sparsity: float = 2e-3  # weight of the mean activations that scores are made of
    seed: int = 0


class State(NamedTuple):
    """All arrays that change."""

    params: PyTree
    moments: PyTree


def task(pool: Pool, settings: Settings) -> Task:
    """Set the training up.

    Args:
        pool: Images and their scenes.
        settings: What it depends on.
    """
    definition, params = nnx.split(SceneClassifier(rngs=nnx.Rngs(settings.seed)))
    optimizer = optax.adamw(
        optax.warmup_cosine_decay_schedule(
            0.0, settings.learning_rate, settings.steps // 20, settings.steps
        ),
        weight_decay=settings.weight_decay,
    )

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, images: Array, scenes: Array) -> tuple[State, dict[str, Array]]:
        def loss(params: PyTree) -> tuple[Array, Array]:
            model = nnx.merge(definition, params)
            units = model.pooled(images.astype(jnp.float32) / 255)
            logits = model.scores(units)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, scenes)
            penalty = settings.sparsity * units.mean((0, 1, 2)).sum()
            return losses.mean() + penalty, (logits.argmax(-1) == scenes).mean()

        (value, accuracy), slopes = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, moments = optimizer.update(slopes, state.moments, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, moments), {"loss": value, "accuracy": accuracy}

    def take(state: State, number: int) -> tuple[State, dict[str, Array]]:
        batch = draw_batch(pool, settings.batch_size, seed=settings.seed, step=number)
        return step(state, batch["image"], batch["scene"].astype("int32"))

    return Task(State(params, optimizer.init(params)), take, asdict(settings))


def trained(state: State) -> SceneClassifier:
    """Return what ships."""
    definition = nnx.graphdef(nnx.eval_shape(lambda: SceneClassifier(rngs=nnx.Rngs(0))))
    return nnx.merge(definition, state.params)


def evaluate(model: SceneClassifier, held_out: Source) -> dict[str, float]:
    """Measure accuracy, the share of pictures whose scene is told right."""
    definition, params = nnx.split(model)
    predict = jax.jit(lambda params, images: nnx.merge(definition, params)(images).argmax(-1))
    right = 0
    for batch in batches(held_out, 100):
        found = predict(params, batch["image"]) == batch["scene"]
        right += int((found & batch["weight"]).sum())
    return {"accuracy": right / len(held_out)}
