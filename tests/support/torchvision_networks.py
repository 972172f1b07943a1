"""Networks of torchvision and timm with random weights, and what each of their layers outputs."""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


def narrowed(network, factor):
    """Divide the units of every layer, but for the classes, by a factor."""
    linear_maps = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d):
            inputs = layer.in_channels if layer.in_channels == 3 else layer.in_channels // factor
            units, bias = layer.out_channels // factor, layer.bias is not None
            sizes: Any = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            made = nn.Conv2d(inputs, units, *sizes, bias=bias)
        elif isinstance(layer, nn.BatchNorm2d):
            made = nn.BatchNorm2d(layer.num_features // factor)
        elif isinstance(layer, nn.Linear):
            last = layer is linear_maps[-1]
            outputs = layer.out_features if last else layer.out_features // factor
            made = nn.Linear(layer.in_features // factor, outputs)
        else:
            continue
        home, _, own = name.rpartition(".")
        setattr(network.get_submodule(home), own, made)
    return network


def randomised(network, seed=0):
    """Draw all weights and statistics, so that activations stay near one, for evaluation."""
    random = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.ndim > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=random)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=random)
        elif name.endswith("weight"):
            tensor.uniform_(0.5, 1.5, generator=random)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.3, generator=random)
    return network.eval()


def outputs_of(network, images):
    """Run a network of PyTorch, and keep what its modules output.

    Args:
        network: The network.
        images: NumPy floats [B, H, W, 3].

    Returns:
        The scores, and what every module outputs, channels last, by the names used here: a ReLU
        that is called several times is `relu1`, `relu2`, ... and the last time `relu`.
    """
    calls = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # or what was kept of the layer before would be rectified

        def keep(layer, inputs, output, name=name):
            calls.setdefault(name, []).append(output.clone())  # blocks add to it in place

        layer.register_forward_hook(keep)
    with torch.inference_mode():
        scores = network(torch.from_numpy(np.moveaxis(images, -1, 1).copy()))
    outputs = {}
    for name, found in calls.items():
        for number, output in enumerate(found, 1):
            own = name if number == len(found) else f"{name}{number}"
            outputs[own] = np.moveaxis(output.numpy(), 1, -1)
    del outputs[""]
    return scores.numpy(), outputs
