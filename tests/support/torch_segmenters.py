"""The two segmentation networks again, in PyTorch: an oracle for tests.

The names in the state dictionaries are the published ones.
"""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from jaxdissect.arrays.roi_pool import bin_weights

POOL_SIZES = (1, 2, 3, 6)


def convolution(inputs, units, size, stride=1, dilation=1):
    padding = dilation * (size // 2)
    return nn.Conv2d(inputs, units, size, stride, padding, dilation, bias=False)


def rectified(inputs, units, size=3):
    return nn.Sequential(convolution(inputs, units, size), nn.BatchNorm2d(units), nn.ReLU())


def resize(maps, shape):
    return functional.interpolate(maps, size=tuple(shape), mode="bilinear", align_corners=False)


class Block(nn.Module):
    """Convolutions, given as (units, size, stride, dilation), and a shortcut."""

    def __init__(self, inputs, filters):
        super().__init__()
        units = inputs
        for number, (outputs, *geometry) in enumerate(filters, 1):
            self.add_module(f"conv{number}", convolution(units, outputs, *geometry))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
            units = outputs
        self.depth, self.downsample = len(filters), None
        stride = max(stride for _, _, stride, _ in filters)
        if stride > 1 or units != inputs:
            self.downsample = nn.Sequential(
                convolution(inputs, units, 1, stride), nn.BatchNorm2d(units)
            )

    def forward(self, inputs):
        units = inputs
        for number in range(1, self.depth + 1):
            units = functional.relu(units) if number > 1 else units
            units = self.get_submodule(f"conv{number}")(units)
            units = self.get_submodule(f"bn{number}")(units)
        shortcut = inputs if self.downsample is None else self.downsample(inputs)
        return functional.relu(units + shortcut)


def bottleneck(width, stride, dilations):
    del dilations
    return [(width, 1, 1, 1), (width, 3, stride, 1), (4 * width, 1, 1, 1)]


def basic(width, stride, dilations):
    return [(width, 3, stride, dilations[0]), (width, 3, 1, dilations[1])]


class Encoder(nn.Module):
    """Stages are given as (depth, stride, dilation of the first convolution, of all others)."""

    def __init__(self, block, stages, width):
        super().__init__()
        inputs = 3
        for number, units in enumerate((width, width, 2 * width), 1):
            stride = 2 if number == 1 else 1
            self.add_module(f"conv{number}", convolution(inputs, units, 3, stride))
            self.add_module(f"bn{number}", nn.BatchNorm2d(units))
            inputs = units
        self.widths = []
        for number, (depth, stride, first, other) in enumerate(stages):
            blocks = []
            for index in range(depth):
                filters = block(
                    width * 2**number,
                    1 if index else stride,
                    (other if index else first, other),
                )
                blocks.append(Block(inputs, filters))
                inputs = filters[-1][0]
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
            self.widths.append(inputs)

    def forward(self, images):
        units = images
        for number in (1, 2, 3):
            units = self.get_submodule(f"conv{number}")(units)
            units = functional.relu(self.get_submodule(f"bn{number}")(units))
        units = functional.max_pool2d(units, 3, 2, 1)
        stages = []
        for number in (1, 2, 3, 4):
            units = self.get_submodule(f"layer{number}")(units)
            stages.append(units)
        return stages


def precise_roi_pool(maps, size):
    rows, columns = (
        torch.from_numpy(bin_weights(cells, size)).to(maps) for cells in maps.shape[2:]
    )
    return rows @ maps @ columns.T


def head(width, units):
    return nn.Sequential(rectified(width, width), nn.Conv2d(width, units, 1))


class UPerNetDecoder(nn.Module):
    def __init__(self, widths, width, objects, part_sizes, materials, scenes):
        super().__init__()
        self.part_sizes = list(part_sizes)
        self.ppm_conv = nn.ModuleList(rectified(widths[3], width, 1) for _ in POOL_SIZES)
        self.ppm_last_conv = rectified(widths[3] + 4 * width, width)
        self.fpn_in = nn.ModuleList(rectified(units, width, 1) for units in widths[:3])
        self.fpn_out = nn.ModuleList(nn.Sequential(rectified(width, width)) for _ in range(3))
        self.conv_fusion = rectified(4 * width, width)
        self.scene_head = nn.Sequential(
            rectified(width, width), nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, scenes, 1)
        )
        self.object_head = head(width, objects)
        self.part_head = head(width, sum(self.part_sizes))
        self.material_head = head(width, materials)

    def forward(self, stages, grid):
        coarsest = stages[3]
        levels = [coarsest]
        for size, convolve in zip(POOL_SIZES, self.ppm_conv, strict=True):
            pooled = precise_roi_pool(coarsest, size)
            levels.append(convolve(resize(pooled, coarsest.shape[2:])))
        merged = self.ppm_last_conv(torch.cat(levels, 1))
        scenes = self.scene_head(merged).flatten(1)
        pyramid = [merged]
        for index in (2, 1, 0):
            inside = self.fpn_in[index](stages[index])
            merged = inside + resize(merged, inside.shape[2:])
            pyramid.insert(0, self.fpn_out[index](merged))
        fused = self.conv_fusion(
            torch.cat([resize(level, pyramid[0].shape[2:]) for level in pyramid], 1)
        )
        objects, parts, materials = (
            resize(logits, grid)
            for logits in (
                self.object_head(fused),
                self.part_head(fused),
                self.material_head(pyramid[0]),
            )
        )
        return (
            objects.softmax(1),
            tuple(group.softmax(1) for group in parts.split(self.part_sizes, 1)),
            materials.softmax(1),
            scenes.softmax(1),
        )


class UPerNet(nn.Module):
    """Unified parsing on a ResNet-50; gives objects, parts, materials [B, C, H, W], scenes."""

    def __init__(
        self,
        part_sizes,
        *,
        width=64,
        fusion_width=512,
        depths=(3, 4, 6, 3),
        objects=336,
        materials=26,
        scenes=365,
    ):
        super().__init__()
        stages = [(depth, 2 if number else 1, 1, 1) for number, depth in enumerate(depths)]
        self.encoder = Encoder(bottleneck, stages, width)
        self.decoder = UPerNetDecoder(
            self.encoder.widths, fusion_width, objects, part_sizes, materials, scenes
        )

    def forward(self, images, grid):
        return self.decoder(self.encoder(images), grid)


class PyramidPoolingDecoder(nn.Module):
    def __init__(self, widths, width, classes):
        super().__init__()
        self.ppm = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), *rectified(widths[3], width, 1))
            for size in POOL_SIZES
        )
        self.cbr_deepsup = rectified(widths[2], widths[3] // 4)
        self.conv_last = nn.Sequential(
            *rectified(widths[3] + 4 * width, width),
            nn.Dropout2d(0.1),
            nn.Conv2d(width, classes, 1),
        )
        self.conv_last_deepsup = nn.Conv2d(widths[3] // 4, classes, 1)

    def forward(self, stages):
        coarsest = stages[3]
        levels = [resize(pool(coarsest), coarsest.shape[2:]) for pool in self.ppm]
        main = self.conv_last(torch.cat([coarsest, *levels], 1))
        return main, self.conv_last_deepsup(self.cbr_deepsup(stages[2]))


class PyramidPoolingNetwork(nn.Module):
    """Colors by pyramid pooling on a dilated ResNet-18; gives probabilities [B, C, H, W]."""

    def __init__(self, *, width=64, fusion_width=512, depths=(2, 2, 2, 2), classes=11):
        super().__init__()
        geometry = ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4))
        stages = [(depth, *rest) for depth, rest in zip(depths, geometry, strict=True)]
        self.encoder = Encoder(basic, stages, width)
        self.decoder = PyramidPoolingDecoder(self.encoder.widths, fusion_width, classes)

    def forward(self, images, grid):
        main, _ = self.decoder(self.encoder(images))
        return resize(main, grid).softmax(1)

    def training_scores(self, images):
        return tuple(logits.log_softmax(1) for logits in self.decoder(self.encoder(images)))


def with_weights(module, arrays):
    """Fill a module, and put it in evaluation mode."""
    tensors = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
    missing, unexpected = module.load_state_dict(tensors, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return module.eval()
