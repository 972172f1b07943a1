"""Train the generator of scenes: progressive growing, the logistic loss, and R1.

Karras et al., "Progressive Growing of GANs", ICLR 2018; Mescheder et al., "Which Training Methods
for GANs do actually Converge?", ICML 2018: D minimises ``softplus(D(fake)) + softplus(-D(real)) +
gamma / 2 |grad D(real)|^2``, and G ``softplus(-D(fake))``. The penalty is taken every few steps,
times that number (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR
2020, appendix B). What ships is the running mean of the generator's parameters.

Letters of shapes: B batch, Z latent, R resolution.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, PyTree, UInt8

from jaxdissect.engine.batching import Source, batches
from jaxdissect.engine.identity import content
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.models.layers import upsample_nearest
from jaxdissect.networks.models.proggan import Colors, ProgressiveGenerator, to_pixels
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.scene_classifier import BLOCKS
from jaxdissect.scenes.shipped import GENERATOR_SCENES, load_classifier
from jaxdissect.scenes.training.discriminator import Discriminator, halved
from jaxdissect.scenes.training.loop import Training
from jaxdissect.scenes.training.pool import Pool, draw_batch
from jaxdissect.stats import moments
from jaxdissect.stats.frechet import frechet_distance

SIZES = (128, 128, 128, 96, 64, 32)
"""Length of the latent, then units at 4 x 4, ..., 64 x 64."""

CRITIC_SIZES = (128, 128, 96, 48, 24)
"""Units of the discriminator at 4 x 4, ..., 64 x 64."""

PENALTY_EVERY = 8

FEATURES = "features.relu4_2"
"""Layer of the scene classifier in which generated and drawn images are compared."""

OTHER_SEED = 2_000_003
"""Seed of the drawn images that held-out ones are compared with."""


class Phase(NamedTuple):
    """A resolution, and the shares of all steps to fade it in, and to train it in all."""

    resolution: int
    fade: float
    share: float


PHASES = (
    Phase(8, 0.0, 0.08),
    Phase(16, 0.04, 0.14),
    Phase(32, 0.06, 0.26),
    Phase(64, 0.08, 0.52),
)


@dataclass(frozen=True)
class GeneratorSettings:
    """What the training of the generator depends on, except its data."""

    steps: int = 5000
    batch_size: int = 32
    learning_rate: float = 2e-3
    penalty: float = 0.3
    mean_over: int = 8000
    """Images after which the running mean has forgotten half."""
    seed: int = 0


class Growing(nnx.Module):
    """A generator with a map to colors at every resolution."""

    def __init__(self, sizes: tuple[int, ...], *, rngs: nnx.Rngs):
        self.generator = ProgressiveGenerator(sizes, rngs=rngs)
        self.colors = nnx.List([Colors(units, clamp=False, rngs=rngs) for units in sizes[1:-1]])

    def __call__(
        self, latents: Float[Array, "B Z"], resolution: int, fade: Float[Array, ""] | float
    ) -> Float[Array, "B R R 3"]:
        """Make images of a resolution, faded in over the one before."""
        level = int(math.log2(resolution)) - 2
        units = latents[:, None, None, :]
        for number in range(1, 2 * level + 1):
            units = getattr(self.generator, f"layer{number}")(units)
        before = units
        for number in (2 * level + 1, 2 * level + 2):
            units = getattr(self.generator, f"layer{number}")(units)
        images = self._color(level)(units)
        coarse = upsample_nearest(self._color(level - 1)(before))
        return fade * images + (1 - fade) * coarse

    def _color(self, level: int) -> Callable[[Array], Array]:
        if level < len(self.colors):
            return self.colors[level]
        return getattr(self.generator, self.generator.output)


class GeneratorState(NamedTuple):
    """All arrays that change."""

    generator: PyTree
    discriminator: PyTree
    generator_moments: PyTree
    discriminator_moments: PyTree
    mean_generator: PyTree


def generator_training(pool: Pool, settings: GeneratorSettings) -> Training:
    """Set up the training of the generator.

    Args:
        pool: Images to learn from.
        settings: What it depends on.
    """
    rngs = nnx.Rngs(settings.seed)
    generator_definition, generator = nnx.split(Growing(SIZES, rngs=rngs))
    critic_definition, critic = nnx.split(Discriminator(CRITIC_SIZES, rngs=rngs))
    optimizer = optax.adam(settings.learning_rate, b1=0.0, b2=0.99)
    start = GeneratorState(
        generator,
        critic,
        optimizer.init(generator),
        optimizer.init(critic),
        jax.tree.map(jnp.copy, generator),
    )
    key = jax.random.key(settings.seed)
    forget = 0.5 ** (settings.batch_size / settings.mean_over)

    def make(params: PyTree, latents: Array, resolution: int, fade: Array) -> Array:
        return nnx.merge(generator_definition, params)(latents, resolution, fade)

    def judge(params: PyTree, images: Array, fade: Array) -> Array:
        return nnx.merge(critic_definition, params)(images, fade)

    @partial(jax.jit, static_argnames=("resolution", "penalise"), donate_argnums=0)
    def update(
        state: GeneratorState,
        images: Array,
        number: Array,
        fade: Array,
        *,
        resolution: int,
        penalise: bool,
    ) -> tuple[GeneratorState, dict[str, Array]]:
        reals = at_resolution(images, resolution, fade)
        latents, others = (
            jax.random.normal(own, (len(images), SIZES[0]))
            for own in jax.random.split(jax.random.fold_in(key, number))
        )

        def critic_loss(params: PyTree) -> tuple[Array, dict[str, Array]]:
            fakes = make(state.generator, latents, resolution, fade)
            fake_scores, real_scores = judge(params, fakes, fade), judge(params, reals, fade)
            loss = jax.nn.softplus(fake_scores).mean() + jax.nn.softplus(-real_scores).mean()
            metrics = {"critic_loss": loss, "real_found": (real_scores > 0).mean()}
            if penalise:
                gradients = jax.grad(lambda images: judge(params, images, fade).sum())(reals)
                square = jnp.square(gradients).sum((1, 2, 3)).mean()
                loss += PENALTY_EVERY * settings.penalty / 2 * square
                metrics["slope"] = square
            return loss, metrics

        gradients, metrics = jax.grad(critic_loss, has_aux=True)(state.discriminator)
        updates, critic_moments = optimizer.update(gradients, state.discriminator_moments)
        critic = optax.apply_updates(state.discriminator, updates)

        def generator_loss(params: PyTree) -> Array:
            return jax.nn.softplus(
                -judge(critic, make(params, others, resolution, fade), fade)
            ).mean()

        loss, gradients = jax.value_and_grad(generator_loss)(state.generator)
        updates, moments = optimizer.update(gradients, state.generator_moments)
        generator = optax.apply_updates(state.generator, updates)
        keep = jnp.minimum(forget, (number + 1.0) / (number + 10.0))
        mean = jax.tree.map(lambda m, p: keep * m + (1 - keep) * p, state.mean_generator, generator)
        metrics |= {"generator_loss": loss}
        return GeneratorState(generator, critic, moments, critic_moments, mean), metrics

    def step(state: GeneratorState, number: int) -> tuple[GeneratorState, Mapping[str, Any]]:
        phase, first, fade = schedule(number, settings.steps)
        if number == first:
            # Moments of layers that have not been trained yet would make their first steps huge.
            state = state._replace(
                generator_moments=optimizer.init(state.generator),
                discriminator_moments=optimizer.init(state.discriminator),
            )
        batch = draw_batch(pool, settings.batch_size, seed=settings.seed, step=number)
        return update(
            state,
            batch["image"],
            number,
            jnp.float32(fade),
            resolution=phase.resolution,
            penalise=number % PENALTY_EVERY == 0,
        )

    data = {"pool": content(pool), "sizes": SIZES, "critic_sizes": CRITIC_SIZES}
    return Training(start, step, asdict(settings) | data)


def trained_generator(state: GeneratorState) -> ProgressiveGenerator:
    """Return the trained generator: the running mean, at full resolution."""
    definition = nnx.graphdef(nnx.eval_shape(lambda: Growing(SIZES, rngs=nnx.Rngs(0))))
    return nnx.merge(definition, state.mean_generator).generator


def evaluate_generator(model: ProgressiveGenerator, held_out: Source) -> dict[str, float]:
    """Measure Fréchet distances to held-out images, in features of the scene classifier.

    Features are the means over the image of `features.relu4_2`. For comparison, the distance of
    as many other drawn images, and of noise.
    """
    definition, params = nnx.split(model)
    make = jax.jit(lambda params, latents: to_pixels(nnx.merge(definition, params)(latents)))
    classifier = NnxNetwork(load_classifier())

    @jax.jit
    def features(state: moments.MomentsState, params: PyTree, images: Array, weight: Array) -> Any:
        found = classifier.activations(params, images, layers=(FEATURES,))[FEATURES]
        means = found.mean((1, 2))
        return moments.update(state, means, means, weight)

    def measure(images: Callable[[dict[str, Any]], Any], source: Source) -> moments.Moments:
        units = BLOCKS[-1][-1]
        state = moments.init(units, units)
        for batch in batches(source, 100):
            state = features(state, classifier.params, images(batch), batch["weight"])
        return moments.finalize(state)

    def noise(batch: dict[str, Any]) -> Array:
        return jax.random.uniform(jax.random.key(batch["example"][0]), batch["image"].shape)

    def made(batch: dict[str, Any]) -> Array:
        size = (len(batch["weight"]), model.sizes[0])
        return make(params, jax.random.normal(jax.random.key(batch["example"][0]), size))

    def drawn(batch: dict[str, Any]) -> Any:
        return batch["image"]

    truth = measure(drawn, held_out)
    others = scenes_dataset(len(held_out), seed=OTHER_SEED, scenes=GENERATOR_SCENES)
    return {
        "frechet_distance": frechet_distance(measure(made, held_out), truth),
        "frechet_distance_of_other_drawn_pictures": frechet_distance(measure(drawn, others), truth),
        "frechet_distance_of_noise": frechet_distance(measure(noise, held_out), truth),
    }


def schedule(number: int, steps: int) -> tuple[Phase, int, float]:
    """Find the phase of a step, the first step of it, and how far it is faded in."""
    first = 0
    for phase in PHASES:
        last = first + round(phase.share * steps)
        if number < last or phase is PHASES[-1]:
            fading = phase.fade * steps
            return phase, first, min(1.0, (number - first + 1) / fading) if fading else 1.0
        first = last
    raise AssertionError("unreachable")


def at_resolution(
    images: UInt8[Array, "B _ _ 3"], resolution: int, fade: Float[Array, ""] | float
) -> Float[Array, "B R R 3"]:
    """Shrink images, bytes, to a resolution that is faded in, in [-1, 1]."""
    images = images.astype(jnp.float32) / 127.5 - 1
    while images.shape[1] > resolution:
        images = halved(images)
    return fade * images + (1 - fade) * upsample_nearest(halved(images))
