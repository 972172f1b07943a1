"""Time the forward passes of the networks of the paper: ours against PyTorch.

    python benchmarks/forward.py [--networks vgg16 upernet proggan] [--repeats 5] [--record]

The competitors take turns in one process and have the same random weights and inputs. Wall-clock
time counts only on a quiet machine; processor time, of all threads, is steadier on a busy one.
Where PyTorch is not installed, it is left out. With --record, a line per network is added to
`forward.jsonl` beside this file.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from vgg16 import interleave

from jaxdissect.networks.models.proggan import ProgressiveGenerator
from jaxdissect.networks.models.upernet import UPerNet
from jaxdissect.networks.models.vgg16 import VGG16
from jaxdissect.networks.weights.mapping import PYTORCH, parameters

# The restatements in PyTorch are those that the tests compare with.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

RECORD = Path(__file__).with_suffix(".jsonl")

GENERATOR_SIZES = (512, 512, 512, 512, 512, 256, 128, 64)
"""Latent, then units at 4 x 4, 8 x 8, ..., of the generator of 256 x 256 pixels."""

PART_SIZES = (7,) * 61
"""Owners with parts, as many outputs in all as the published segmenter has."""

GRID = (64, 64)


class Case(NamedTuple):
    """A network, its input, and its restatement in PyTorch.

    Attributes:
        module: With random parameters.
        inputs: Channels last.
        options: Further arguments of both modules' calls.
        restated: Makes the PyTorch module.
        compared: From either output to the array that is compared, here channels last.
    """

    module: nnx.Module
    inputs: np.ndarray
    options: dict[str, Any]
    restated: Callable[[], Any]
    compared: Callable[[Any], Any] = lambda output: output


def vgg16(batch_size: int, random: np.random.RandomState) -> Case:
    """The scene classifier, at 224 x 224 pixels."""

    def restated() -> Any:
        from torch_classifiers import VGG16 as Restated  # pyright: ignore[reportMissingImports]

        return Restated(365)

    images = random.standard_normal((batch_size, 224, 224, 3)).astype(np.float32)
    return Case(VGG16(365, rngs=nnx.Rngs(0)), images, {}, restated)


def upernet(batch_size: int, random: np.random.RandomState) -> Case:
    """The segmenter, at 256 x 256 pixels, read at 64 x 64; what is compared are the objects."""

    def restated() -> Any:
        from torch_segmenters import UPerNet as Restated  # pyright: ignore[reportMissingImports]

        return Restated(PART_SIZES)

    module = UPerNet(PART_SIZES, rngs=nnx.Rngs(0))
    # He's gain is for networks without shortcuts: activations would explode, and probabilities
    # vanish into denormal numbers, which slow PyTorch down five times.
    state = nnx.state(module, nnx.Param)
    nnx.update(module, jax.tree.map(lambda x: x * 0.5**0.5 if x.ndim == 4 else x, state))
    images = random.standard_normal((batch_size, 256, 256, 3)).astype(np.float32)
    return Case(module, images, {"grid": GRID}, restated, lambda answers: answers[0])


def proggan(batch_size: int, random: np.random.RandomState) -> Case:
    """The progressive GAN generator of 256 x 256 pixels."""

    def restated() -> Any:
        from torch_generators import ProgressiveGenerator as Restated  # pyright: ignore[reportMissingImports]

        return Restated(GENERATOR_SIZES)

    latents = random.standard_normal((batch_size, GENERATOR_SIZES[0])).astype(np.float32)
    module = ProgressiveGenerator(GENERATOR_SIZES, rngs=nnx.Rngs(0))
    return Case(module, latents, {}, restated)


NETWORKS = {"vgg16": (vgg16, 8), "upernet": (upernet, 1), "proggan": (proggan, 4)}
"""Makers of the networks, and how many examples a batch has."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time forward passes against PyTorch.")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batch-size", type=int, help="instead of 8, 1 and 4")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true", help="also ours in bfloat16")
    parser.add_argument("--peak-tflops", type=float, help="of the device, to print the share")
    parser.add_argument("--record", action="store_true", help=f"add lines to {RECORD.name}")
    options = parser.parse_args()
    for name in options.networks:
        make, batch_size = NETWORKS[name]
        report = measure(name, make, options.batch_size or batch_size, options)
        if options.record:
            with open(RECORD, "a") as file:
                file.write(json.dumps(report) + "\n")


def measure(name: str, make: Callable[..., Case], batch_size: int, options: Any) -> dict[str, Any]:
    """Time a network and print a table."""
    case = make(batch_size, np.random.RandomState(0))
    dtypes = {"ours": jnp.float32, "ours, bfloat16": jnp.bfloat16}
    forwards: dict[str, Callable[[], Any]] = {
        label: ours(case, dtype) for label, dtype in list(dtypes.items())[: 1 + options.bfloat16]
    }
    forwards |= pytorch(case)
    gflop = gflop_per_image(case)
    expected = channels_last(forwards["ours"]())
    errors = {
        label: float(np.abs(channels_last(forward()) - expected).max() / np.abs(expected).max())
        for label, forward in forwards.items()
    }
    timings = interleave(forwards, options.repeats)
    wall, processor = (
        {label: 1000 / batch_size * median(times) for label, times in pairs.items()}
        for pairs in timings
    )
    device = jax.devices()[0].device_kind
    print(f"{name}, batches of {batch_size}, {device}, medians of {options.repeats}")
    print(f"{'':24}{'ms/image':>10}{'ratio':>8}{'CPU ms':>10}{'ratio':>8}{'difference':>12}")
    for label in forwards:
        print(
            f"{label:24}{wall[label]:10.2f}{wall[label] / wall['ours']:8.2f}"
            f"{processor[label]:10.2f}{processor[label] / processor['ours']:8.2f}"
            f"{errors[label]:12.1e}"
        )
    for label in list(dtypes)[: 1 + options.bfloat16]:
        text = f"{label}: {1000 / wall[label]:.1f} images/s"
        if gflop is not None:
            speed = gflop / wall[label]
            share = f", {speed / options.peak_tflops:.0%} of peak" if options.peak_tflops else ""
            text += f", {speed:.2f} TFLOP/s{share}"
        print(text)
    return {
        "network": name,
        "date": datetime.date.today().isoformat(),
        "device": device,
        "jax": version("jax"),
        "batch_size": batch_size,
        "repeats": options.repeats,
        "ms_per_image": wall,
        "cpu_ms_per_image": processor,
        "difference": errors,
        "gflop_per_image": gflop,
    }


def channels_last(output: Any) -> np.ndarray:
    """Bring the output of either framework to the host, channels last."""
    if isinstance(output, jax.Array):
        return np.asarray(output)
    output = output.cpu().numpy()
    return output.transpose(0, 2, 3, 1) if output.ndim == 4 else output


def ours(case: Case, dtype: Any) -> Callable[[], jax.Array]:
    """Compile the network, and return its forward pass.

    Weights are arguments, as when a data set is run.
    """
    definition, params = nnx.split(case.module)
    params, inputs = jax.device_put(
        (jax.tree.map(lambda array: array.astype(dtype), params), jnp.asarray(case.inputs, dtype))
    )

    def forward(params: Any, inputs: jax.Array) -> jax.Array:
        module: Any = nnx.merge(definition, params)
        return case.compared(module(inputs, **case.options)).astype(jnp.float32)

    compiled = jax.jit(forward).lower(params, inputs).compile()
    return lambda: jax.block_until_ready(compiled(params, inputs))


def gflop_per_image(case: Case) -> float | None:
    """The operations that PyTorch counts, 2 for each product and sum; None without PyTorch.

    Winograd's form has fewer.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
        from torch.utils.flop_counter import FlopCounterMode  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    axes = {2: (0, 1), 4: (0, 3, 1, 2)}[case.inputs.ndim]
    one = torch.from_numpy(case.inputs[:1].transpose(axes).copy())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        pytorch_module(case)(one, **case.options)
    return counter.get_total_flops() / 1e9


def pytorch(case: Case) -> dict[str, Callable[[], Any]]:
    """The same weights in PyTorch, in both of its memory layouts; empty without PyTorch."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = pytorch_module(case).to(device)
    axes = {2: (0, 1), 4: (0, 3, 1, 2)}[case.inputs.ndim]
    inputs = torch.from_numpy(case.inputs.transpose(axes).copy()).to(device)

    def forward(module: Any, inputs: Any) -> Any:
        with torch.no_grad():
            output = case.compared(module(inputs, **case.options))
        if device == "cuda":
            torch.cuda.synchronize()
        return output

    if inputs.ndim < 4:
        return {"PyTorch": lambda: forward(module, inputs)}
    last = inputs.contiguous(memory_format=torch.channels_last)
    return {
        "PyTorch, NCHW": lambda: forward(module, inputs),
        "PyTorch, channels last": lambda: forward(module, last),
    }


def pytorch_module(case: Case) -> Any:
    """The PyTorch module with the same weights."""
    import torch  # pyright: ignore[reportMissingImports]

    module = case.restated().eval()
    weights = {
        PYTORCH.name(name): torch.from_numpy(PYTORCH.to_file(np.array(array), name).copy())
        for name, array in parameters(case.module).items()
    }
    missing, unexpected = module.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return module


if __name__ == "__main__":
    main()
