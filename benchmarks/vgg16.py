"""Time the forward pass of VGG-16 up to conv5_3: plain XLA, Winograd's form, PyTorch.

    python benchmarks/vgg16.py [--batch-size 8] [--image-size 224] [--repeats 7]

The competitors take turns in one process and have the same random weights and images. Wall-clock
time counts only on a quiet machine; processor time, of all threads, is steadier on a busy one.
Where PyTorch is not installed, it is left out.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D, Padding, conv2d, max_pool2d

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of every block (Simonyan and Zisserman, ICLR 2015, table 1, D)."""


def xla_conv2d(
    inputs: Array, kernel: Array, *, strides: tuple[int, int], padding: Padding
) -> Array:
    """The convolution of XLA, with the arguments of `conv2d`."""
    return lax.conv_general_dilated(
        inputs, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


class RectifiedConv(Conv2D):
    """A 3 x 3 convolution with bias that keeps the size, then a ReLU."""

    def __call__(self, inputs: Float[Array, "B h w I"]) -> Float[Array, "B h w U"]:
        return nnx.relu(super().__call__(inputs))


class Features(nnx.Module):
    """The convolutions `conv1_1` to `conv5_3`, with a pooling between blocks."""

    def __init__(
        self,
        blocks: tuple[tuple[int, int], ...],
        *,
        convolve: Callable[..., Array],
        pool: Callable[[Array], Array],
        rngs: nnx.Rngs,
    ):
        self.depths = tuple(depth for _, depth in blocks)
        self.pool = pool
        inputs = 3
        for block, (units, depth) in enumerate(blocks, 1):
            for index in range(1, depth + 1):
                layer = RectifiedConv(inputs, units, convolve=convolve, rngs=rngs)
                setattr(self, f"conv{block}_{index}", layer)
                inputs = units

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w U"]:
        units = images
        for block, depth in enumerate(self.depths, 1):
            if block > 1:
                units = self.pool(units)
            for index in range(1, depth + 1):
                units = getattr(self, f"conv{block}_{index}")(units)
        return units


class VGG16Trunk(nnx.Module):
    """The convolutional trunk of VGG-16; its rectified layers are `features.conv1_1` and so on.

    Args:
        blocks: Channels and convolutions of every block.
        convolve: Takes inputs, kernel, `strides` and `padding`, such as `conv2d` or `xla_conv2d`.
        pool: Halves height and width.
        rngs: Stream of the initial parameters, He-normal.
    """

    def __init__(
        self,
        *,
        blocks: tuple[tuple[int, int], ...] = BLOCKS,
        convolve: Callable[..., Array] = conv2d,
        pool: Callable[[Array], Array] = max_pool2d,
        rngs: nnx.Rngs,
    ):
        self.features = Features(blocks, convolve=convolve, pool=pool, rngs=rngs)

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w U"]:
        """Return the rectified activations of the last layer, [B, H / 16, W / 16, 512]."""
        return self.features(images)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the forward pass of VGG-16.")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    shape = (options.batch_size, options.image_size, options.image_size, 3)
    images = np.random.default_rng(options.seed).uniform(-2, 2, shape).astype(np.float32)
    trunks = {
        "plain XLA": VGG16Trunk(convolve=xla_conv2d, rngs=nnx.Rngs(options.seed)),
        "conv2d": VGG16Trunk(rngs=nnx.Rngs(options.seed)),
    }
    forwards = {name: jax_forward(trunk, images) for name, trunk in trunks.items()}
    forwards |= torch_forwards(trunks["plain XLA"], images)

    expected = forwards["plain XLA"]()  # the first run compiles
    errors = {
        name: np.abs(forward() - expected).max() / np.abs(expected).max()
        for name, forward in forwards.items()
    }
    timings = interleave(forwards, options.repeats)
    wall, processor = (
        {name: 1000 / options.batch_size * median(pairs[name]) for name in pairs}
        for pairs in timings
    )
    print(f"VGG-16 to conv5_3, {shape}, {jax.default_backend()}, medians of {options.repeats}")
    print(f"{'':22}{'ms/image':>10}{'ratio':>8}{'CPU ms':>10}{'ratio':>8}{'difference':>12}")
    for name in forwards:
        print(
            f"{name:22}{wall[name]:10.1f}{wall['plain XLA'] / wall[name]:8.2f}"
            f"{processor[name]:10.1f}{processor['plain XLA'] / processor[name]:8.2f}"
            f"{errors[name]:12.1e}"
        )


def jax_forward(trunk: VGG16Trunk, images: np.ndarray) -> Callable[[], np.ndarray]:
    """Compile the forward pass, with the weights as arguments as when a data set is run."""
    definition, params = nnx.split(trunk)
    compiled = jax.jit(lambda params, images: nnx.merge(definition, params)(images))
    placed = jax.device_put(images)
    return lambda: np.asarray(compiled(params, placed))


def torch_forwards(trunk: VGG16Trunk, images: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """The same weights in PyTorch, for both of its memory layouts; empty without PyTorch."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
        from three_pass_torch import Trunk
    except ImportError:
        return {}
    layers = {
        name: (np.asarray(layer.kernel[...]), np.asarray(layer.bias[...]))
        for name, layer in vars(trunk.features).items()
        if isinstance(layer, Conv2D) and layer.bias is not None
    }
    trunk_torch = Trunk.from_numpy(layers)
    placed = torch.from_numpy(images.transpose(0, 3, 1, 2))

    def forward(batch: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return trunk_torch(batch).permute(0, 2, 3, 1).numpy()

    batches = {
        "PyTorch, NCHW": placed.contiguous(),
        "PyTorch, channels last": placed.contiguous(memory_format=torch.channels_last),
    }
    return {name: lambda batch=batch: forward(batch) for name, batch in batches.items()}


def interleave(
    forwards: Mapping[str, Callable[[], Any]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Let all take turns; wall-clock and processor seconds of every run."""
    wall: dict[str, list[float]] = {name: [] for name in forwards}
    processor: dict[str, list[float]] = {name: [] for name in forwards}
    for _ in range(repeats):
        for name, forward in forwards.items():
            start = time.perf_counter(), time.process_time()
            forward()
            wall[name].append(time.perf_counter() - start[0])
            processor[name].append(time.process_time() - start[1])
    return wall, processor


if __name__ == "__main__":
    main()
