"""The generator and the style networks again, in PyTorch: an oracle for tests.

The names in the state dictionaries are the published ones.
"""

import math

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]


class Bias(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.b = nn.Parameter(torch.zeros(units))

    def forward(self, maps):
        return maps + self.b[:, None, None]


class Block(nn.Module):
    def __init__(self, inputs, units, size, padding, *, gain=2**0.5, enlarge=1, slope=0.2):
        super().__init__()
        self.conv = nn.Conv2d(inputs, units, size, padding=padding, bias=False)
        self.wscale = Bias(units)
        self.scale, self.enlarge, self.slope = gain / (size * math.sqrt(inputs)), enlarge, slope

    def forward(self, maps):
        maps = maps * torch.rsqrt((maps**2).mean(1, keepdim=True) + 1e-8)
        if self.enlarge > 1:
            maps = functional.interpolate(maps, scale_factor=self.enlarge)
        return functional.leaky_relu(self.wscale(self.conv(maps) * self.scale), self.slope)


class ProgressiveGenerator(nn.Module):
    """Latents [B, Z] to images [B, 3, R, R]."""

    def __init__(self, sizes):
        super().__init__()
        blocks = [Block(sizes[0], sizes[1], 4, 3), Block(sizes[1], sizes[1], 3, 1)]
        for inputs, units in zip(sizes[1:], sizes[2:], strict=False):
            blocks += [Block(inputs, units, 3, 1, enlarge=2), Block(units, units, 3, 1)]
        for number, block in enumerate(blocks, 1):
            self.add_module(f"layer{number}", block)
        side = 2 ** len(sizes)
        self.add_module(f"output_{side}x{side}", Block(sizes[-1], 3, 1, 0, gain=1, slope=1))

    def forward(self, latents):
        maps = latents[:, :, None, None]
        for block in self.children():
            maps = block(maps)
        return maps


def rectified(inputs, units):
    return [nn.ReflectionPad2d(1), nn.Conv2d(inputs, units, 3), nn.ReLU()]


def adain_encoder(units):
    """`units` as in `jaxdissect.networks.models.adain.ENCODER`."""
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    inputs = 3
    for width in units:
        if width == "pool":
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        else:
            layers += rectified(inputs, width)
            inputs = width
    return nn.Sequential(*layers)


def adain_decoder(inputs, units):
    """`units` as in `jaxdissect.networks.models.adain.DECODER`."""
    layers = []
    for width in units:
        if width == "up":
            layers.append(nn.Upsample(scale_factor=2))
        else:
            layers += rectified(inputs, width)
            inputs = width
    return nn.Sequential(*layers[:-1])


def adain(content, style):
    mean, deviation, wanted_mean, wanted_deviation = (
        statistic
        for maps in (content, style)
        for statistic in (
            maps.mean((2, 3), keepdim=True),
            (maps.var((2, 3), keepdim=True) + 1e-5).sqrt(),
        )
    )
    return (content - mean) / deviation * wanted_deviation + wanted_mean
