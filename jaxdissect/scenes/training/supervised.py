"""Train a network on labelled images: what the trainings of classifier and segmenter share.

What differs between networks is passed as functions: how to build one, its loss, its optimizer.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int, PyTree

from jaxdissect.engine.identity import content
from jaxdissect.scenes.training.loop import Training
from jaxdissect.scenes.training.pool import Pool, draw_batch

Model = TypeVar("Model", bound=nnx.Module)


@dataclass(frozen=True)
class SupervisedSettings:
    """What a supervised training depends on, except its data."""

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int = 0


class SupervisedState(NamedTuple):
    """All arrays that change."""

    params: PyTree
    moments: PyTree


def supervised_training(
    pool: Pool,
    build: Callable[[nnx.Rngs], Model],
    loss: Callable[[Model, dict[str, Array], Array], tuple[Array, Mapping[str, Array]]],
    optimizer: optax.GradientTransformation,
    settings: SupervisedSettings,
) -> Training:
    """Set up the training of one network by one loss.

    Args:
        pool: Images and their labels.
        build: Makes the network from the random stream of its initial parameters.
        loss: ``loss(model, batch, step) -> (loss, metrics)`` of a batch of `draw_batch` in the step
            of that number.
        optimizer: Makes updates of gradients.
        settings: What else it depends on.
    """
    definition, params = nnx.split(build(nnx.Rngs(settings.seed)))

    @partial(jax.jit, donate_argnums=0)
    def update(
        state: SupervisedState, batch: dict[str, Array], number: Int[Array, ""]
    ) -> tuple[SupervisedState, dict[str, Array]]:
        def loss_of(params: PyTree) -> tuple[Array, Mapping[str, Array]]:
            return loss(nnx.merge(definition, params), batch, number)

        (value, metrics), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updates, moments = optimizer.update(gradients, state.moments, state.params)
        params = optax.apply_updates(state.params, updates)
        return SupervisedState(params, moments), {**metrics, "loss": value}

    def step(state: SupervisedState, number: int) -> tuple[SupervisedState, dict[str, Array]]:
        batch = draw_batch(pool, settings.batch_size, seed=settings.seed, step=number)
        return update(state, batch, jnp.int32(number))

    return Training(
        SupervisedState(params, optimizer.init(params)),
        step,
        asdict(settings) | {"pool": content(pool)},
    )


def adamw(settings: SupervisedSettings) -> optax.GradientTransformation:
    """Make AdamW whose learning rate rises for a twentieth of the steps, then falls as a cosine."""
    return optax.adamw(
        optax.warmup_cosine_decay_schedule(
            0.0, settings.learning_rate, settings.steps // 20, settings.steps
        ),
        weight_decay=settings.weight_decay,
    )


def trained_model(build: Callable[[nnx.Rngs], Model], state: SupervisedState) -> Model:
    """Return the network with the parameters of a state."""
    definition = nnx.graphdef(nnx.eval_shape(lambda: build(nnx.Rngs(0))))
    return nnx.merge(definition, state.params)
