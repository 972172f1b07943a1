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

from jaxdissect.networks.convolution import Conv2D, conv2d, max_pool2d

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


class RectifiedConv(Conv2D):
    """A 3 x 3 convolution with bias that keeps the size, then a ReLU."""

    whole = False

    def __call__(self, inputs: Float[Array, "B h w I"]) -> Float[Array, "B h w U"]:
        outputs = super().__call__(inputs)
        # Winograd's form, which only processors take, is off by a little.
        if self.whole and jax.default_backend() == "cpu":
            outputs = jnp.round(outputs)
        return nnx.relu(outputs)


class Features(nnx.Module):
    """The convolutions `conv1_1` to `conv5_3`, with a pooling between blocks."""

    def __init__(
        self, width: int, weights: Weights, convolve: Callable[..., Array], rngs: nnx.Rngs
    ):
        self.whole = weights == "whole"
        inputs = 3
        for block, units in enumerate(widths(width)):
            for index in range(DEPTHS[block]):
                layer = RectifiedConv(inputs, units, convolve=convolve, rngs=rngs)
                if self.whole:
                    layer.whole = True
                    layer.kernel[...] = jnp.asarray(_whole_kernel(block, index, inputs, units))
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
        self.features = Features(width, weights, convolve, nnx.Rngs(0))

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w U"]:
        """Return the rectified activations of the last layer, [B, H / 16, W / 16, U]."""
        return self.features(images)


def _whole_kernel(block: int, index: int, inputs: int, units: int) -> np.ndarray:
    """Draw weights [3, 3, I, U] that add up some inputs and subtract as many."""
    random = np.random.default_rng((block, index))
    places = random.integers(0, 9 * inputs, (2, _ADDED, units))
    kernel = np.zeros((9 * inputs, units), np.float32)
    for sign, some in zip((1, -1), places, strict=True):
        np.add.at(kernel, (some, np.arange(units)), sign)
    return kernel.reshape(3, 3, inputs, units)


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
