"""Train a generator of scenes: progressive growing, the logistic loss, and R1.

Scenes are drawn by a pure function, so every step draws its own on the device: no picture is seen
twice, and none is fed by the host.

Karras et al., "Progressive Growing of GANs", ICLR 2018; Mescheder et al., "Which Training Methods
for GANs do actually Converge?", ICML 2018: D minimises ``softplus(D(fake)) + softplus(-D(real)) +
gamma / 2 |grad D(real)|^2``, and G ``softplus(-D(fake))``. The penalty is taken every few steps,
times that number (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR
2020, appendix B). What ships is the running mean of the generator's parameters.

Letters of shapes: B batch, Z latent, R resolution.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, PyTree

from jaxdissect.engine.batching import Source, batches
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.models.layers import upsample_nearest
from jaxdissect.networks.models.proggan import Colors, ProgressiveGenerator, to_pixels
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.rendering import SCENES, render
from jaxdissect.scenes.scene_classifier import BLOCKS
from jaxdissect.scenes.shipped import GENERATOR_SCENES, load_classifier
from jaxdissect.scenes.training.discriminator import GROUP, Discriminator, halved
from jaxdissect.scenes.training.loop import Training
from jaxdissect.stats import moments
from jaxdissect.stats.frechet import frechet_distance

SIZES = (128, 160, 160, 128, 96, 48)
"""Length of the latent, then units at 4 x 4, ..., 64 x 64: 3.2 MB in 16 bits a weight."""

CRITIC_SIZES = (160, 160, 128, 96, 48)
"""Units of the discriminator at 4 x 4, ..., 64 x 64."""

PENALTY_EVERY = 8

FEATURES = "features.relu4_2"
"""Layer of the scene classifier in which generated and drawn images are compared."""

LEAST_STEPS = 100
"""Of a training of so many minutes: fewer would not reach every resolution."""

_DRAWN = 7_919  # tells the keys of drawn images

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
    """What the training of a generator depends on.

    Attributes:
        steps: Steps in all.
        scene: What it learns to draw, one of `SCENES`.
        batch_size: Drawn and generated images of a step; a multiple of four.
        learning_rate: Of both networks.
        penalty: What the square of the discriminator's slope is multiplied by, half of it.
        mean_over: Images after which the running mean has forgotten half.
        sizes: Length of the latent, then units at 4 x 4, ..., 64 x 64.
        critic_sizes: Units of the discriminator at 4 x 4, ..., 64 x 64.
        dtype: Floating dtype in which both networks compute; parameters stay float32.
        seed: Seed of parameters, drawn images and latents.
    """

    steps: int = 20_000
    scene: str = GENERATOR_SCENES[0]
    batch_size: int = 64
    learning_rate: float = 2e-3
    penalty: float = 0.3
    mean_over: int = 20_000
    sizes: tuple[int, ...] = SIZES
    critic_sizes: tuple[int, ...] = CRITIC_SIZES
    dtype: str = "float32"
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
        share = jnp.asarray(fade, images.dtype)
        return share * images + (1 - share) * coarse

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


class Programs(NamedTuple):
    """What a training compiles, once for any number of steps.

    Attributes:
        start: The state before the first step.
        draw: From the number of a step to drawn images, RGB in [0, 1] [B, 64, 64, 3].
        update: Takes a step, see `_update`.
        forget: Makes the moments of both networks anew.
    """

    start: Callable[[], GeneratorState]
    draw: Callable[[Array], Array]
    update: Callable[..., tuple[GeneratorState, dict[str, Array]]]
    forget: Callable[[GeneratorState], GeneratorState]


def generator_training(settings: GeneratorSettings) -> Training:
    """Set up the training of a generator.

    Args:
        settings: What it depends on.

    Raises:
        ValueError: If there is no such scene, or the batch is no multiple of the groups that the
            discriminator compares.
    """
    if settings.scene not in SCENES:
        raise ValueError(f"`scene` (={settings.scene!r}) must be one of: {', '.join(SCENES)}")
    if settings.batch_size < GROUP or settings.batch_size % GROUP:
        raise ValueError(
            f"`batch_size` (={settings.batch_size}) must be a positive multiple of {GROUP}"
        )
    programs = _programs(replace(settings, steps=0))

    def step(state: GeneratorState, number: int) -> tuple[GeneratorState, Mapping[str, Any]]:
        phase, first, fade = schedule(number, settings.steps)
        if number == first:
            # Moments of layers that have not been trained yet would make their first steps huge.
            state = programs.forget(state)
        return programs.update(
            state,
            programs.draw(jnp.int32(number)),
            jnp.int32(number),
            jnp.float32(fade),
            resolution=phase.resolution,
            penalise=number % PENALTY_EVERY == 0,
        )

    return Training(programs.start(), step, asdict(settings))


@lru_cache(maxsize=4)
def _programs(settings: GeneratorSettings) -> Programs:
    """Make what is compiled, so that a pilot and the training share it."""
    dtype = jnp.dtype(settings.dtype)
    rngs = nnx.Rngs(settings.seed)
    generator_definition, generator = nnx.split(Growing(settings.sizes, rngs=rngs))
    critic_definition, critic = nnx.split(Discriminator(settings.critic_sizes, rngs=rngs))
    optimizer = optax.adam(settings.learning_rate, b1=0.0, b2=0.99)
    key = jax.random.key(settings.seed)
    scene = SCENES.index(settings.scene)
    forget_share = 0.5 ** (settings.batch_size / settings.mean_over)

    def start() -> GeneratorState:
        # Copies, because every step takes the arrays of its state for its own.
        first, judged, mean = jax.tree.map(jnp.copy, (generator, critic, generator))
        return GeneratorState(
            first, judged, optimizer.init(generator), optimizer.init(critic), mean
        )

    def forget(state: GeneratorState) -> GeneratorState:
        return state._replace(
            generator_moments=optimizer.init(state.generator),
            discriminator_moments=optimizer.init(state.discriminator),
        )

    @jax.jit
    def draw(number: Array) -> Float[Array, "B 64 64 3"]:
        # Other keys than those of latents, and than those of `scenes_dataset`.
        own = jax.random.fold_in(jax.random.fold_in(key, _DRAWN), number)
        keys = jax.random.split(own, settings.batch_size)
        return jax.vmap(lambda key: render(key, scene).image)(keys)

    def computed_in(params: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: leaf.astype(dtype), params)

    def make(params: PyTree, latents: Array, resolution: int, fade: Array) -> Array:
        module = nnx.merge(generator_definition, computed_in(params))
        return module(latents.astype(dtype), resolution, fade).astype(jnp.float32)

    def judge(params: PyTree, images: Array, fade: Array) -> Array:
        module = nnx.merge(critic_definition, computed_in(params))
        return module(images.astype(dtype), fade).astype(jnp.float32)

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
            jax.random.normal(own, (len(images), settings.sizes[0]))
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
        done = number.astype(jnp.float32)
        keep = jnp.minimum(forget_share, (done + 1) / (done + 10))
        mean = jax.tree.map(lambda m, p: keep * m + (1 - keep) * p, state.mean_generator, generator)
        metrics |= {"generator_loss": loss}
        return GeneratorState(generator, critic, moments, critic_moments, mean), metrics

    return Programs(start, draw, update, forget)


def seconds_per_step(settings: GeneratorSettings, *, num_timed: int = 2 * PENALTY_EVERY) -> float:
    """Measure how long a step takes on average, when all is compiled.

    Every phase of `schedule` takes some steps, and counts by its share.

    Args:
        settings: What is to be trained, with any number of steps.
        num_timed: Steps of a phase that are timed.
    """
    # So many that every phase has the steps that are taken here.
    trial = replace(settings, steps=20 * (num_timed + PENALTY_EVERY))
    training = generator_training(trial)
    state, total = training.state, 0.0
    for phase in PHASES:
        numbers = [n for n in range(trial.steps) if schedule(n, trial.steps)[0] is phase]
        begin = 0.0
        for place, number in enumerate(numbers[: PENALTY_EVERY + num_timed]):
            if place == PENALTY_EVERY:
                begin = time.perf_counter()
            state, _ = training.step(state, number)
            if place == PENALTY_EVERY - 1:
                jax.block_until_ready(state)
        jax.block_until_ready(state)
        total += phase.share * (time.perf_counter() - begin) / num_timed
    return total


def trained_generator(state: GeneratorState, settings: GeneratorSettings) -> ProgressiveGenerator:
    """Return the trained generator: the running mean, at full resolution."""
    build = lambda: Growing(settings.sizes, rngs=nnx.Rngs(0))  # noqa: E731
    return nnx.merge(nnx.graphdef(nnx.eval_shape(build)), state.mean_generator).generator


def evaluate_generator(
    model: ProgressiveGenerator,
    held_out: Source,
    *,
    scenes: Sequence[str] = GENERATOR_SCENES,
) -> dict[str, float]:
    """Measure Fréchet distances to held-out images, in features of the scene classifier.

    Features are the means over the image of `features.relu4_2`. For comparison, the distance of
    as many other drawn images, and of noise.

    Args:
        model: The generator.
        held_out: Drawn images of some scenes.
        scenes: Which scenes these are.
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
    others = scenes_dataset(len(held_out), seed=OTHER_SEED, scenes=scenes)
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
    images: Float[Array, "B _ _ 3"], resolution: int, fade: Float[Array, ""] | float
) -> Float[Array, "B R R 3"]:
    """Shrink images, RGB in [0, 1], to a resolution that is faded in, in [-1, 1]."""
    images = 2 * images - 1
    while images.shape[1] > resolution:
        images = halved(images)
    return fade * images + (1 - fade) * upsample_nearest(halved(images))
