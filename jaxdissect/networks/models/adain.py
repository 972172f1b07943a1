"""Style transfer by adaptive instance normalisation: an encoder, a decoder, and what lies between.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization",
ICCV 2017. The features of one image are given the mean and deviation, unit by unit, of those of
another, and turned back into an image.

Letters of shapes: B batch, H W content image, Y X style image, h w features, U units.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.layers import Chain, checked_images, units_in, upsample_nearest
from jaxdissect.networks.weights.mapping import Arrays, Shapes

ENCODER = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512)
"""Units of the 3 x 3 convolutions of VGG-19 up to relu4_1, and the poolings among them."""

DECODER = (256, "up", 256, 256, 256, 128, "up", 128, 64, "up", 64, 3)
"""The way back; the last convolution is not rectified."""


class AdaINEncoder(Chain):
    """VGG-19 up to relu4_1, after a 1 x 1 convolution of colors, with reflected borders.

    Layers are numbered as published, "0" to "30"; paddings, ReLU and poolings count.

    Args:
        units: See `ENCODER`.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, units: Sequence[int | str] = ENCODER, *, rngs: nnx.Rngs):
        colors = Conv2D(3, 3, (1, 1), rngs=rngs)
        super().__init__(_numbered([colors, *_layers(3, units, rngs)]))

    def __call__(self, inputs: Any) -> Float[Array, "B h w U"]:
        """Find the features of images.

        Args:
            inputs: RGB [B, H, W, 3] in [0, 1], 9 x 9 pixels or more.

        Returns:
            Features, rectified; h = ceil(H / 8), w = ceil(W / 8).

        Raises:
            ValueError: If the images have other axes, are no floats, or are too small.
        """
        dtype = getattr(self, "0").kernel.dtype
        # A border is reflected from the cell next to it, so that all maps must be 2 x 2 or larger.
        return super().__call__(checked_images(inputs, dtype=dtype, least=(9, 9)))


class AdaINDecoder(Chain):
    """From the features of an `AdaINEncoder` back to images.

    Layers are numbered as published, "0" to "28".

    Args:
        inputs: Units of the features.
        units: See `DECODER`.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, inputs: int = 512, units: Sequence[int | str] = DECODER, *, rngs: nnx.Rngs):
        # Images are not rectified.
        super().__init__(_numbered(_layers(inputs, units, rngs)[:-1]))

    def __call__(self, inputs: Any) -> Float[Array, "B _ _ 3"]:
        """Make images.

        Args:
            inputs: Features [B, h, w, U], 2 x 2 cells or more.

        Returns:
            RGB [B, 8 h, 8 w, 3], nominally in [0, 1], not clipped.

        Raises:
            ValueError: If the features have other axes, are no floats, or are too small.
        """
        features, kernel = jnp.asarray(inputs), getattr(self, "1").kernel
        units = kernel.shape[2]
        if (
            features.ndim != 4
            or features.shape[3] != units
            or min(features.shape[1:3]) < 2
            or not jnp.issubdtype(features.dtype, jnp.floating)
        ):
            raise ValueError(
                f"`features` (={features.dtype}{features.shape}) must be floats "
                f"[B, h, w, {units}] of 2 x 2 cells or more"
            )
        return super().__call__(features.astype(kernel.dtype))


def _layers(inputs: int, units: Sequence[int | str], rngs: nnx.Rngs) -> list[Any]:
    """Padding, convolution, ReLU for every number of units; resizings where they are named."""
    layers: list[Any] = []
    for width in units:
        if isinstance(width, str):
            layers.append({"pool": _pooled, "up": upsample_nearest}[width])
        else:
            convolution = Conv2D(inputs, width, padding="VALID", rngs=rngs)
            layers += [_reflected, convolution, nnx.relu]
            inputs = width
    return layers


def _numbered(layers: Sequence[Any]) -> dict[str, Any]:
    return {str(number): layer for number, layer in enumerate(layers)}


def _reflected(maps: Float[Array, "B h w U"]) -> Float[Array, "B _ _ U"]:
    return jnp.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")


def _pooled(maps: Float[Array, "B h w U"]) -> Float[Array, "B _ _ U"]:
    """Halve by maxima; an odd last row or column counts alone."""
    height, width = maps.shape[1:3]
    padding: Any = ((0, height % 2), (0, width % 2))
    return nnx.max_pool(maps, (2, 2), (2, 2), padding)


def channel_statistics(
    features: Float[Array, "B h w U"],
) -> tuple[Float[Array, "B 1 1 U"], Float[Array, "B 1 1 U"]]:
    """Mean and deviation of every unit over an image: sqrt(unbiased variance + 1e-5).

    Raises:
        ValueError: If there are less than two cells.
    """
    if features.shape[1] * features.shape[2] < 2:
        raise ValueError(
            f"`features` (={features.shape}) must have two cells or more, for their deviation"
        )
    mean = features.mean(axis=(1, 2), keepdims=True)
    variance = features.var(axis=(1, 2), keepdims=True, ddof=1)
    return mean, jnp.sqrt(variance + 1e-5)


def adain(
    content: Float[Array, "B h w U"], style: Float[Array, "B _ _ U"]
) -> Float[Array, "B h w U"]:
    """Give the features of one image the statistics of another's (equation 8 of the paper)."""
    mean, deviation = channel_statistics(content)
    wanted_mean, wanted_deviation = channel_statistics(style)
    return (content - mean) / deviation * wanted_deviation + wanted_mean


def stylize(
    encoder: Callable[[Array], Array],
    decoder: Callable[[Array], Array],
    content: Float[Array, "B H W 3"],
    style: Float[Array, "B Y X 3"],
    *,
    alpha: float = 1.0,
) -> Float[Array, "B _ _ 3"]:
    """Render images in the style of others (equation 14 of the paper).

    Args:
        encoder: From images to features, an `AdaINEncoder`.
        decoder: From features to images, an `AdaINDecoder`.
        content: RGB in [0, 1], what to show.
        style: RGB in [0, 1], how to show it; of any size.
        alpha: From 0, the content as it comes back from its features, to 1, all of the style.

    Returns:
        RGB clipped to [0, 1], of the content's size, rounded up to multiples of 8.

    Raises:
        ValueError: If `alpha` lies outside [0, 1], or the images do not suit the encoder.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` (={alpha}) must lie in [0, 1]")
    features = encoder(content)
    mixed = alpha * adain(features, encoder(style)) + (1 - alpha) * features
    return jnp.clip(decoder(mixed), 0, 1)


# --- published weights ----------------------------------------------------------------------------


def encoder_from_shapes(shapes: Shapes) -> AdaINEncoder:
    """Make the encoder that fits some weights, given PyTorch's names and shapes."""
    return AdaINEncoder(_units_in(shapes, ENCODER, first=1), rngs=nnx.Rngs(0))


def decoder_from_shapes(shapes: Shapes) -> AdaINDecoder:
    """Make the decoder that fits some weights, given PyTorch's names and shapes."""
    first = shapes.get("1.weight", ())
    inputs = first[1] if len(first) == 4 and first[1] > 0 else 512
    return AdaINDecoder(inputs, _units_in(shapes, DECODER, first=0), rngs=nnx.Rngs(0))


def encoder_reference_names(arrays: Arrays) -> Arrays:
    """Leave out what follows relu4_1 in the published VGG-19."""
    return {
        name: array
        for name, array in arrays.items()
        if not (number := name.partition(".")[0]).isdecimal() or int(number) <= 30
    }


def _units_in(
    shapes: Shapes, published: Sequence[int | str], *, first: int
) -> tuple[int | str, ...]:
    """Units of convolutions as weights have them; the published ones where they are missing."""
    units: list[int | str] = []
    for width in published:
        if isinstance(width, str):
            units.append(width)
            first += 1
        else:
            units.append(units_in(shapes, f"{first + 1}.weight", width))
            first += 3
    return tuple(units)
