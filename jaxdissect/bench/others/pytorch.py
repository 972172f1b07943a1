"""PyTorch as a contender: on the same device, with as many threads, in the same precision.

On GPUs JAX sets most of the memory aside when it begins, so that PyTorch has what is left of it;
XLA_PYTHON_CLIENT_PREALLOCATE=false lets both take what they need.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from jaxdissect.bench.others.libraries import MissingLibrary, load
from jaxdissect.bench.others.match import Contender, Terms
from jaxdissect.engine.reader_threads import num_cores

PRECISIONS = ("highest", "default", "bfloat16")


@functools.cache
def torch_device() -> str:
    """Choose the device of PyTorch: that of JAX where PyTorch can use it, else the processor."""
    on_gpu = jax.default_backend() == "gpu" and load("torch").cuda.is_available()
    return "cuda" if on_gpu else "cpu"


def wait(answer: Any) -> None:
    """Return when PyTorch has computed all it was given."""
    del answer
    if torch_device() == "cuda":
        load("torch").cuda.synchronize()


def placed(array: np.ndarray, *, channels_first: bool = False) -> Any:
    """Copy an array to the device of PyTorch, [B, h, w, C] as [B, C, h, w] where asked for."""
    if channels_first:
        array = array.transpose(0, 3, 1, 2)
    return load("torch").from_numpy(np.array(array, order="C")).to(torch_device())


def host(tensor: Any, *, channels_first: bool = False) -> np.ndarray:
    """Copy a tensor to the host, [B, C, h, w] as [B, h, w, C] where asked for."""
    array = tensor.detach().cpu().numpy()
    return array.transpose(0, 2, 3, 1) if channels_first else array


def narrowed(module: Any, factor: int) -> Any:
    """Divide the units of every layer of a classifier, but for the classes, by a factor.

    Args:
        module: A `torch.nn.Module` of convolutions, batch normalisations and linear maps, which is
            changed.
        factor: 1 for the network as it is.

    Returns:
        The module.
    """
    if factor == 1:
        return module
    nn = load("torch").nn
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.Conv2d):
            inputs = layer.in_channels // (1 if layer.in_channels == 3 else factor)
            made = nn.Conv2d(
                inputs,
                layer.out_channels // factor,
                layer.kernel_size,
                layer.stride,
                layer.padding,
                layer.dilation,
                bias=layer.bias is not None,
            )
        elif isinstance(layer, nn.BatchNorm2d):
            made = nn.BatchNorm2d(layer.num_features // factor)
        elif isinstance(layer, nn.Linear):
            outputs = layer.out_features // (1 if layer is last else factor)
            made = nn.Linear(layer.in_features // factor, outputs)
        else:
            continue
        home, _, own = name.rpartition(".")
        setattr(module.get_submodule(home), own, made)
    return module


def randomise(module: Any, seed: int) -> Any:
    """Draw all weights and statistics of a module so that activations stay near one.

    Args:
        module: A `torch.nn.Module`, which is changed.
        seed: Of the weights.

    Returns:
        The module, in evaluation mode and without gradients.
    """
    random = load("torch").Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.ndim > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=random)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=random)
        elif name.endswith("weight"):
            tensor.uniform_(0.5, 1.5, generator=random)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.3, generator=random)
    return module.eval().requires_grad_(False)


def terms(precision: str, layout: str, exactness: str, differs: str = "") -> Terms:
    """Tell the terms of PyTorch on its device."""
    device = torch_device()
    return Terms(
        device=device,
        threads=f"{num_cores()}" if device == "cpu" else "of the device",
        precision=precision_label(precision, device),
        layout=layout,
        exactness=exactness,
        differs=differs,
    )


def own_terms(
    precision: str,
    layout: str,
    exactness: str,
    differs: str = "",
    *,
    convolves: bool = False,
) -> Terms:
    """Tell the terms of this library on the device of JAX.

    Args:
        precision: One of `PRECISIONS`.
        layout: Of its arrays.
        exactness: What its answer is.
        differs: What else is to be known.
        convolves: Whether it runs convolutions, of which there are several forms.
    """
    backend = jax.default_backend()
    winograd = convolves and backend == "cpu" and precision == "default"
    form = ", convolutions in Winograd's form where it is faster" if winograd else ""
    return Terms(
        device=jax.devices()[0].device_kind if backend != "cpu" else "cpu",
        threads=f"{num_cores()}" if backend == "cpu" else "of the device",
        precision=precision_label(precision, backend) + form,
        layout=layout,
        exactness=exactness,
        differs=differs,
    )


def precision_label(precision: str, device: str) -> str:
    """Say what a precision means on a device."""
    if precision == "default":
        return "float32" if device == "cpu" else "float32, products as the device does them"
    return "float32 throughout" if precision == "highest" else precision


def contender(
    name: str,
    run: Callable[[], Any],
    terms: Terms,
    *,
    library: str = "torch",
    share: float = 1.0,
    steps: Callable[[], float] | None = None,
) -> Contender:
    """Make a contender that PyTorch runs, without gradients."""
    torch = load("torch")

    def without_gradients() -> Any:
        with torch.inference_mode():
            return run()

    return Contender(
        name=name,
        library=library,
        run=without_gradients,
        wait=wait,
        terms=terms,
        share=share,
        steps=steps,
    )


@contextmanager
def same_terms(precision: str) -> Iterator[None]:
    """Give both libraries the same precision of products, and PyTorch all cores.

    Args:
        precision: "highest" for float32 throughout, "default" for what the device prefers (TF32 on
            GPUs, which PyTorch by itself takes for convolutions alone); "bfloat16" changes nothing
            here, since arrays then are of that type.
    """
    kept = jax.default_matmul_precision("highest" if precision == "highest" else "default")
    try:
        torch = load("torch")
    except MissingLibrary:
        with kept:
            yield
        return
    threads = torch.get_num_threads()
    switches = _precision_switches(torch)
    before = [getattr(owner, name) for owner, name, _ in switches]
    torch.set_num_threads(num_cores())
    try:
        for owner, name, values in switches:
            setattr(owner, name, values[precision != "highest"])
        with kept:
            yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)
        torch.set_num_threads(threads)


def _precision_switches(torch: Any) -> Sequence[tuple[Any, str, tuple[Any, Any]]]:
    """What decides on TF32: owner, attribute, and its values for none and for TF32."""
    matmul, convolution = torch.backends.cuda.matmul, getattr(torch.backends.cudnn, "conv", None)
    if convolution is not None and hasattr(matmul, "fp32_precision"):
        values = ("ieee", "tf32")
        return ((matmul, "fp32_precision", values), (convolution, "fp32_precision", values))
    return (
        (matmul, "allow_tf32", (False, True)),
        (torch.backends.cudnn, "allow_tf32", (False, True)),
    )
