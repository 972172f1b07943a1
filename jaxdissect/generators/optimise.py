"""Find the units that cause a concept, by gradient through generator and segmenter.

Shapes: B batch, N latents, Z latent, U units, h w cells of a layer.

Bau et al., "GAN Dissection", ICLR 2019, section 3.2: instead of trying all sets of units, a
strength alpha in [0, 1] of every unit is learned that makes the average causal effect great (see
`jaxdissect.generators.causality`) and itself small,

    minimise  -(E[s_c(x_i)] - E[s_c(x_a)]) + penalty |alpha|_2,

and units are ranked by it. As areas of labels have no gradient, s_c is the sum of the segmenter's
probabilities of the concept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int64, Key, PyTree

from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.batching import Batch, Source, Stored, read_block
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content
from jaxdissect.engine.processes import Placement, one_device, own_devices, replicated
from jaxdissect.engine.resume import fold_resumably
from jaxdissect.generators.causality import (
    check_patch,
    partial_edit,
    place_area,
    random_patches,
)
from jaxdissect.generators.generator import Generator, GeneratorParams
from jaxdissect.generators.interventions import EditedLayer, checked_concepts, checked_values

Learned = tuple[Float[Array, "U"], PyTree]
"""Strengths of the units, and the state of the optimiser."""


@dataclass(frozen=True)
class UnitStrengths:
    """Learned strengths of units.

    Attributes:
        layer: Where the units are.
        concept: Id of the concept that they cause.
        strengths: Alpha of every unit, in [0, 1].
        effects: Average causal effect, by probabilities, of the batch of every step.
        losses: What was minimised in every step, on the same batch.
    """

    layer: str
    concept: int
    strengths: Float32[np.ndarray, "U"]
    effects: Float32[np.ndarray, "steps"]
    losses: Float32[np.ndarray, "steps"]

    __repr__ = short_repr

    @property
    def ranking(self) -> Int64[np.ndarray, "U"]:
        """Units by strength, greatest first, equals by unit."""
        return np.argsort(-self.strengths, kind="stable")


def optimise_units(
    key: Key[Array, ""],
    generator: Generator,
    source: Source,
    layer: str,
    concept: int,
    values: Sequence[float] | Float[np.ndarray, "U"] | Float[Array, "U"],
    *,
    patch: int = 1,
    steps: int = 200,
    batch_size: int = 8,
    learning_rate: float = 0.05,
    penalty: float = 0.05,
    start: float | Float[np.ndarray, "U"] = 0.5,
    checkpoints: Path | None = None,
    save_every: int = 1,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> UnitStrengths:
    """Learn how strongly to intervene in every unit to cause a concept.

    Steps of Adam, after each of which strengths are clipped to [0, 1]; all in one compiled loop.
    Latents are drawn from `source`, with replacement, and each gets a square of cells at random.

    Args:
        key: Random key of latents and places.
        generator: What makes the images; its segmenter must have a `score`, on its grid.
        source: Examples with a ``latent`` [Z]; not those to measure effects with.
        layer: Layer of the units, which gives [B, h, w, U].
        concept: Id of the concept.
        values: k, what each unit is set to when it is inserted.
        patch: Cells of a side of the square.
        steps: Number of steps of Adam.
        batch_size: Latents in a step.
        learning_rate: Learning rate of Adam.
        penalty: Weight of the length of the vector of strengths.
        start: Strengths to begin with, of every unit or for all.
        checkpoints: Folder from which an interrupted search resumes, with the same result; None
            keeps none.
        save_every: Parts of the loop, of up to 10 steps, between checkpoints.
        mesh: Devices to spread the latents of a step over, along its first axis, which changes
            results by rounding only; of several processes each learns by itself.
        progress: Called with how many steps are done.

    Raises:
        ValueError: If the segmenter has no scores, a number makes no sense, there are no examples
            or one has no latent, the layer is unknown, `values`, `start`, `concept` or `patch` do
            not fit, or `checkpoints` holds another computation or is damaged.
    """
    import optax

    generator.check_latents(source)
    edited = EditedLayer(generator, layer)
    (concept,) = checked_concepts([concept], len(generator.vocabulary)).tolist()
    num_units = edited.num_units
    values = checked_values(values, num_units, f"unit of {layer!r}")
    check_patch(patch, edited.cells)
    for name, number in (("steps", steps), ("batch_size", batch_size)):
        if number < 1:
            raise ValueError(f"`{name}` (={number}) must be at least 1")
    if not learning_rate > 0 or not penalty >= 0:
        raise ValueError(
            f"`learning_rate` (={learning_rate}) must be positive, `penalty` (={penalty}) not "
            "negative"
        )
    begun = np.broadcast_to(np.asarray(start, np.float32), (num_units,))
    if not ((begun >= 0) & (begun <= 1)).all():
        raise ValueError("`start` must be in [0, 1]")
    latents = jnp.asarray(read_block(source, 0, len(source))["latent"])
    effects_of = soft_effects(edited, concept, jnp.asarray(values), patch)
    optimiser = optax.adam(learning_rate)

    def length(strengths: Array) -> Array:
        # The length of the zero vector has no gradient: a hair keeps away from it.
        return penalty * jnp.sqrt(jnp.square(strengths).sum() + 1e-12)

    def run(
        mesh: jax.sharding.Mesh | None,
        state: Learned,
        params: GeneratorParams,
        latents: Array,
        places: Array,
    ) -> tuple[Learned, tuple[Array, Array]]:
        over = None if mesh is None else Placement(mesh)

        def spread(examples: Any) -> Any:
            return examples if over is None else jax.tree.map(over.spread, examples)

        def step(state: Learned, place: Array) -> tuple[Learned, tuple[Array, Array]]:
            strengths, moments = state
            draw, places = jax.random.split(jax.random.fold_in(key, place))
            chosen = latents[jax.random.randint(draw, (batch_size,), 0, len(latents))]
            rows = jnp.arange(batch_size, dtype=jnp.int32)
            where = random_patches(places, rows, edited.cells, patch)

            def total(each: Array) -> tuple[Array, Array]:
                caused = effects_of(each, params, *spread((chosen, where)))
                return caused.sum(), caused

            # Of every latent for itself, so that they are added in the same order everywhere.
            each = spread(jnp.broadcast_to(strengths, (batch_size, num_units)))
            gradients, caused = jax.grad(total, has_aux=True)(each)
            if over is not None:
                gradients, caused = over.gather(gradients), over.gather(caused)
            long, gradient = jax.value_and_grad(length)(strengths)
            caused, gradient = caused.mean(), gradient - gradients.mean(axis=0)
            value = long - caused
            with jax.numpy_dtype_promotion("standard"):  # optax mixes floats and integers
                updates, moments = optimiser.update(gradient, moments)
            moved: Any = optax.apply_updates(strengths, updates)
            strengths = jnp.clip(moved, 0, 1)
            return (strengths, moments), (caused, value)

        return lax.scan(step, state, places)

    strengths = jnp.asarray(begun)
    here = own_devices(mesh)
    learn = jax.jit(partial(run, here))
    params, all_latents = replicated((generator.params, latents), here)
    state: Learned = (strengths, optimiser.init(strengths))
    # A few steps at a time, so that one can see how far it has come.
    number = max(part for part in range(1, 11) if steps % part == 0)
    effects, losses = np.zeros((2, steps), np.float32)

    def receive(batch: Batch, found: tuple[Array, Array]) -> None:
        effects[batch["example"]], losses[batch["example"]] = map(np.asarray, found)

    def step(state: Learned, batch: dict[str, Any]) -> tuple[Learned, tuple[Array, Array]]:
        state, places = replicated((state, batch["example"]), here)
        return learn(state, params, all_latents, places)

    state = fold_resumably(
        step,
        state,
        Stored({"step": np.arange(steps, dtype=np.int32)}),
        checkpoints,
        plain_step=lambda state, batch: run(
            None, state, generator.params, latents, batch["example"]
        ),
        settings=lambda: {
            "layer": layer,
            "concept": concept,
            "values": content(values),
            "patch": patch,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "penalty": penalty,
            "latents": content(latents),
            "key": content(key),
            **generator.settings(),
        },
        kept={"effects": effects, "losses": losses},
        batch_size=number,
        save_every=save_every,
        receive=receive,
        mesh=one_device(),
        description="learning strengths",
        progress=progress,
    )
    return UnitStrengths(layer, concept, np.asarray(state[0]), effects, losses)


def soft_effects(
    edited: EditedLayer, concept: int, values: Float[Array, "U"], patch: int
) -> Callable[[Array, GeneratorParams, Array, Array], Array]:
    """Make causal effects by probabilities, image by image, differentiable in the strengths.

    Returns:
        ``effects(strengths, params, latents, where)``, where strengths are those of every image,
        parameters those of the generator, and places are squares of `patch` cells a side.

    Raises:
        ValueError: If the generator has no segmenter.
    """
    generator = edited.generator
    segmenter = generator.checked_segmenter()
    area = place_area(patch, edited.cells, generator.grid)

    def effects(
        strengths: Float[Array, "B U"],
        params: GeneratorParams,
        latents: Float[Array, "B Z"],
        where: Float[Array, "B h w"],
    ) -> Float[Array, "B"]:
        def scored(target: Float[Array, "U"]) -> Float[Array, "B"]:
            images = edited.images(params, latents, partial_edit(strengths, target, where))
            scores, _ = segmenter.score(params.segmenter, images, concept, generator.grid)
            return scores.sum(axis=(1, 2))

        inserted, ablated = jax.vmap(scored)(jnp.stack([values, jnp.zeros_like(values)]))
        return (inserted - ablated) / area

    return effects
