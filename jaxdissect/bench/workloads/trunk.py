"""The network that is dissected: the convolutions of VGG-16, with weights that devices agree on.

Simonyan and Zisserman, ICLR 2015, table 1, configuration D; its rectified layers are
`features.conv1_1` to `features.conv5_3`.

**Whole numbers.** Each unit adds up four of its inputs and subtracts four others: most of its
weights are 0. Images are turned into whole numbers, and every pooling divides by 4 and keeps 0 to
15. So convolutions are given whole numbers up to 240, which even bfloat16 holds, and their sums are
right in any order: where products are added up in float32, as in TF32, thresholds and counts are
the same on every device, and their fingerprint tells a wrong one. A convolution costs the same
whatever its weights are, but for the power that multiplying by 0 saves, and with it perhaps a few
percent of the clock of a GPU; "normal" weights tell.

Letters: B batch, H W image, h w cells, I channels in, U units.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import conv2d, max_pool2d

DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions of every block."""

LAYERS = tuple(
    f"features.conv{block}_{index}"
    for block, depth in enumerate(DEPTHS, 1)
    for index in range(1, depth + 1)
)
"""The rectified layers, first to last."""

_ADDED = 4
"""Inputs that a unit adds up, and as many that it subtracts."""

_QUARTER, _HIGHEST = 0.25, 15
"""What poolings multiply by, and the highest number they let pass."""

Weights = Literal["whole", "normal"]


def xla_conv2d(inputs: Array, kernel: Array, *, strides: Any, padding: Any) -> Array:
    """Convolve as XLA does, with the arguments of `conv2d`."""
    return lax.conv_general_dilated(
        inputs, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


class RectifiedConv(nnx.Module):
    """A 3 x 3 convolution with bias that keeps the size, then a ReLU.

    Its weights are drawn by NumPy, so that making a network compiles nothing.
    """

    def __init__(self, kernel: np.ndarray, convolve: Callable[..., Array], *, whole: bool):
        self.kernel = nnx.Param(jnp.asarray(kernel))
        self.bias = nnx.Param(jnp.asarray(np.zeros(kernel.shape[3], np.float32)))
        self.convolve, self.whole = convolve, whole

    def __call__(self, inputs: Float[Array, "B h w I"]) -> Float[Array, "B h w U"]:
        outputs = self.convolve(inputs, self.kernel[...], strides=(1, 1), padding="SAME")
        outputs = outputs + self.bias[...].reshape(1, 1, 1, -1)
        # Winograd's form, which only processors take, is off by a little.
        if self.whole and jax.default_backend() == "cpu":
            outputs = jnp.round(outputs)
        return nnx.relu(outputs)


class Features(nnx.Module):
    """The convolutions `conv1_1` to `conv5_3`, with a pooling between blocks."""

    def __init__(self, width: int, weights: Weights, convolve: Callable[..., Array]):
        self.whole = weights == "whole"
        draw = whole_kernel if self.whole else _normal_kernel
        inputs = 3
        for block, units in enumerate(widths(width)):
            for index in range(DEPTHS[block]):
                random = np.random.default_rng((block, index))
                kernel = draw(random, inputs, units)
                layer = RectifiedConv(kernel, convolve, whole=self.whole)
                setattr(self, f"conv{block + 1}_{index + 1}", layer)
                inputs = units

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w U"]:
        units = jnp.floor(images * 16) - 8 if self.whole else images
        for block, depth in enumerate(DEPTHS):
            if block:
                units = max_pool2d(units)
                if self.whole:
                    units = jnp.minimum(jnp.floor(units * _QUARTER), _HIGHEST)
            for index in range(depth):
                units = getattr(self, f"conv{block + 1}_{index + 1}")(units)
        return units


class Trunk(nnx.Module):
    """The convolutional trunk of VGG-16.

    Args:
        width: Units of the first block; 64 is VGG-16's.
        weights: "whole" numbers, see above, or "normal" ones (He-normal, biases 0).
        convolve: Takes inputs, kernel, `strides` and `padding`.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        weights: Weights = "whole",
        convolve: Callable[..., Array] = conv2d,
    ):
        self.features = Features(width, weights, convolve)

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w U"]:
        """Return the rectified activations of the last layer, [B, H / 16, W / 16, U]."""
        return self.features(images)


def whole_kernel(
    random: np.random.Generator, inputs: int, units: int
) -> Float[np.ndarray, "3 3 I U"]:
    """Draw weights that add up some inputs and subtract as many."""
    places = random.integers(0, 9 * inputs, (2, _ADDED, units))
    kernel = np.zeros((9 * inputs, units), np.float32)
    for sign, some in zip((1, -1), places, strict=True):
        np.add.at(kernel, (some, np.arange(units)), sign)
    return kernel.reshape(3, 3, inputs, units)


def _normal_kernel(
    random: np.random.Generator, inputs: int, units: int
) -> Float[np.ndarray, "3 3 I U"]:
    """Draw He-normal weights: variance 2 / fan-in."""
    kernel = random.standard_normal((3, 3, inputs, units), np.float32)
    return kernel * np.float32(np.sqrt(2 / (9 * inputs)))


def widths(width: int) -> tuple[int, ...]:
    """Units of every block."""
    return width, 2 * width, 4 * width, 8 * width, 8 * width


def shapes(width: int, image_size: int) -> list[tuple[int, int, int]]:
    """List height (and width), channels in and units of every convolution."""
    found, inputs, side = [], 3, image_size
    for block, units in enumerate(widths(width)):
        side = side // 2 if block else side
        for _ in range(DEPTHS[block]):
            found.append((side, inputs, units))
            inputs = units
    return found
