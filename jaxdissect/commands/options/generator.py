"""Find the generator and the segmenter that a user names on the command line.

Like other models (`jaxdissect.commands.options.model`), but a generator's input is latents [B, Z],
and its output images [B, height, width, 3].
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.commands.options.model import BUILT_IN, FoundModel, checked_layers
from jaxdissect.commands.options.user_code import find_function, user_code
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.generators.images import ToPixels, in_range
from jaxdissect.networks.loading import load_network, pretrained
from jaxdissect.networks.models.proggan import ProgressiveGenerator
from jaxdissect.networks.network import as_network
from jaxdissect.networks.segmenters.published import pretrained_segmenter
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.scenes.shipped import load_generator, load_segmenter

ARCHITECTURE = "proggan"

NAMES = tuple(name for name, known in PUBLISHED.items() if known.architecture == ARCHITECTURE)
"""Published generators."""

SEGMENTERS = (BUILT_IN, "netpqc")

_SEEN = 8  # images to look at before the work begins
_MOST_OUTSIDE = 0.2  # of the values of a generator, of which some overshoot


class FoundGenerator(NamedTuple):
    """A generator that was found.

    Attributes:
        model: The network.
        latent_size: Z.
        to_pixels: Makes RGB in [0, 1] of what it gives.
        segmenter: Name of the segmenter to take unless told otherwise.
    """

    model: FoundModel
    latent_size: int
    to_pixels: ToPixels
    segmenter: str | None


def find_generator(
    name: str,
    weights: Path | None,
    latent_size: int | None,
    pixel_range: tuple[float, float],
) -> FoundGenerator:
    """Import and build the generator of a name, and look at some of its images.

    Args:
        name: `BUILT_IN`, a published generator, `ARCHITECTURE` with weights, or where a function
            is.
        weights: The file of weights.
        latent_size: Z, for functions of the user's.
        pixel_range: What is black and what is white.

    Raises:
        OSError: If there is no such file, or published weights cannot be downloaded.
        ValueError: If nothing has the name, options do not go together, the generator takes no
            such latents or gives no images, or much of these lies outside the range.
    """
    to_pixels = in_range(*pixel_range)
    if (name == ARCHITECTURE) != (weights is not None):
        raise ValueError(f"`weights` go with `model` {ARCHITECTURE!r}, and with no other")
    if name in (BUILT_IN, ARCHITECTURE, *NAMES):
        if name == BUILT_IN:
            module: Any = load_generator()
        else:
            module = pretrained(name) if weights is None else load_network(name, weights)
        assert isinstance(module, ProgressiveGenerator)
        if latent_size not in (None, module.sizes[0]):
            raise ValueError(
                f"`latent_size` (={latent_size}) must be {module.sizes[0]} for `model` {name!r}"
            )
        latent_size = module.sizes[0]
        layers = ("layer2", "layer4", "layer6", "layer8") if name == BUILT_IN else ("layer4",)
        model = FoundModel(name, as_network(module), Path(__file__).parent, layers)
        segmenter: str | None = BUILT_IN if name == BUILT_IN else "netpqc"
    else:
        build, home = find_function(name, "model", [BUILT_IN, *NAMES, ARCHITECTURE])
        with user_code(f"`model` (={name!r}) cannot be built by its function", home):
            model = FoundModel(name, as_network(build()), home)
        if latent_size is None:
            raise ValueError(f"`latent_size` is needed for `model` {name!r}")
        segmenter = None
    found = FoundGenerator(model, latent_size, to_pixels, segmenter)
    _look_at_images(found, pixel_range)
    return found


def choose_generator_layers(found: FoundGenerator, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Check that a generator has the layers that the user asks for.

    Raises:
        ValueError: If a layer is missing or unknown (the message lists the valid names).
    """
    inputs = jax.ShapeDtypeStruct((1, found.latent_size), jnp.float32)
    return checked_layers(found.model, layers, inputs, f"`model` (={found.model.name!r}) fails")


def find_segmenter(name: str | None, default: str | None) -> Segmenter:
    """Build the segmenter of a name: `BUILT_IN`, a published one, or what a function returns.

    Raises:
        OSError: If there is no such file, or published weights cannot be downloaded.
        ValueError: If nothing has the name, or the function returns something else.
    """
    name = default if name is None else name
    if name is None:
        raise ValueError(f"`segmenter` is needed: one of {', '.join(SEGMENTERS)}, or FILE:FUNCTION")
    if name == BUILT_IN:
        return load_segmenter()
    if ":" not in name:
        return pretrained_segmenter(name)
    build, home = find_function(name, "segmenter", SEGMENTERS)
    with user_code(f"`segmenter` (={name!r}) cannot be built by its function", home):
        segmenter: Any = build()
    if not isinstance(segmenter, Segmenter):
        raise ValueError(
            f"`segmenter` (={name!r}) must return a Segmenter, not {type(segmenter).__name__}"
        )
    return segmenter


def _look_at_images(found: FoundGenerator, pixel_range: tuple[float, float]) -> None:
    """Refuse generators that give no images, or images whose values the range mistakes."""
    model, (low, high) = found.model, pixel_range
    with user_code(
        f"`model` (={model.name!r}) fails on latents [B, {found.latent_size}]", model.home
    ):
        some = jnp.asarray(latents(_SEEN, found.latent_size).read(0, _SEEN)["latent"])
        images = np.asarray(jax.jit(model.network.apply)(model.network.params, some)[0])
    if images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f"`model` (={model.name!r}) must give images [B, height, width, 3], it gives "
            f"{images.shape}"
        )
    tolerance = 0.02 * (high - low)
    inside = (images >= low - tolerance) & (images <= high + tolerance)  # what is NaN is not
    outside = 1 - inside.mean()
    if outside > _MOST_OUTSIDE:
        raise ValueError(
            f"`pixel_range` (={pixel_range}) leaves out {outside:.0%} of what `model` "
            f"{model.name!r} gives, {images.min():.3g} to {images.max():.3g}"
        )
