"""Generators without surprises, described by data: maps, convolutions, rectifiers, doubling.

A description is a mapping from names to what stands there: a `Dense`, `Convolve`,
`ConvolveTransposed` or `Normalise`, a function without parameters, or a mapping in turn. Channels
in are those that come out of the layer before. To adapt a generator of your own, describe it under
the names of its weights; `dcgan` and `gan_cat64` are examples.

Letters of shapes: B batch, Z latent, h w layer grid, U units, H W image.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.layers import Chain, Layer, batch_norm
from jaxdissect.networks.transposed_convolution import ConvTransposed2D


class Dense(NamedTuple):
    """A linear map from a latent to maps.

    Attributes:
        shape: Height, width and units of the maps; units vary fastest.
        use_bias: Whether there is a bias.
    """

    shape: tuple[int, int, int]
    use_bias: bool = True

    def build(self, inputs: int, rngs: nnx.Rngs) -> tuple[nnx.Module, int]:
        return DenseMaps(inputs, self.shape, use_bias=self.use_bias, rngs=rngs), self.shape[2]


class Convolve(NamedTuple):
    """A convolution that keeps height and width.

    Attributes:
        units: Channels out.
        size: Rows of the kernel, and columns.
        use_bias: Whether there is a bias.
    """

    units: int
    size: int = 3
    use_bias: bool = True

    def build(self, inputs: int, rngs: nnx.Rngs) -> tuple[nnx.Module, int]:
        size = (self.size, self.size)
        return Conv2D(inputs, self.units, size, use_bias=self.use_bias, rngs=rngs), self.units


class ConvolveTransposed(NamedTuple):
    """A transposed convolution, which by default doubles height and width.

    Attributes:
        units: Channels out.
        size: Rows of the kernel, and columns.
        stride: Pixels of the result from cell to cell.
        padding: Lines that are cut off on every side.
        use_bias: Whether there is a bias.
        output_padding: Of these lines, those that stay below and on the right after all.
    """

    units: int
    size: int = 4
    stride: int = 2
    padding: int = 1
    use_bias: bool = False
    output_padding: int = 0

    def build(self, inputs: int, rngs: nnx.Rngs) -> tuple[nnx.Module, int]:
        layer = ConvTransposed2D(
            inputs,
            self.units,
            self.size,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            use_bias=self.use_bias,
            rngs=rngs,
        )
        return layer, self.units


class Normalise(NamedTuple):
    """Batch normalisation with the statistics of training."""

    def build(self, inputs: int, rngs: nnx.Rngs) -> tuple[nnx.Module, int]:
        return batch_norm(inputs), inputs


class Rectify(NamedTuple):
    """A leaky ReLU.

    Attributes:
        slope: What negative inputs are multiplied by; 0 is the ReLU.
    """

    slope: float = 0.0

    def __call__(self, inputs: Array) -> Array:
        return jax.nn.relu(inputs) if self.slope == 0 else nnx.leaky_relu(inputs, self.slope)


class Clip(NamedTuple):
    """Cut values off.

    Attributes:
        low: The least value.
        high: The greatest.
    """

    low: float
    high: float

    def __call__(self, inputs: Array) -> Array:
        return jnp.clip(inputs, self.low, self.high)


Part = Dense | Convolve | ConvolveTransposed | Normalise | Callable[[Array], Array]
"""A layer; of a function, such as `Rectify(0.2)` or `jax.numpy.tanh`, the inputs are maps."""

Description = Mapping[str, Any]
"""Parts of a generator by name, in the order of calls; a mapping of parts is a part too."""


class DescribedGenerator(Chain):
    """The generator of a description; its layers are the parts, "conv2d_7", "main.5", ....

    Args:
        latent_size: Z.
        description: The parts.
        pixel_range: The values that it gives for black and for white.
        rngs: Stream of the initial parameters.

    Attributes:
        latent_size: Z.
        pixel_range: As given.

    Raises:
        ValueError: If `latent_size` is not positive.
    """

    def __init__(
        self,
        latent_size: int,
        description: Description,
        *,
        pixel_range: tuple[float, float] = (-1.0, 1.0),
        rngs: nnx.Rngs,
    ):
        if latent_size < 1:
            raise ValueError(f"`latent_size` (={latent_size}) must be at least 1")
        self.latent_size, self.pixel_range = latent_size, pixel_range
        parts, _ = _parts(description, latent_size, rngs)
        super().__init__(parts)

    def __call__(self, inputs: Any) -> Float[Array, "B H W _"]:
        """Make images.

        Args:
            inputs: Standard normal vectors [B, Z].

        Returns:
            Images whose values are those of `pixel_range`.

        Raises:
            ValueError: If the vectors have other axes or another length, or are no floats.
        """
        latents = jnp.asarray(inputs)
        if latents.ndim != 2 or latents.shape[1] != self.latent_size:
            raise ValueError(
                f"`latents` (={latents.shape}) must be vectors [B, {self.latent_size}]; "
                f"latents.reshape(-1, {self.latent_size}) drops other axes"
            )
        if not jnp.issubdtype(latents.dtype, jnp.floating):
            raise ValueError(f"`latents` (={latents.dtype}) must be floats, standard normal")
        (dtype, *_) = (leaf.dtype for leaf in jax.tree.leaves(nnx.state(self, nnx.Param)))
        return super().__call__(latents.astype(dtype)[:, None, None, :])


def _parts(
    description: Description, inputs: int, rngs: nnx.Rngs
) -> tuple[dict[str, nnx.Module], int]:
    """Build parts, and count the channels of the last."""
    parts: dict[str, nnx.Module] = {}
    for name, part in description.items():
        if isinstance(part, Mapping):
            inner, inputs = _parts(part, inputs, rngs)
            parts[name] = Chain(inner)
        elif isinstance(part, Dense | Convolve | ConvolveTransposed | Normalise):
            parts[name], inputs = part.build(inputs, rngs)
        else:
            parts[name] = Layer(part)
    return parts, inputs


class DenseMaps(nnx.Module):
    """A linear map of a single cell to maps.

    Attributes:
        kernel: [Z, h w U].
        bias: [h w U], or None.
    """

    def __init__(self, inputs: int, shape: tuple[int, int, int], *, use_bias: bool, rngs: nnx.Rngs):
        initial = nnx.initializers.lecun_normal()(rngs.params(), (inputs, math.prod(shape)))
        self.kernel = nnx.Param(initial)
        self.bias = nnx.Param(jnp.zeros(math.prod(shape))) if use_bias else None
        self.shape = shape

    def __call__(self, inputs: Float[Array, "B 1 1 Z"]) -> Float[Array, "B h w U"]:
        cells = inputs[:, 0, 0] @ self.kernel[...]
        if self.bias is not None:
            cells = cells + self.bias[None]
        return cells.reshape(-1, *self.shape)
