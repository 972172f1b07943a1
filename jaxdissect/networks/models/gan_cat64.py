"""A small generator of cat faces, 64 x 64 pixels: a description of plain convolutions.

The weights are those of the repository mendaxyazilim/Cat-GAN, `generator580`, whose arrays have the
names that Keras gave them: `dense_2/kernel`, `conv2d_7/kernel`, ..., `conv2d_11/bias`. No licence
is stated there.
"""

import math

from flax import nnx

from jaxdissect.networks.models.described_generator import (
    Clip,
    Convolve,
    Dense,
    DescribedGenerator,
    Description,
    Part,
    Rectify,
)
from jaxdissect.networks.models.layers import upsample_nearest
from jaxdissect.networks.weights.mapping import Arrays, Shapes

PUBLISHED_SHAPES: Shapes = {
    "dense_2.weight": (512, 512),
    "conv2d_7.weight": (64, 8, 5, 5),
    "conv2d_8.weight": (64, 64, 5, 5),
    "conv2d_9.weight": (64, 64, 5, 5),
    "conv2d_10.weight": (64, 64, 5, 5),
    "conv2d_11.weight": (3, 64, 5, 5),
}
"""As in PyTorch."""


def description(shapes: Shapes) -> Description:
    """Describe the generator of some sizes.

    A linear map makes square maps. Each of five convolutions is rectified leakily (slope 0.2), and
    the first three are doubled after that. Units of a layer are read after the rectifier, `relu_7`,
    ..., `relu_11`. Nothing normalises; colors are cut off at 0 and 1.
    """
    channels = shapes["conv2d_7.weight"][1]
    side = math.isqrt(shapes["dense_2.weight"][0] // channels)
    parts: dict[str, Part] = {"dense_2": Dense((side, side, channels))}
    for number in range(7, 12):
        units, _, size, _ = shapes[f"conv2d_{number}.weight"]
        parts[f"conv2d_{number}"] = Convolve(units, size)
        parts[f"relu_{number}"] = Rectify(0.2)
        if number < 10:
            parts[f"up_{number}"] = upsample_nearest
    return parts | {"clip": Clip(0.0, 1.0)}


def from_shapes(shapes: Shapes, *, rngs: nnx.Rngs | None = None) -> DescribedGenerator:
    """Make the generator that fits some weights, given PyTorch's names and shapes.

    Sizes that are missing are the published ones; whether all agree is checked when the weights are
    put in.
    """
    known = {
        name: shapes[name] if len(shapes.get(name, ())) == len(shape) else shape
        for name, shape in PUBLISHED_SHAPES.items()
    }
    return DescribedGenerator(
        known["dense_2.weight"][1],
        description(known),
        pixel_range=(0.0, 1.0),
        rngs=rngs or nnx.Rngs(0),
    )


def reference_names(arrays: Arrays) -> Arrays:
    """Rewrite Keras's names, `conv2d_7/kernel`, which are laid out as here.

    Args:
        arrays: Weights by name.
    """
    return {name.removesuffix(":0").replace("/", "."): array for name, array in arrays.items()}
