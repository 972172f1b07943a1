"""Time depthwise convolutions on CPU: sums of shifted products against XLA's own and PyTorch's.

    python benchmarks/depthwise.py [--batch-sizes 1 8 32] [--repeats 7] [--xla] [--network]
                                   [--record]

The layers are the different ones of MobileNetV2 at 224 x 224 pixels, and one each of
EfficientNet-Lite (5 x 5) and ConvNeXt-T (7 x 7); with --network the whole MobileNetV2 is timed
instead. XLA's own convolution takes its turns, which are long, with --xla. The competitors take
turns in one process and have the same random weights and inputs. Wall-clock time counts only on a
quiet machine; the least of all turns is steadier on a busy one. Where PyTorch is not installed, it
is left out. With --record, a line is added to `depthwise.jsonl` beside this file.
"""

import argparse
import datetime
import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from vgg16 import interleave

from jaxdissect.networks.convolution import conv2d
from jaxdissect.networks.models.inverted_residual import centred
from jaxdissect.networks.models.mobilenet_v2 import MobileNetV2
from jaxdissect.networks.weights.mapping import PYTORCH, parameters

RECORD = Path(__file__).with_suffix(".jsonl")


class DepthwiseLayer(NamedTuple):
    """A layer by its grid, units, stride and size of kernels."""

    side: int
    units: int
    stride: int
    size: int = 3


LAYERS = (
    DepthwiseLayer(112, 32, 1),
    DepthwiseLayer(112, 96, 2),
    DepthwiseLayer(56, 144, 1),
    DepthwiseLayer(56, 144, 2),
    DepthwiseLayer(28, 192, 1),
    DepthwiseLayer(28, 192, 2),
    DepthwiseLayer(14, 384, 1),
    DepthwiseLayer(14, 576, 1),
    DepthwiseLayer(14, 576, 2),
    DepthwiseLayer(7, 960, 1),
    DepthwiseLayer(28, 240, 1, 5),
    DepthwiseLayer(56, 96, 1, 7),
)

Forward = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time depthwise convolutions against PyTorch.")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--xla", action="store_true", help="time XLA's own convolution as well")
    parser.add_argument("--network", action="store_true", help="time all of MobileNetV2")
    parser.add_argument("--record", action="store_true", help=f"add a line to {RECORD.name}")
    options = parser.parse_args()
    rows = []
    for batch_size in options.batch_sizes:
        if options.network:
            what = {"network": "mobilenet_v2", "batch_size": batch_size}
            rows.append(what | timed(network(batch_size), options.repeats))
            continue
        for layer in LAYERS:
            what = layer._asdict() | {"batch_size": batch_size}
            rows.append(what | timed(competitors(layer, batch_size, options.xla), options.repeats))
    if options.record:
        report = {
            "date": datetime.date.today().isoformat(),
            "device": jax.devices()[0].device_kind,
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "jax": version("jax"),
            "repeats": options.repeats,
            "rows": rows,
        }
        with open(RECORD, "a") as file:
            file.write(json.dumps(report) + "\n")


def timed(forwards: dict[str, Forward], repeats: int) -> dict[str, Any]:
    """Let all take turns after a first run of each, and print the least of all times."""
    for forward in forwards.values():
        forward()
    wall, processor = interleave(forwards, repeats)
    least = {name: 1000 * min(times) for name, times in wall.items()}
    busy = {name: 1000 * min(times) for name, times in processor.items()}
    print("  ".join(f"{name} {time:.2f} ms ({busy[name]:.2f})" for name, time in least.items()))
    return {"ms": least, "cpu_ms": busy}


def competitors(layer: DepthwiseLayer, batch_size: int, with_xla: bool) -> dict[str, Forward]:
    """A layer of the shape, in its surroundings: after a ReLU6, before another."""
    print(f"{layer}, batches of {batch_size}: ", end="", flush=True)
    random = np.random.RandomState(0)
    side, units, stride, size = layer
    inputs = random.standard_normal((batch_size, side, side, units)).astype(np.float32)
    kernel = random.standard_normal((size, size, 1, units)).astype(np.float32)
    arrays = jax.device_put((inputs, kernel))

    def ours(inputs: Any, kernel: Any) -> Any:
        padding = centred(size)
        return conv2d(inputs, kernel, strides=(stride, stride), padding=padding, groups=units)

    def xlas(inputs: Any, kernel: Any) -> Any:
        return lax.conv_general_dilated(
            inputs,
            kernel,
            (stride, stride),
            centred(size),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=units,
        )

    def compiled(convolve: Callable[..., Any]) -> Forward:
        run = jax.jit(lambda x, k: nnx.relu6(convolve(nnx.relu6(x), k))).lower(*arrays).compile()
        return lambda: jax.block_until_ready(run(*arrays))

    forwards = {"ours": compiled(ours)}
    if with_xla:
        forwards["XLA"] = compiled(xlas)
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return forwards
    functional = torch.nn.functional
    weight = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())

    def theirs(images: Any) -> Any:
        with torch.no_grad():
            maps = functional.conv2d(
                functional.relu6(images), weight, None, stride, size // 2, groups=units
            )
            return functional.relu6(maps)

    return forwards | both_layouts(inputs, theirs, torch)


def network(batch_size: int) -> dict[str, Forward]:
    """The whole MobileNetV2 at 224 x 224 pixels."""
    print(f"MobileNetV2, batches of {batch_size}: ", end="", flush=True)
    module = MobileNetV2(1000, rngs=nnx.Rngs(0))
    module.eval()
    images = np.random.RandomState(0).standard_normal((batch_size, 224, 224, 3))
    definition, state = nnx.split(module)
    arrays = jax.device_put((state, jnp.asarray(images, jnp.float32)))
    run = jax.jit(lambda s, x: nnx.merge(definition, s)(x)).lower(*arrays).compile()
    forwards: dict[str, Forward] = {"ours": lambda: jax.block_until_ready(run(*arrays))}
    try:
        import torch  # pyright: ignore[reportMissingImports]
        from torchvision.models import mobilenet_v2  # pyright: ignore[reportMissingImports]
    except ImportError:
        return forwards
    theirs = mobilenet_v2().eval()
    weights = {
        PYTORCH.name(name): torch.from_numpy(PYTORCH.to_file(np.array(array), name).copy())
        for name, array in parameters(module).items()
    }
    theirs.load_state_dict(weights, strict=False)

    def forward(images: Any) -> Any:
        with torch.no_grad():
            return theirs(images)

    return forwards | both_layouts(images.astype(np.float32), forward, torch)


def both_layouts(inputs: np.ndarray, forward: Callable[[Any], Any], torch: Any) -> dict[str, Any]:
    """A forward pass of PyTorch's on images in either of its memory layouts."""
    first = torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy())
    last = first.contiguous(memory_format=torch.channels_last)
    return {
        "PyTorch, NCHW": lambda: forward(first),
        "PyTorch, channels last": lambda: forward(last),
    }


if __name__ == "__main__":
    main()
