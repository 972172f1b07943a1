"""Train the segmenter of scenes on the labels of drawn images.

It is meant for images of a generator, which are softer than drawn ones and not free of noise: so
some of the images it learns from are blurred, and some are noisy.

Letters of shapes: B batch, H W = 64 pixels, K channels of labels, C outputs.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Key, UInt8

from jaxdissect.engine.batching import Source, batches
from jaxdissect.networks.models.layers import upsample_nearest
from jaxdissect.scenes.concepts import CONCEPTS
from jaxdissect.scenes.scene_parser import CONCEPT_IDS, HEADS, SceneParser, scene_segmenter
from jaxdissect.scenes.training.discriminator import halved
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
class SegmenterSettings(SupervisedSettings):
    """What the training of the segmenter depends on, except its data."""

    steps: int = 3000
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3


def segmenter_training(pool: Pool, settings: SegmenterSettings) -> Training:
    """Set up the training of the segmenter.

    Args:
        pool: Images and their labels.
        settings: What it depends on.
    """
    weights = {name: jnp.asarray(rarity_weights(pool, name)) for name in HEADS}
    outputs = {name: jnp.asarray(_outputs(name)) for name in HEADS}
    key = jax.random.key(settings.seed)

    def loss(
        model: SceneParser, batch: dict[str, Array], number: Array
    ) -> tuple[Array, dict[str, Array]]:
        images = batch["image"].astype(jnp.float32) / 255
        logits = model(disturbed(jax.random.fold_in(key, number), images))
        losses, accuracies = [], {}
        for channel, name in enumerate(HEADS):
            targets = outputs[name][batch["labels"][..., channel].astype(jnp.int32)]
            weight = weights[name][targets]
            each = optax.softmax_cross_entropy_with_integer_labels(logits[name], targets)
            losses.append((each * weight).sum() / weight.sum())
            accuracies[name] = (logits[name].argmax(-1) == targets).mean()
        return sum(losses, jnp.float32(0)), accuracies

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), adamw(settings))
    return supervised_training(pool, _build, loss, optimizer, settings)


def trained_parser(state: SupervisedState) -> SceneParser:
    """Return the network of the trained segmenter."""
    return trained_model(_build, state)


def evaluate_parser(model: SceneParser, held_out: Source) -> dict[str, Any]:
    """Measure the IoU of every concept, at full size, and its mean over every category."""
    segmenter = scene_segmenter(model)
    size = held_out[0]["image"].shape[:2]
    segment = jax.jit(lambda params, images: segmenter.segment(params, images, size))
    counts = np.zeros((3, 1 + len(CONCEPTS)), np.int64)
    for batch in batches(held_out, 64):
        shown = batch["labels"][batch["weight"]]
        found = np.asarray(segment(segmenter.params, batch["image"]))[batch["weight"]]
        for row, labels in zip(counts, (shown, found, found[shown == found]), strict=True):
            row += np.bincount(labels.ravel(), minlength=len(row))
    union = counts[0] + counts[1] - counts[2]
    iou = counts[2] / np.maximum(union, 1)
    return {f"mean_iou_{name}": float(np.mean(iou[ids])) for name, ids in CONCEPT_IDS.items()} | {
        "iou": {
            f"{name} ({category})": round(float(iou[i]), 3)
            for i, (name, category) in enumerate(CONCEPTS, 1)
            if category in HEADS
        }
    }


def rarity_weights(pool: Pool, category: str) -> Float[np.ndarray, "C"]:
    """Weigh the outputs of a category: the rarer in the images, the more, up to ten times."""
    labels = pool["labels"][..., HEADS.index(category)]
    counts = np.bincount(labels.ravel(), minlength=1 + len(CONCEPTS))[[0, *CONCEPT_IDS[category]]]
    shares = np.maximum(counts / labels.size, 1e-6)
    weights = np.minimum(shares**-0.4, 10 * shares.max() ** -0.4)
    return (weights / (weights * shares).sum()).astype(np.float32)


def disturbed(key: Key[Array, ""], images: Float[Array, "B H W 3"]) -> Float[Array, "B H W 3"]:
    """Blur a third of the images more or less, and add more or less noise to half of them."""
    blur_key, noise_key, level_key = jax.random.split(key, 3)
    number = (len(images), 1, 1, 1)
    blur = jnp.clip(jax.random.uniform(blur_key, number, minval=-2.0, maxval=1.0), 0)
    soft = upsample_nearest(halved(images))
    soft = (soft + _shifted(soft, 1) + _shifted(soft, 2) + _shifted(_shifted(soft, 1), 2)) / 4
    images = images + blur * (soft - images)
    level = jnp.clip(jax.random.uniform(level_key, number, minval=-0.06, maxval=0.06), 0)
    return jnp.clip(images + level * jax.random.normal(noise_key, images.shape), 0, 1)


def _shifted(images: Float[Array, "B H W 3"], axis: int) -> Float[Array, "B H W 3"]:
    """Move by a pixel; the last row or column stays."""
    pads = [(0, 1) if i == axis else (0, 0) for i in range(4)]
    padded = jnp.pad(images, pads, mode="edge")
    return jax.lax.slice_in_dim(padded, 1, None, axis=axis)


def _outputs(category: str) -> UInt8[np.ndarray, "_"]:
    """Output of a head for every id of the vocabulary."""
    table = np.zeros(1 + len(CONCEPTS), np.uint8)
    table[CONCEPT_IDS[category]] = np.arange(1, 1 + len(CONCEPT_IDS[category]))
    return table


def _build(rngs: nnx.Rngs) -> SceneParser:
    return SceneParser(rngs=rngs)
