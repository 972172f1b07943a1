"""Compare every layer of a network with the layer of the same name of a PyTorch module.

In float64, where rounding cannot hide a difference: through many layers, that of float32 grows to
more than 1e-5.
"""

from functools import partial

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.weights.mapping import with_parameters


def channels_first(images):
    return torch.tensor(np.moveaxis(np.asarray(images), -1, 1).copy())


def randomise(module, images, seed=0):
    """Draw all parameters of a module, and take the statistics of normalisations from images."""
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1 and parameter.numel() > parameter.shape[0]:
            deviation = (2 / parameter[0].numel()) ** 0.5
            torch.nn.init.normal_(parameter, 0, deviation, generator=draw)
        else:
            low, high = (-0.5, 0.5) if name.endswith("bias") else (0.5, 1.5)
            torch.nn.init.uniform_(parameter, low, high, generator=draw)
    normalisations = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for layer in normalisations:
        layer.momentum = 1
        layer.train()
    with torch.no_grad():
        module(channels_first(images))
    return module.eval()


def arrays_of(module):
    """The state of a module, as a file would hold it."""
    return {name: value.numpy() for name, value in module.state_dict().items() if value.ndim}


def compare_layers(theirs, build, images, *, tolerance=1e-9, arrays=None):
    """Check the output and every layer, relative to the largest value of each.

    Args:
        theirs: The module of PyTorch.
        build: Makes ours.
        images: Inputs of both, channels last.
        tolerance: How much of the largest value they may differ by.
        arrays: Weights of ours, if not those of `theirs` under their own names.

    Returns:
        Names of the layers of ours.
    """
    theirs, found = theirs.double(), {}
    arrays = arrays_of(theirs) if arrays is None else arrays
    images = np.asarray(images, np.float64)

    def keep(name):
        # Copied, because the next layer may overwrite it in place.
        return lambda _, __, output: found.update({name: output.detach().clone().numpy()})

    hooks = [m.register_forward_hook(keep(name)) for name, m in theirs.named_modules() if name]
    with torch.no_grad():
        found[""] = theirs(channels_first(images)).numpy()
    for hook in hooks:
        hook.remove()
    # Flax's normalisation of cells promotes to float32 at least.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        network = NnxNetwork(with_parameters(build, arrays, dtype=np.float64))
        run = jax.jit(partial(network.apply, layers=network.layer_names))
        output, layers = run(network.params, images)
    for name, actual in {**layers, "": output}.items():
        want, actual = found[name], np.asarray(actual)
        if want.shape != actual.shape:
            actual = np.moveaxis(actual, -1, 1)
        bound = tolerance * np.abs(want).max()
        np.testing.assert_allclose(actual, want, rtol=0, atol=bound, err_msg=name, strict=True)
    return network.layer_names
