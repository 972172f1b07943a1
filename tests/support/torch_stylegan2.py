"""StyleGAN2 again, in PyTorch, from the equations of the papers: an oracle for tests.

Every image has kernels of its own here, as in equations 1 and 3 of Karras et al., "Analyzing and
Improving the Image Quality of StyleGAN", CVPR 2020, and maps are doubled by zeros between cells.
Parameters have the published names.
"""

import math

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]


def lowpass():
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return line[:, None] * line[None, :]


def filtered(maps, weights, padding):
    """Convolve each channel alone, with zeros around (before, after)."""
    units = maps.shape[1]
    before, after = padding
    maps = functional.pad(maps, (before, after, before, after))
    kernel = weights.flip(0, 1).expand(units, 1, *weights.shape)
    return functional.conv2d(maps, kernel, groups=units)


def doubled(image, weights):
    batch, units, height, width = image.shape
    spread = torch.zeros(batch, units, 2 * height, 2 * width, dtype=image.dtype)
    spread[:, :, ::2, ::2] = image
    return filtered(spread, 4 * weights, (2, 1))


def rectified(maps):
    return math.sqrt(2) * functional.leaky_relu(maps, 0.2)


class Equalised(nn.Module):
    def __init__(self, inputs, units, rate=1.0, rectify=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, inputs) / rate)
        self.bias = nn.Parameter(torch.randn(units) / rate)
        self.rate, self.rectify = rate, rectify

    def forward(self, values):
        weight = self.weight * self.rate / math.sqrt(self.weight.shape[1])
        values = functional.linear(values, weight, self.rate * self.bias)
        return rectified(values) if self.rectify else values


def kernels(weight, style, demodulate):
    """[B, U, I, kh, kw]."""
    own = weight[None] * style[:, None, :, None, None]
    if demodulate:
        own = own / torch.sqrt((own**2).sum((2, 3, 4), keepdim=True) + 1e-8)
    return own


class Styled(nn.Module):
    noise_const: torch.Tensor
    resample_filter: torch.Tensor

    def __init__(self, inputs, units, side, styles, up):
        super().__init__()
        self.up = up
        self.affine = Equalised(styles, inputs)
        self.weight = nn.Parameter(torch.randn(units, inputs, 3, 3))
        self.bias = nn.Parameter(torch.randn(units))
        self.noise_strength = nn.Parameter(torch.randn(()))
        self.register_buffer("noise_const", torch.randn(side, side))
        self.register_buffer("resample_filter", lowpass())

    def forward(self, maps, style, noise):
        made = []
        for one, kernel in zip(maps, kernels(self.weight, self.affine(style), True), strict=True):
            if self.up:
                one = functional.conv_transpose2d(one[None], kernel.transpose(0, 1), stride=2)
                made.append(filtered(one, 4 * self.resample_filter, (1, 1)))
            else:
                made.append(functional.conv2d(one[None], kernel, padding=1))
        maps = torch.cat(made)
        if noise == "const":
            maps = maps + self.noise_const * self.noise_strength
        return rectified(maps + self.bias[:, None, None])


class ToColors(nn.Module):
    def __init__(self, inputs, styles):
        super().__init__()
        self.affine = Equalised(styles, inputs)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.randn(3))

    def forward(self, maps, style):
        own = kernels(self.weight / math.sqrt(maps.shape[1]), self.affine(style), False)
        return torch.einsum("buiyx,bihw->buhw", own, maps) + self.bias[:, None, None]


class Block(nn.Module):
    def __init__(self, inputs, units, side, styles):
        super().__init__()
        self.register_buffer("resample_filter", lowpass())
        if inputs is None:
            self.const = nn.Parameter(torch.randn(units, 4, 4))
        else:
            self.conv0 = Styled(inputs, units, side, styles, up=True)
        self.conv1 = Styled(units, units, side, styles, up=False)
        self.torgb = ToColors(units, styles)

    def forward(self, maps, image, styles, noise):
        """`styles`: those of its convolutions, and of its colors."""
        if image is None:
            maps = self.const.expand(len(styles[0]), *self.const.shape)
        else:
            maps = self.conv0(maps, styles[0], noise)
            image = doubled(image, self.resample_filter)
        maps = self.conv1(maps, styles[-2], noise)
        colors = self.torgb(maps, styles[-1])
        return maps, colors if image is None else image + colors


class Mapping(nn.Module):
    def __init__(self, latent, styles, layers):
        super().__init__()
        for number in range(layers):
            width = styles if number else latent
            self.add_module(f"fc{number}", Equalised(width, styles, 0.01, rectify=True))
        self.register_buffer("w_avg", torch.randn(styles))

    def forward(self, latents):
        values = latents / torch.sqrt((latents**2).mean(1, keepdim=True) + 1e-8)
        for layer in self.children():
            values = layer(values)
        return values


class Synthesis(nn.Module):
    def __init__(self, sizes, styles):
        super().__init__()
        self.b4 = Block(None, sizes[0], 4, styles)
        for level, (inputs, units) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
            self.add_module(f"b{4 << level}", Block(inputs, units, 4 << level, styles))

    def forward(self, styles, noise="const"):
        """`styles` [B, L, W]."""
        maps = image = None
        place = 0
        for block in self.children():
            convolutions = 1 if image is None else 2
            own = [styles[:, place + i] for i in range(convolutions + 1)]
            maps, image = block(maps, image, own, noise)
            place += convolutions
        return image


class StyleGAN2(nn.Module):
    """Latents [B, Z] to images [B, 3, R, R]."""

    def __init__(self, sizes, latent, styles, layers):
        super().__init__()
        self.mapping = Mapping(latent, styles, layers)
        self.synthesis = Synthesis(sizes, styles)

    def forward(self, latents, truncation=1.0, noise="const"):
        style = self.mapping(latents)
        style = self.mapping.w_avg + truncation * (style - self.mapping.w_avg)
        number = 2 * len(list(self.synthesis.children()))
        return self.synthesis(style[:, None].expand(-1, number, -1), noise)
