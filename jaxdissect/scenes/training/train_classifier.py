"""Train the classifier of scenes, on the names of scenes alone.

A small penalty on activations keeps units from all doing a little of everything.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, PyTree

from jaxdissect.engine.batching import Source, batches
from jaxdissect.scenes.scene_classifier import SceneClassifier
from jaxdissect.scenes.training.loop import Training
from jaxdissect.scenes.training.pool import Pool
from jaxdissect.scenes.training.supervised import (
    SupervisedSettings,
    SupervisedState,
    adamw,
    supervised_training,
    trained_model,
)


@dataclass(frozen=True)
class ClassifierSettings(SupervisedSettings):
    """What the training of the classifier depends on, except its data."""

    steps: int = 2500
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    sparsity: float = 2e-3  # weight of the mean activations that scores are made of


def classifier_training(pool: Pool, settings: ClassifierSettings) -> Training:
    """Set up the training of the classifier.

    Args:
        pool: Images and their scenes.
        settings: What it depends on.
    """

    def loss(
        model: SceneClassifier, batch: dict[str, Array], number: Array
    ) -> tuple[Array, dict[str, Array]]:
        del number  # nothing is drawn at random
        units = model.pooled(batch["image"].astype(jnp.float32) / 255)
        logits, scenes = model.scores(units), batch["scene"].astype(jnp.int32)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, scenes)
        penalty = settings.sparsity * units.mean((0, 1, 2)).sum()
        return losses.mean() + penalty, {"accuracy": (logits.argmax(-1) == scenes).mean()}

    return supervised_training(pool, _build, loss, adamw(settings), settings)


def trained_classifier(state: SupervisedState) -> SceneClassifier:
    """Return the trained classifier."""
    return trained_model(_build, state)


def evaluate_classifier(model: nnx.Module, held_out: Source) -> dict[str, float]:
    """Measure accuracy, the share of images whose scene is classified correctly."""
    definition, params = nnx.split(model)

    @jax.jit
    def predict(params: PyTree, images: Array) -> Array:
        classifier: Any = nnx.merge(definition, params)
        return classifier(images).argmax(-1)

    right = 0
    for batch in batches(held_out, 100):
        found = predict(params, batch["image"]) == batch["scene"]
        right += int((found & batch["weight"]).sum())
    return {"accuracy": right / len(held_out)}


def _build(rngs: nnx.Rngs) -> SceneClassifier:
    return SceneClassifier(rngs=rngs)
