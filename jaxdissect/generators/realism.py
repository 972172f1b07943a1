"""Find the units whose removal brings a generator's images closer to real ones.

Shapes: B batch, N images, F features, S conditions (sets of removed units), U units, P parts.

Bau et al., "GAN Dissection", ICLR 2019, section 4.3, find artifact units by hand, remove them, and
see the Fréchet distance to real images fall. Here units are ranked by it: a unit costs as much
realism as the distance falls without it. As the least of many noisy numbers is too good to be
true, units are ranked on some latents and judged on others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int64, PyTree

from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine import independence
from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content
from jaxdissect.engine.layer_reader import image_input
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import fold_resumably
from jaxdissect.generators.generator import Generator, GeneratorParams
from jaxdissect.generators.interventions import EditedLayer
from jaxdissect.networks import ablation_masks
from jaxdissect.networks.edits import keep_units
from jaxdissect.networks.network import Network, layer_shapes
from jaxdissect.stats import moments
from jaxdissect.stats.frechet import frechet_distance


class Features(NamedTuple):
    """The features that images are compared by: the means over the image of a layer's units.

    Attributes:
        network: A network of images, such as a classifier.
        layer: Layer with activations [B, h, w, F] or [B, T, F].
        prepare: Makes the network's input of RGB images in [0, 1].
    """

    network: Network
    layer: str
    prepare: Callable[[Array], Array] = lambda images: images

    def of(self, params: PyTree, images: Float[Array, "B height width 3"]) -> Float[Array, "B F"]:
        """Compute the features of images, given the network's parameters."""
        inputs = self.prepare(images)
        maps = self.network.activations(params, inputs, layers=(self.layer,))[self.layer]
        return maps.astype(jnp.float32).mean(axis=tuple(range(1, maps.ndim - 1)))

    def number(self, images: Array | jax.ShapeDtypeStruct) -> int:
        """Count the features, F, given a batch of images or its shape.

        Raises:
            ValueError: If there is no such layer, or it has other axes.
        """
        inputs = jax.eval_shape(self.prepare, images)
        return layer_shapes(self.network, inputs, (self.layer,))[self.layer].shape[-1]


@dataclass(frozen=True)
class Realism:
    """Fréchet distances between images of a generator and real ones.

    Attributes:
        layer: Where units were removed.
        keep: For each condition, the units that were left in place.
        baseline: With all units in place, for each part of the images.
        distances: Under each condition.
    """

    layer: str
    keep: Bool[np.ndarray, "S U"]
    baseline: Float64[np.ndarray, "P"]
    distances: Float64[np.ndarray, "P S"]

    __repr__ = short_repr

    @property
    def cost(self) -> Float64[np.ndarray, "S"]:
        """How far the distance falls without the units, mean over the parts."""
        return (self.baseline[:, None] - self.distances).mean(axis=0)

    @property
    def standard_error(self) -> Float64[np.ndarray, "S"]:
        """Standard error of `cost`, from its spread over the parts; infinite for a single one."""
        number = len(self.baseline)
        if number < 2:
            return np.full(len(self.keep), np.inf)
        change = self.baseline[:, None] - self.distances
        return change.std(axis=0, ddof=1) / np.sqrt(number)

    @property
    def ranking(self) -> Int64[np.ndarray, "S"]:
        """Conditions by cost, greatest first, equals by number."""
        return np.argsort(-self.cost, kind="stable")


def check_parts(parts: int, source: Source) -> None:
    """Refuse parts of the images that have less than two.

    Raises:
        ValueError: If `parts` is below 1, or more than half the number of images.
    """
    if parts < 1 or len(source) < 2 * parts:
        raise ValueError(
            f"`parts` (={parts}) must be at least 1, and have two images each or more; `source` "
            f"has {len(source)}"
        )


def measure_realism(
    generator: Generator,
    source: Source,
    layer: str,
    keep: Bool[np.ndarray, "S U"] | Bool[Array, "S U"],
    features: Features,
    real: moments.Moments,
    *,
    parts: int = 1,
    batch_size: int = 4,
    chunk_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> Realism:
    """Measure the distance to real images when units of a generator are removed.

    All conditions have the same latents. Distances have a bias that falls with the number of
    images; it is about the same for all conditions.

    Args:
        generator: What makes the images; no segmenter is needed.
        source: Examples with a ``latent`` [Z].
        layer: Where to remove units, a layer that gives [B, h, w, U].
        keep: For each condition, False for the units that are removed together;
            `jaxdissect.networks.ablation_masks` makes them: `single_unit_masks` to rank units.
        features: What images are compared by.
        real: Moments of these features of real images, from `moments_of_images`, which are as large
            as the generator's: features tell sizes apart.
        parts: Number of parts of the images, example i in part i modulo `parts`; the spread of
            their distances shows how sure the mean is.
        batch_size: Latents in a step; changes results by rounding only, like `chunk_size`.
        chunk_size: Conditions that run together.
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far the pass has come.

    Raises:
        ValueError: If a part has less than two images, the features are not those of `real`,
            `keep` does not fit, an example has no latent, the layer is unknown, or `checkpoints`
            holds another computation or is damaged.
    """
    generator.check_latents(source)
    edited = EditedLayer(generator, layer, chunk_size=chunk_size)
    keep = ablation_masks.checked_masks(keep, edited.num_units, layer)
    check_parts(parts, source)
    number = len(real.mean_a)
    part_ids = jnp.arange(parts)

    def count(
        edited: EditedLayer,
        state: moments.MomentsState,
        params: tuple[GeneratorParams, PyTree],
        batch: Mapping[str, Array],
        sets: Array,
    ) -> moments.MomentsState:
        generator_params, feature_params = params

        def look(images: Array) -> Float[Array, "B F"]:
            return features.of(feature_params, images)

        found = edited.observe_each(generator_params, batch["latent"], keep_units, sets, look)
        if found.shape[-1] != number:
            raise ValueError(f"`features` are {found.shape[-1]}, those of `real` {number}")

        def update(part: Array, state: moments.MomentsState, images: Array) -> moments.MomentsState:
            weight = batch["weight"] & (batch["example"] % parts == part)
            return moments.update(state, images, images, weight)

        over_sets = jax.vmap(update, in_axes=(None, 0, 0))
        return jax.vmap(over_sets, in_axes=(0, 0, None))(part_ids, state, found)

    # Condition 0: nothing is removed.
    sets = jnp.asarray(np.concatenate([np.ones_like(keep[:1]), keep]))
    state = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (parts, len(sets), *leaf.shape)),
        moments.init(number, number),
    )
    step, one_by_one = jax.jit(partial(count, edited)), EditedLayer(generator, layer)
    params = generator.params, features.network.params
    placed, placed_sets = replicated((params, sets), mesh)
    state = fold_resumably(
        lambda state, batch: (step(state, placed, batch, placed_sets), None),
        state,
        source,
        checkpoints,
        plain_step=lambda state, batch: (count(one_by_one, state, params, batch, sets), None),
        settings=lambda: {
            "layer": layer,
            "keep": content(keep),
            "parts": parts,
            "features (weights)": content(features.network.params),
            **generator.settings(),
        },
        kept={},
        save_every=save_every,
        batch_size=batch_size,
        mesh=mesh,
        description="realism",
        progress=progress,
    )
    distances = np.array(
        [
            [
                frechet_distance(moments.finalize(_at(state, part, condition)), real)
                for condition in range(len(sets))
            ]
            for part in range(parts)
        ]
    )
    return Realism(layer, keep, distances[:, 0], distances[:, 1:])


def moments_of_images(
    features: Features,
    source: Source,
    *,
    images: Callable[[Mapping[str, Array]], Array] = image_input,
    batch_size: int = 32,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> moments.Moments:
    """Compute mean and covariance of the features of images, such as real ones.

    Args:
        features: What to compute.
        source: Examples with images, such as real ones.
        images: Finds RGB images in [0, 1] in a batch; ``batch["image"]`` as it is.
        batch_size: Images in a step; changes results by rounding only.
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far the pass has come.

    Raises:
        ValueError: If there are no examples, the features' layer does not exist, or `checkpoints`
            holds another computation or is damaged.
    """
    if len(source) < 1:
        raise ValueError("`source` has no examples")
    independence.check_outputs(
        features.network,
        lambda batch: features.prepare(images(batch)),
        read_block(source, 0, 1),
        layers=features.layer,
    )

    @jax.jit
    def step(
        state: moments.MomentsState, params: PyTree, batch: Mapping[str, Array]
    ) -> moments.MomentsState:
        found = features.of(params, images(batch))
        return moments.update(state, found, found, batch["weight"])

    example = jax.eval_shape(images, {name: array[None] for name, array in source[0].items()})
    number = features.number(example)
    params = replicated(features.network.params, mesh)
    state = fold_resumably(
        lambda state, batch: (step(state, params, batch), None),
        moments.init(number, number),
        source,
        checkpoints,
        plain_step=lambda state, batch: (step(state, features.network.params, batch), None),
        settings=lambda: {
            "layer": features.layer,
            "features (weights)": content(features.network.params),
        },
        kept={},
        save_every=save_every,
        batch_size=batch_size,
        mesh=mesh,
        description="real images",
        progress=progress,
    )
    return moments.finalize(state)


def _at(state: moments.MomentsState, part: int, condition: int) -> moments.MomentsState:
    return jax.tree.map(lambda leaf: leaf[part, condition], state)
