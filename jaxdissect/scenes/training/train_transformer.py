"""Train the vision transformer of scenes, on the names of scenes alone.

It knows nothing of neighbours or shifts before it is trained: images are moved by a few pixels, so
that what it learns of a patch does not depend on where the grid cuts it.

Letters of shapes: B batch, H W = 64 pixels.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, Key

from jaxdissect.scenes.scene_transformer import SceneTransformer
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
class TransformerSettings(SupervisedSettings):
    """What the training of the transformer depends on, except its data."""

    steps: int = 2500
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 5e-2
    most_shift: int = 4  # pixels that an image is moved by, at most, in every direction


def transformer_training(pool: Pool, settings: TransformerSettings) -> Training:
    """Set up the training of the transformer.

    Args:
        pool: Images and their scenes.
        settings: What it depends on.
    """
    key = jax.random.key(settings.seed)

    def loss(
        model: SceneTransformer, batch: dict[str, Array], number: Array
    ) -> tuple[Array, dict[str, Array]]:
        images = batch["image"].astype(jnp.float32) / 255
        moved = shifted(jax.random.fold_in(key, number), images, settings.most_shift)
        logits, scenes = model(moved), batch["scene"].astype(jnp.int32)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, scenes)
        return losses.mean(), {"accuracy": (logits.argmax(-1) == scenes).mean()}

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), adamw(settings))
    return supervised_training(pool, _build, loss, optimizer, settings)


def trained_transformer(state: SupervisedState) -> SceneTransformer:
    """Return the trained transformer."""
    return trained_model(_build, state)


def shifted(
    key: Key[Array, ""], images: Float[Array, "B H W 3"], most: int
) -> Float[Array, "B H W 3"]:
    """Move every image by up to `most` pixels down or up and across; its borders are repeated."""
    pads = ((0, 0), (most, most), (most, most), (0, 0))
    padded = jnp.pad(images, pads, mode="edge")
    starts = jax.random.randint(key, (len(images), 2), 0, 2 * most + 1)

    def cut(image: Float[Array, "h w 3"], start: Int[Array, "2"]) -> Float[Array, "H W 3"]:
        return lax.dynamic_slice(image, (start[0], start[1], 0), images.shape[1:])

    return jax.vmap(cut)(padded, starts)


def _build(rngs: nnx.Rngs) -> SceneTransformer:
    return SceneTransformer(rngs=rngs)
