"""The generator of a progressive GAN.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR
2018, table 2; as published with Bau et al., "GAN Dissection", ICLR 2019.

Letters of shapes: B batch, Z latent, h w layer grid, I channels in, U units, R resolution.
"""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import conv2d
from jaxdissect.networks.weights.mapping import Arrays, Shapes
from jaxdissect.networks.weights.stored import StoredArray, brief, brief_list, made_when_read

RESOLUTIONS = (8, 16, 32, 64, 128, 256, 512, 1024)


def default_sizes(resolution: int) -> tuple[int, ...]:
    """Latent size, then units after 4 x 4, 8 x 8, ..., as in the paper's generators.

    Raises:
        ValueError: If the resolution is none of `RESOLUTIONS`.
    """
    if resolution not in RESOLUTIONS:
        raise ValueError(f"`resolution` (={resolution}) must be one of: {RESOLUTIONS}")
    wide = 5 if resolution > 256 else 4
    depth = int(math.log2(resolution))
    return tuple(512 if i < wide else 512 >> (i - wide + 1) for i in range(depth))


class ProgressiveGenerator(nnx.Module):
    """Blocks of a convolution each, two per resolution, and a map to colors.

    `layer1` makes 4 x 4 cells of a latent vector; every odd block after it doubles height and
    width. Layers go by the reference's names: `layer1`, `layer2`, ..., what each block gives after
    its leaky ReLU; `layer1.conv`, ..., the bare convolutions within them, before scale and bias;
    `output_64x64`, the image of a generator of that resolution.

    Args:
        sizes: Length of the latent, then units after 4 x 4, 8 x 8, ...; see `default_sizes`.
        clamp_output: Whether to clip images to [-1, 1], the reference's `output_tanh`.
        rngs: Stream of the initial parameters, normal with variance 1: the scale of He et al. is
            applied when the network runs (Karras et al., section 4.1).

    Raises:
        ValueError: If there are less than three sizes.
    """

    def __init__(self, sizes: Sequence[int], *, clamp_output: bool = False, rngs: nnx.Rngs):
        if len(sizes) < 3 or min(sizes) < 1:
            raise ValueError(
                f"`sizes` (={tuple(sizes)}) must be the latent's and those of two resolutions or "
                "more"
            )
        self.sizes = tuple(sizes)
        latent = Convolution(sizes[0], sizes[1], size=4, convolve=convolve_latent, rngs=rngs)
        self.layer1 = Block(latent)
        self.layer2 = Block(Convolution(sizes[1], sizes[1], rngs=rngs))
        for step, (inputs, units) in enumerate(itertools.pairwise(sizes[1:]), 1):
            doubling = Convolution(inputs, units, convolve=convolve_upsampled, rngs=rngs)
            setattr(self, f"layer{2 * step + 1}", Block(doubling))
            setattr(self, f"layer{2 * step + 2}", Block(Convolution(units, units, rngs=rngs)))
        side = 2 ** len(sizes)
        self.output = f"output_{side}x{side}"
        setattr(self, self.output, Colors(sizes[-1], clamp=clamp_output, rngs=rngs))

    @property
    def latent_size(self) -> int:
        """Numbers of a latent, Z."""
        return self.sizes[0]

    def __call__(self, latents: Any) -> Float[Array, "B R R 3"]:
        """Make images.

        Args:
            latents: Standard normal vectors [B, Z].

        Returns:
            RGB, nominally in [-1, 1], and clipped to that only by `clamp_output`; `to_pixels`
            gives [0, 1].

        Raises:
            ValueError: If the latents have other axes or another length, or are no floats.
        """
        latents = self._checked(latents)
        units = latents[:, None, None, :]
        for number in range(1, 2 * len(self.sizes) - 1):
            units = getattr(self, f"layer{number}")(units)
        return getattr(self, self.output)(units)

    def _checked(self, latents: Any) -> Array:
        latents = jnp.asarray(latents)
        if latents.ndim != 2 or latents.shape[1] != self.sizes[0]:
            raise ValueError(
                f"`latents` (={latents.shape}) must be vectors [B, {self.sizes[0]}]; "
                f"latents.reshape(-1, {self.sizes[0]}) drops other axes"
            )
        if not jnp.issubdtype(latents.dtype, jnp.floating):
            raise ValueError(f"`latents` (={latents.dtype}) must be floats, standard normal")
        return latents.astype(self.layer1.conv.kernel.dtype)


def to_pixels(images: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """From a generator's [-1, 1] to [0, 1], clipped."""
    return jnp.clip((images + 1) / 2, 0, 1)


class Convolution(nnx.Module):
    """A square kernel without a bias, and a way to convolve with it.

    Args:
        inputs: Units in.
        units: Units out.
        size: Rows of the kernel, and columns.
        convolve: From maps and kernel to maps.
        rngs: Stream of the initial kernel, standard normal.

    Attributes:
        kernel: [size, size, I, U] float32.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        *,
        size: int = 3,
        convolve: Callable[[Array, Array], Array] = conv2d,
        rngs: nnx.Rngs,
    ):
        shape = (size, size, inputs, units)
        self.kernel = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), shape))
        self.convolve = convolve

    def __call__(self, inputs: Float[Array, "B h w I"]) -> Float[Array, "B _ _ U"]:
        return self.convolve(inputs, self.kernel[...])


class Block(nnx.Module):
    """Normalise every cell, convolve, scale, add a bias, rectify leakily (slope 0.2).

    Args:
        convolution: With a kernel [kh, kw, I, U]. Its output is multiplied by
            ``sqrt(2) / sqrt(kh kw I)``.

    Attributes:
        conv: The convolution.
        wscale: Holds the bias.
    """

    def __init__(self, convolution: Convolution):
        self.conv = convolution
        self.wscale = Bias(convolution.kernel.shape[3])

    def __call__(self, inputs: Float[Array, "B h w I"]) -> Float[Array, "B _ _ U"]:
        fan_in = math.prod(self.conv.kernel.shape[:3])
        units = self.wscale(self.conv(_normalised(inputs)) * math.sqrt(2 / fan_in))
        return nnx.leaky_relu(units, 0.2)


class Colors(nnx.Module):
    """Normalise every cell, and map its units to colors linearly, scaled by 1 / sqrt(I).

    Args:
        inputs: Units of a cell.
        clamp: Whether to clip colors to [-1, 1].
        rngs: Stream of the initial parameters.
    """

    def __init__(self, inputs: int, *, clamp: bool, rngs: nnx.Rngs):
        self.clamp = clamp
        self.conv = Convolution(inputs, 3, size=1, rngs=rngs)
        self.wscale = Bias(3)

    def __call__(self, inputs: Float[Array, "B h w I"]) -> Float[Array, "B h w 3"]:
        colors = self.wscale(self.conv(_normalised(inputs)) / math.sqrt(inputs.shape[3]))
        return jnp.clip(colors, -1, 1) if self.clamp else colors


class Bias(nnx.Module):
    """A number per unit, added to every cell.

    Attributes:
        b: [U] float32.
    """

    def __init__(self, units: int):
        self.b = nnx.Param(jnp.zeros(units))

    def __call__(self, inputs: Float[Array, "B h w U"]) -> Float[Array, "B h w U"]:
        return inputs + self.b[None, None, None]


def convolve_latent(
    inputs: Float[Array, "B 1 1 Z"], kernel: Float[Array, "4 4 Z U"]
) -> Float[Array, "B 4 4 U"]:
    """Convolve a single cell with 3 zeros around: one matrix product."""
    # The cell meets the last weight first.
    return jnp.einsum("bz,yxzu->byxu", inputs[:, 0, 0], kernel[::-1, ::-1])


def convolve_upsampled(
    inputs: Float[Array, "B h w I"], kernel: Float[Array, "3 3 I U"]
) -> Float[Array, "B _ _ U"]:
    """Convolve the doubled maps without making them, [B, 2 h, 2 w, U].

    Along an axis, two of the three cells that a pixel reads are the same one, so that their
    weights can be added up before: each of the four pixels that a cell becomes is a convolution
    with 2 x 2 weights of its own, 16 products per cell in place of 36. On two CPU cores this makes
    the generator of 256 x 256 pixels 1.2 to 1.5 times as fast as doubling the maps.
    """

    def halves(kernel: Array) -> tuple[Array, Array]:
        """Weights along the first axis for the first and the second pixel of a cell."""
        before, here, after = kernel
        return jnp.stack([before, here + after]), jnp.stack([before + here, after])

    def quarter(kernel: Array, row: int, column: int) -> Array:
        padding = ((1 - row, row), (1 - column, column))
        return conv2d(inputs, kernel.swapaxes(0, 1), padding=padding)

    rows = [
        jnp.stack([quarter(part, row, i) for i, part in enumerate(halves(half.swapaxes(0, 1)))], 3)
        for row, half in enumerate(halves(kernel))
    ]
    batch, height, width, _ = inputs.shape
    return jnp.stack(rows, 2).reshape(batch, 2 * height, 2 * width, -1)


def _normalised(inputs: Float[Array, "B h w I"]) -> Float[Array, "B h w I"]:
    """Divide every cell by the root of its mean square (Karras et al., section 4.2)."""
    wide = inputs.astype(np.promote_types(inputs.dtype, np.float32))
    square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    return (wide * lax.rsqrt(square + 1e-8)).astype(inputs.dtype)


# --- published weights ----------------------------------------------------------------------------


def sizes_of(shapes: Shapes) -> tuple[int, ...]:
    """Read the sizes of a generator from PyTorch's names and shapes of its weights.

    Only the first block of each resolution is read, up to 1024 x 1024; whether all others agree is
    checked when the weights are put in.

    Raises:
        ValueError: If the first layers are missing.
    """
    weights = [shapes.get(f"layer{number}.conv.weight", ()) for number in (1, *range(3, 18, 2))]
    known = list(itertools.takewhile(lambda shape: len(shape) == 4, weights))
    if len(known) < 2:
        raise ValueError(
            "the weights of a progressive GAN must have `layer1.conv.weight`, "
            "`layer3.conv.weight`, ... with 4 axes, from which sizes are read; they have: "
            + (brief_list(f"{name} {brief(shape)}" for name, shape in shapes.items()) or "none")
        )
    return (known[0][1], *(shape[0] for shape in known))


def from_shapes(shapes: Shapes, *, clamp_output: bool = False) -> ProgressiveGenerator:
    """Make the generator that fits some weights, given PyTorch's names and shapes.

    Raises:
        ValueError: If the first layers, from which sizes are read, are missing.
    """
    return ProgressiveGenerator(sizes_of(shapes), clamp_output=clamp_output, rngs=nnx.Rngs(0))


def reference_names(arrays: Arrays) -> Arrays:
    """Rewrite weights of older formats; others are returned as they are.

    - Older: `features.0.conv.weight`, ..., `output.conv.weight`.
    - TensorFlow, the variables of Karras et al. as numpy arrays: `4x4/Dense/weight`, ...,
      `ToRGB_lod0/weight`. Other variables of growing (`ToRGB_lod1`, `lod`) are left out.

    Args:
        arrays: Weights by name.
    """
    if "features.0.conv.weight" in arrays:
        return _from_features(arrays)
    if "4x4/Dense/weight" in arrays:
        return _from_tensorflow(arrays)
    return dict(arrays)


def _from_features(arrays: Arrays) -> Arrays:
    layers = 1 + max(
        int(found[1]) for n in arrays if (found := re.match(r"features\.(\d{1,2})\.", n))
    )
    side = 2 ** ((layers + 2) // 2)

    def renamed(name: str) -> str:
        name = re.sub(r"^features\.(\d{1,2})\.", lambda match: f"layer{int(match[1]) + 1}.", name)
        return re.sub(r"^output\.", f"output_{side}x{side}.", name)

    return {renamed(name): array for name, array in arrays.items()}


def _from_tensorflow(arrays: Arrays) -> Arrays:
    sides = [int(found[1]) for n in arrays if (found := re.match(r"(\d{1,4})x\1/", n))]
    places = {"4x4/Dense": "layer1", "4x4/Conv": "layer2"}
    for number, side in enumerate(sorted(set(sides) - {4}), 1):
        places[f"{side}x{side}/Conv0_up"] = f"layer{2 * number + 1}"
        places[f"{side}x{side}/Conv1"] = f"layer{2 * number + 2}"
    places["ToRGB_lod0"] = f"output_{max(sides)}x{max(sides)}"
    result = {}
    for name, array in arrays.items():
        place, _, own = name.rpartition("/")
        if place in places and own == "bias":
            result[f"{places[place]}.wscale.b"] = array
        elif place in places and own == "weight":
            result[f"{places[place]}.conv.weight"] = _pytorch_stored(place, array)
        elif not re.match(r"lod$|ToRGB_lod\d+/", name):
            result[name] = array  # to be listed as unexpected
    return result


def _pytorch_stored(place: str, array: np.ndarray | StoredArray) -> StoredArray:
    """Lay a variable out when it is read."""
    stand_in = np.broadcast_to(np.zeros((), array.dtype), array.shape)
    shape = _pytorch_weight(place, stand_in).shape
    return made_when_read(partial(_pytorch_weight, place), shape, array)


def _pytorch_weight(place: str, array: np.ndarray) -> np.ndarray:
    """Lay a variable of TensorFlow out as PyTorch [O, I, kh, kw]."""
    if place.endswith("Dense") and array.ndim == 2 and array.shape[1] % 16 == 0:
        # [Z, 16 U], the values of every unit one after the other.
        latent, cells = array.shape
        return array.reshape(latent, cells // 16, 4, 4).transpose(1, 0, 2, 3)[..., ::-1, ::-1]
    if array.ndim != 4:
        return array  # to be listed as misshapen
    if place.endswith("Conv0_up"):
        # Of a transposed convolution, [kh, kw, O, I].
        return array.transpose(2, 3, 0, 1)[..., ::-1, ::-1]
    return array.transpose(3, 2, 0, 1)
