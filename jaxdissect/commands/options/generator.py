"""Options that name a generator and its segmenter, and what finds them.

Like other models (`jaxdissect.commands.options.model`), but a generator's input is latents [B, Z],
and its output images [B, height, width, 3].
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from tyro.conf import arg

from jaxdissect.arrays.resampling import Shape
from jaxdissect.commands.options.computing import ComputingOptions
from jaxdissect.commands.options.model import BUILT_IN, FoundModel, checked_layers
from jaxdissect.commands.options.random_weights import RandomWeightsOption, build_untrained
from jaxdissect.commands.options.segmenter import SegmenterOptions
from jaxdissect.commands.options.user_code import find_function, user_code
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.generators.generator import Generator, ToPixels, in_range
from jaxdissect.networks.loading import load_network, pretrained
from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.models.proggan import ProgressiveGenerator
from jaxdissect.networks.network import as_network
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.scenes.shipped import load_generator

KINDS = ("proggan", "stylegan2", "dcgan", "gan_cat64")
"""Kinds of generators, whose weights are in a file of the user's."""

NAMES = tuple(name for name, known in PUBLISHED.items() if known.architecture in KINDS)
"""Published generators."""

_PIXEL_RANGE = (-1.0, 1.0)  # of most generators
_SEEN = 8  # images to look at before the work begins
_MOST_OUTSIDE = 0.2  # of the values of a generator, of which some overshoot


class FoundGenerator(NamedTuple):
    """A generator that was found.

    Attributes:
        model: The network.
        latent_size: Z.
        to_pixels: Makes RGB in [0, 1] of what it gives.
        segmenter: Name of the segmenter that goes with it, None if none is known.
        example: One of its images [height, width, 3], RGB in [0, 1].
    """

    model: FoundModel
    latent_size: int
    to_pixels: ToPixels
    segmenter: str | None
    example: np.ndarray

    def generator(self, segmenter: Segmenter | None = None, *, grid: Shape = (64, 64)) -> Generator:
        """Make the subject of experiments of it.

        Raises:
            ValueError: If `grid` is not positive.
        """
        return Generator(
            self.model.network,
            self.latent_size,
            segmenter=segmenter,
            grid=grid,
            to_pixels=self.to_pixels,
        )

    def choose_layers(self, layers: tuple[str, ...]) -> tuple[str, ...]:
        """Check that the generator has the layers that the user asks for.

        Args:
            layers: Names of layers; empty for those that known generators have.

        Raises:
            ValueError: If a layer is missing or unknown (the message lists the valid names).
        """
        inputs = jax.ShapeDtypeStruct((1, self.latent_size), jnp.float32)
        return checked_layers(self.model, layers, inputs, f"`model` (={self.model.name!r}) fails")


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions(RandomWeightsOption, ComputingOptions):
    """Options that name a generator."""

    model: Annotated[str, arg(metavar="NAME")]
    """`scenes`, the built-in generator of farms, a published generator such as proggan_church
    (downloaded once), proggan, stylegan2, dcgan or gan_cat64 with --weights, or a function without
    arguments that returns the generator, as FILE.py:FUNCTION or package.module:FUNCTION, from
    latents [B, Z] to images [B, height, width, 3]."""
    weights: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Weights of a kind of generator: .pth, .safetensors, .npz."""
    truncation: Annotated[float | None, arg(metavar="PSI", help_behavior_hint="(default: 1)")] = (
        None
    )
    """How far the styles of a stylegan2 go from their mean: less than 1 for images that are less
    varied and more often good."""
    latent_size: Annotated[int | None, arg(metavar="Z", help_behavior_hint="")] = None
    """Numbers of a latent, for a function of yours."""
    pixel_range: Annotated[
        tuple[float, float] | None,
        arg(metavar="LOW HIGH", help_behavior_hint="(default: -1 1, or as the kind has it)"),
    ] = None
    """The values that the generator gives for black and for white."""

    def find_generator(self) -> FoundGenerator:
        """Build the generator, and look at some of its images.

        Raises:
            OSError: If there is no such file, or published weights cannot be downloaded.
            ValueError: If nothing has the name, options do not go together, the generator takes no
                such latents or gives no images, or much of these lies outside the range.
        """
        if self.pixel_range is not None:
            in_range(*self.pixel_range)  # before anything is built
        self.check_random_weights(self.weights)
        if self.truncation is not None and self.model != "stylegan2":
            raise ValueError(
                f"`truncation` (={self.truncation}) goes with `model` 'stylegan2' alone"
            )
        model, latent_size, own_range, segmenter = self._find_network()
        pixel_range = own_range if self.pixel_range is None else self.pixel_range
        model = model._replace(network=self.computing.computed(model.network))
        # Colors that were not learned lie anywhere, and are clipped.
        most_outside = _MOST_OUTSIDE if self.random_weights is None else 1.0
        images = _look_at_images(model, latent_size, pixel_range, most_outside)
        to_pixels = in_range(*pixel_range)
        example = np.asarray(to_pixels(jnp.asarray(images[:1])))[0]
        return FoundGenerator(model, latent_size, to_pixels, segmenter, example)

    def _find_network(self) -> tuple[FoundModel, int, tuple[float, float], str | None]:
        """Find a network, the length of its latents, its range, and the name of its segmenter."""
        name, weights = self.model, self.weights
        if name in KINDS and self.random_weights is not None:
            raise ValueError(
                f"`random_weights`: `model` {name!r} has the sizes of its weights; name a "
                f"published one: {', '.join(NAMES)}"
            )
        if (name in KINDS) != (weights is not None):
            kinds = " or ".join(map(repr, KINDS))
            raise ValueError(f"`weights` go with `model` {kinds}, and with no other")
        if name not in (BUILT_IN, *KINDS, *NAMES):
            return self._call_function()
        kind = "proggan"
        if name == BUILT_IN:
            module: Any = load_generator()
        elif weights is not None:
            options = {} if self.truncation is None else {"truncation": self.truncation}
            module, kind = load_network(name, weights, **options), name
        else:
            module, kind = pretrained(name), PUBLISHED[name].architecture
        if self.random_weights is not None:
            module = ProgressiveGenerator(module.sizes, rngs=nnx.Rngs(self.random_weights))
        known_size = module.latent_size
        if self.latent_size not in (None, known_size):
            raise ValueError(
                f"`latent_size` (={self.latent_size}) must be {known_size} for `model` {name!r}"
            )
        layers, segmenter = ARCHITECTURES[kind].layers, "netpqc" if kind == "proggan" else None
        if name == BUILT_IN:
            layers, segmenter = ("layer2", "layer4", "layer6", "layer8"), BUILT_IN
        model = FoundModel(name, as_network(module), Path(__file__).parent, layers)
        return model, known_size, getattr(module, "pixel_range", _PIXEL_RANGE), segmenter

    def _call_function(self) -> tuple[FoundModel, int, tuple[float, float], None]:
        """Let a function of the user's build the network."""
        name = self.model
        build, home = find_function(name, "model", [BUILT_IN, *NAMES, *KINDS])
        with user_code(f"`model` (={name!r}) cannot be built by its function", home):
            if self.random_weights is None:
                network = as_network(build())
            else:
                network = build_untrained(build, name, self.random_weights)
        if self.latent_size is None:
            raise ValueError(f"`latent_size` is needed for `model` {name!r}")
        return FoundModel(name, network, home), self.latent_size, _PIXEL_RANGE, None


@dataclass(frozen=True, kw_only=True)
class GeneratedSegmenterOptions(SegmenterOptions):
    """Options that name the segmenter of a generator's images."""

    segmenter: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: that of the model)")
    ] = None

    def find_segmenter(self, found: FoundGenerator) -> Segmenter:
        """Build the segmenter.

        Args:
            found: The generator, whose own segmenter is taken if the user names none.

        Raises:
            OSError: If there is no such file, or published weights cannot be downloaded.
            ValueError: If nothing has the name, options do not go together, or a function returns
                something else.
        """
        if self.segmenter is None:
            self.check_no_segmenter()
        return self.build_segmenter(found.example, default=found.segmenter)


def _look_at_images(
    model: FoundModel, latent_size: int, pixel_range: tuple[float, float], most_outside: float
) -> np.ndarray:
    """Return some images; refuse generators that give none, or whose values the range mistakes."""
    low, high = pixel_range
    with user_code(f"`model` (={model.name!r}) fails on latents [B, {latent_size}]", model.home):
        some = jnp.asarray(latents(_SEEN, latent_size).read(0, _SEEN)["latent"])
        images = np.asarray(jax.jit(model.network.apply)(model.network.params, some)[0])
    if images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f"`model` (={model.name!r}) must give images [B, height, width, 3], it gives "
            f"{images.shape}"
        )
    tolerance = 0.02 * (high - low)
    inside = (images >= low - tolerance) & (images <= high + tolerance)  # what is NaN is not
    outside = 1 - inside.mean()
    if outside > most_outside or np.isnan(images).any():
        raise ValueError(
            f"`pixel_range` (={pixel_range}) leaves out {outside:.0%} of what `model` "
            f"{model.name!r} gives, {images.min():.3g} to {images.max():.3g}"
        )
    return images
