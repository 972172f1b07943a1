"""The generator StyleGAN2: latents are mapped to styles, which scale the kernels of a synthesis.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, sections 2 and 3
(weight demodulation, skip generator); mapping, truncation and noise are those of Karras et al., "A
Style-Based Generator Architecture for Generative Adversarial Networks", CVPR 2019. Layers and
parameters have the names of the PyTorch implementation that was published with Karras et al.,
"Training Generative Adversarial Networks with Limited Data", NeurIPS 2020.

Letters of shapes: B batch, Z latent, W style vector, L style vectors of an image, h w layer grid, I
channels in, U units, R resolution.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Key

from jaxdissect.networks.convolution import conv2d
from jaxdissect.networks.models.filtered_upsampling import (
    binomial_filter,
    convolve_then_filter,
    upsample_filtered,
)

Noise = Callable[[int, Array, int], Array | None]
"""``noise(number, stored, batch) -> [1 or B, R, R]``, or None for none: the noise of the layer of
that number (0 for the first), given that which is stored [R, R] and the number of images."""


def stored_noise(number: int, stored: Array, batch: int) -> Array | None:
    """Add the noise that comes with the weights, the same to every image."""
    return stored[None]


def no_noise(number: int, stored: Array, batch: int) -> Array | None:
    """Add none."""
    return None


def fresh_noise(key: Key[Array, ""]) -> Noise:
    """Add other noise to every image, which then depends on its place in the batch.

    Args:
        key: Of the noise; each layer has its own.
    """

    def noise(number: int, stored: Array, batch: int) -> Array | None:
        own = jax.random.fold_in(key, number)
        return jax.random.normal(own, (batch, *stored.shape), stored.dtype)

    return noise


class StyleGAN2(nnx.Module):
    """A mapping network and a synthesis network.

    Layers are `mapping.fc0`, ..., `mapping`, what a latent is mapped to; `synthesis.b4.conv1`,
    `synthesis.b8.conv0`, `synthesis.b8.conv1`, ..., what a convolution gives after noise, bias and
    leaky ReLU; `synthesis.b8.torgb`, ..., what each resolution adds to the colors; and the styles
    that scale the channels of a layer's input, `synthesis.b8.conv0.affine`, ....

    The part `synthesis` is a network of its own, from style vectors to images.

    Args:
        sizes: Units at 4 x 4, 8 x 8, ....
        latent_size: Z.
        style_size: W.
        num_mapping: Layers of the mapping network.
        has_mean: Whether the mean of all styles is known.
        truncation: How far styles go from their mean: 1 all the way, 0 gives the mean's image
            (Karras et al. 2019, appendix B).
        clamp: Bounds what convolutions give; 256 where a network was trained in half precision
            with that bound, None otherwise.
        rngs: Stream of the initial parameters; they are scaled when the network runs.

    Raises:
        ValueError: If a size is not positive, there are none, or styles are to be truncated towards
            an unknown mean.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        latent_size: int = 512,
        style_size: int = 512,
        num_mapping: int = 8,
        has_mean: bool = True,
        truncation: float = 1.0,
        clamp: float | None = None,
        rngs: nnx.Rngs,
    ):
        if min((*sizes, latent_size, style_size, num_mapping, len(sizes))) < 1:
            raise ValueError(
                f"`sizes` (={tuple(sizes)}), `latent_size` (={latent_size}), `style_size` "
                f"(={style_size}) and `num_mapping` (={num_mapping}) must be at least 1"
            )
        if truncation != 1 and not has_mean:
            raise ValueError(
                f"`truncation` (={truncation}) needs the mean style, `mapping.w_avg`, which these "
                "weights do not have"
            )
        self.truncation = truncation
        self.mapping = Mapping(
            latent_size, style_size, num_layers=num_mapping, has_mean=has_mean, rngs=rngs
        )
        self.synthesis = Synthesis(sizes, style_size, clamp=clamp, rngs=rngs)

    @property
    def latent_size(self) -> int:
        """Numbers of a latent, Z."""
        return self.mapping.fc0.kernel.shape[0]

    def __call__(self, latents: Any, *, noise: Noise = stored_noise) -> Float[Array, "B R R 3"]:
        """Make images.

        Args:
            latents: Standard normal vectors [B, Z].
            noise: `stored_noise`, `no_noise`, `fresh_noise(key)` or another function.

        Returns:
            RGB, nominally in [-1, 1]; `to_pixels` gives [0, 1].

        Raises:
            ValueError: If the latents have other axes or another length, or are no floats.
        """
        styles = self.mapping(latents)
        if self.truncation != 1:
            assert self.mapping.w_avg is not None  # or it had been refused
            mean = self.mapping.w_avg[...]
            styles = mean[None] + self.truncation * (styles - mean[None])
        return self.synthesis(styles, noise=noise)


class Mapping(nnx.Module):
    """Normalise a latent, then linear maps with leaky ReLUs.

    Args:
        inputs: Z.
        units: W.
        num_layers: Linear maps.
        has_mean: Whether there is a `w_avg`.
        rngs: Stream of the initial parameters.

    Attributes:
        fc0, fc1, ...: The linear maps, trained at a hundredth of the learning rate.
        w_avg: Running mean of what latents are mapped to [W], or None.
    """

    def __init__(self, inputs: int, units: int, *, num_layers: int, has_mean: bool, rngs: nnx.Rngs):
        def layer(inputs: int) -> Linear:
            return Linear(inputs, units, learning_rate=0.01, activate=True, rngs=rngs)

        self.num_layers = num_layers
        self.fc0 = layer(inputs)
        for number in range(1, num_layers):
            setattr(self, f"fc{number}", layer(units))
        self.w_avg = nnx.Variable(jnp.zeros(units)) if has_mean else None

    def __call__(self, latents: Any) -> Float[Array, "B W"]:
        """Map latents [B, Z] to style vectors.

        Raises:
            ValueError: If the latents have other axes or another length, or are no floats.
        """
        kernel = self.fc0.kernel
        values = _floats("latents", latents, "standard normal").astype(kernel.dtype)
        if values.ndim != 2 or values.shape[1] != kernel.shape[0]:
            raise ValueError(
                f"`latents` (={values.shape}) must be vectors [B, {kernel.shape[0]}]; style "
                "vectors are the input of `synthesis`"
            )
        wide = values.astype(np.promote_types(values.dtype, np.float32))
        square = jnp.mean(jnp.square(wide), axis=1, keepdims=True)
        values = (wide * lax.rsqrt(square + 1e-8)).astype(values.dtype)
        for number in range(self.num_layers):
            values = getattr(self, f"fc{number}")(values)
        return values


class Synthesis(nnx.Module):
    """Blocks `b4`, `b8`, ..., whose colors add up to an image.

    Args:
        sizes: Units at 4 x 4, 8 x 8, ....
        style_size: W.
        clamp: Bounds what convolutions give; None for no bound.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self, sizes: Sequence[int], style_size: int, *, clamp: float | None, rngs: nnx.Rngs
    ):
        self.style_size = style_size
        self.names = tuple(f"b{4 << level}" for level in range(len(sizes)))
        self.b4 = FirstBlock(sizes[0], style_size, clamp=clamp, rngs=rngs)
        for name, (inputs, units) in zip(self.names[1:], itertools.pairwise(sizes), strict=True):
            side = int(name[1:])
            setattr(self, name, Block(inputs, units, side, style_size, clamp=clamp, rngs=rngs))

    @property
    def num_styles(self) -> int:
        """Style vectors of an image, L: one for each convolution, and one for the last colors."""
        return 2 * len(self.names)

    def __call__(self, styles: Any, *, noise: Noise = stored_noise) -> Float[Array, "B R R 3"]:
        """Make images of style vectors.

        Args:
            styles: One for all layers [B, W], or one for each [B, L, W]; the colors of a block have
                that of the next convolution.
            noise: `stored_noise`, `no_noise`, `fresh_noise(key)` or another function.

        Returns:
            RGB, nominally in [-1, 1].

        Raises:
            ValueError: If the styles have other axes or another length, or are no floats.
        """
        styles = _floats("styles", styles, "what `mapping` gives").astype(self.b4.const.dtype)
        if styles.shape[1:] not in ((self.style_size,), (self.num_styles, self.style_size)):
            raise ValueError(
                f"`styles` (={styles.shape}) must be vectors [B, {self.style_size}], or "
                f"{self.num_styles} for each image [B, {self.num_styles}, {self.style_size}]"
            )
        if styles.ndim == 2:
            styles = jnp.broadcast_to(
                styles[:, None], (styles.shape[0], self.num_styles, self.style_size)
            )
        units, image = self.b4(styles[:, :2], noise)
        for level, name in enumerate(self.names[1:], 1):
            first = 2 * level - 1
            units, image = getattr(self, name)(
                units, image, styles[:, first : first + 3], noise, first
            )
        return image


class FirstBlock(nnx.Module):
    """Constant maps of 4 x 4 cells, a convolution, and colors.

    Attributes:
        const: [U, 4, 4], channels first as in the published weights.
    """

    def __init__(self, units: int, style_size: int, *, clamp: float | None, rngs: nnx.Rngs):
        self.const = nnx.Param(jax.random.normal(rngs.params(), (units, 4, 4)))
        self.resample_filter = nnx.Variable(binomial_filter())
        self.conv1 = Convolution(units, units, 4, style_size, clamp=clamp, rngs=rngs)
        self.torgb = Colors(units, style_size, clamp=clamp, rngs=rngs)

    def __call__(self, styles: Float[Array, "B 2 W"], noise: Noise) -> tuple[Array, Array]:
        start = jnp.moveaxis(self.const[...], 0, 2)
        units = jnp.broadcast_to(start[None], (styles.shape[0], *start.shape))
        units = self.conv1(units, styles[:, 0], noise, 0)
        return units, self.torgb(units, styles[:, 1])


class Block(nnx.Module):
    """Two convolutions, of which the first doubles the maps, and colors added to the image."""

    def __init__(
        self,
        inputs: int,
        units: int,
        side: int,
        style_size: int,
        *,
        clamp: float | None,
        rngs: nnx.Rngs,
    ):
        self.resample_filter = nnx.Variable(binomial_filter())
        self.conv0 = Convolution(
            inputs, units, side, style_size, doubles=True, clamp=clamp, rngs=rngs
        )
        self.conv1 = Convolution(units, units, side, style_size, clamp=clamp, rngs=rngs)
        self.torgb = Colors(units, style_size, clamp=clamp, rngs=rngs)

    def __call__(
        self,
        units: Float[Array, "B _ _ _"],
        image: Float[Array, "B _ _ 3"],
        styles: Float[Array, "B 3 W"],
        noise: Noise,
        number: int,
    ) -> tuple[Array, Array]:
        units = self.conv0(units, styles[:, 0], noise, number)
        units = self.conv1(units, styles[:, 1], noise, number + 1)
        image = upsample_filtered(image, self.resample_filter[...])
        return units, image + self.torgb(units, styles[:, 2])


class Convolution(nnx.Module):
    """Convolve with kernels that a style scales, then add noise and a bias, rectify leakily.

    Args:
        inputs: Channels in.
        units: Units out.
        side: Height and width of the result.
        style_size: W.
        doubles: Whether height and width are doubled.
        clamp: Bounds the result; None for no bound.
        rngs: Stream of the initial parameters.

    Attributes:
        affine: From the style vector to the scale of every channel in.
        kernel: [3, 3, I, U].
        bias: [U].
        noise_const: Noise that comes with the weights, [rows, columns].
        noise_strength: What noise is multiplied by.
        resample_filter: Low-pass filter, used where maps are doubled.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        side: int,
        style_size: int,
        *,
        doubles: bool = False,
        clamp: float | None,
        rngs: nnx.Rngs,
    ):
        self.doubles, self.clamp = doubles, clamp
        self.affine = Linear(style_size, inputs, bias=1.0, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (3, 3, inputs, units)))
        self.bias = nnx.Param(jnp.zeros(units))
        self.noise_const = nnx.Variable(jax.random.normal(rngs.params(), (side, side)))
        self.noise_strength = nnx.Param(jnp.zeros(()))
        self.resample_filter = nnx.Variable(binomial_filter())

    def __call__(
        self, inputs: Float[Array, "B _ _ I"], style: Float[Array, "B W"], noise: Noise, number: int
    ) -> Float[Array, "B _ _ U"]:
        scales, kernel = self.affine(style), self.kernel[...]
        # Scaling channels in and units out is scaling the kernel of every image (Karras et al.
        # 2020, equations 1 and 3), without a kernel for every image.
        units = inputs * scales[:, None, None]
        if self.doubles:
            units = convolve_then_filter(units, kernel, self.resample_filter[...])
        else:
            units = conv2d(units, kernel)
        units = units * _demodulation(kernel, scales)[:, None, None]
        added = noise(number, self.noise_const[...], inputs.shape[0])
        if added is not None:
            units = units + (added * self.noise_strength[...]).astype(units.dtype)[..., None]
        return _bounded(_rectified(units + self.bias[None, None, None]), self.clamp)


class Colors(nnx.Module):
    """Map units to colors linearly, by weights that a style scales.

    Attributes:
        affine: From the style vector to the scale of every channel in.
        kernel: [1, 1, I, 3].
        bias: [3].
    """

    def __init__(self, inputs: int, style_size: int, *, clamp: float | None, rngs: nnx.Rngs):
        self.clamp = clamp
        self.affine = Linear(style_size, inputs, bias=1.0, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (1, 1, inputs, 3)))
        self.bias = nnx.Param(jnp.zeros(3))

    def __call__(
        self, inputs: Float[Array, "B h w I"], style: Float[Array, "B W"]
    ) -> Float[Array, "B h w 3"]:
        scales = self.affine(style) / math.sqrt(inputs.shape[3])
        colors = conv2d(inputs * scales[:, None, None], self.kernel[...])
        return _bounded(colors + self.bias[None, None, None], self.clamp)


class Linear(nnx.Module):
    """A linear map whose weights have about variance 1 and are scaled when it runs.

    Karras et al., "Progressive Growing of GANs", ICLR 2018, section 4.1: all weights then learn at
    the same rate.

    Args:
        inputs: Numbers in.
        units: Numbers out.
        learning_rate: Share of the rate at which weights and bias learn.
        bias: Initial bias.
        activate: Whether a leaky ReLU follows.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        *,
        learning_rate: float = 1.0,
        bias: float = 0.0,
        activate: bool = False,
        rngs: nnx.Rngs,
    ):
        kernel = jax.random.normal(rngs.params(), (inputs, units)) / learning_rate
        self.kernel = nnx.Param(kernel)
        self.bias = nnx.Param(jnp.full(units, bias))
        self.learning_rate, self.activate = learning_rate, activate

    def __call__(self, inputs: Float[Array, "B I"]) -> Float[Array, "B U"]:
        gain = self.learning_rate / math.sqrt(inputs.shape[1])
        units = inputs @ (self.kernel[...] * gain) + self.learning_rate * self.bias[None]
        return _rectified(units) if self.activate else units


def _demodulation(
    kernel: Float[Array, "3 3 I U"], scales: Float[Array, "B I"]
) -> Float[Array, "B U"]:
    """What brings units of scaled kernels back to variance 1 (Karras et al. 2020, equation 3)."""
    wide = np.promote_types(kernel.dtype, np.float32)
    squares = jnp.square(kernel.astype(wide)).sum((0, 1))
    sums = jnp.square(scales.astype(wide)) @ squares
    return lax.rsqrt(sums + 1e-8).astype(kernel.dtype)


def _rectified(units: Array) -> Array:
    """Leaky ReLU of slope 0.2, times what keeps the variance."""
    return nnx.leaky_relu(units, 0.2) * math.sqrt(2)


def _bounded(units: Array, clamp: float | None) -> Array:
    return units if clamp is None else jnp.clip(units, -clamp, clamp)


def _floats(name: str, values: Any, expected: str) -> Array:
    values = jnp.asarray(values)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"`{name}` (={values.dtype}) must be floats, {expected}")
    return values
