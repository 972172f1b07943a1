"""The usual three-pass network dissection, restated in plain PyTorch as a baseline.

Network dissection is commonly run as three walks over the data set, each evaluating the network
anew: (1) upsample the activations to the label grid and feed every pixel to a quantile sketch,
(2) keep the images with the highest peaks, (3) mark the pixels above the level and average the
marks once per label of the image, which gives intersection over union (Bau et al., PNAS 2020).
This is a restatement of the method, neither tuned nor hobbled, not anyone's released program: the
stages may be faster or slower there. Each is a function or class, so that it can be timed alone.

Arrays are NCHW. Letters: B batch, N images, Y X image size, U units, h w layer grid, H W label
grid, K labels per pixel, C labels, n samples, Q probabilities, k images kept per unit.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypedDict

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from jaxtyping import Bool, Float, Int
from torch import Tensor  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

WIDTHS = {
    f"conv{block}_{index}": width
    for block, (width, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1)
    for index in range(1, depth + 1)
}


class Trunk:
    """The 13 convolutions of VGG-16, up to and including conv5_3 and its ReLU.

    Args:
        weights: layer name, as in `WIDTHS`, to (kernel [out, in, 3, 3], bias [out]) of any width.

    Raises:
        ValueError: If the names are not exactly those of `WIDTHS`.
    """

    def __init__(self, weights: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        if set(weights) != set(WIDTHS):
            raise ValueError(f"`weights` (={sorted(weights)}) must name exactly {list(WIDTHS)}")
        self.weights = dict(weights)

    @classmethod
    def from_numpy(
        cls, weights: Mapping[str, tuple[np.ndarray, np.ndarray]], *, device: str = "cpu"
    ) -> "Trunk":
        """Take kernels laid out [3, 3, in, out], as JAX keeps them, and biases [out]."""
        tensors = {}
        for name, (kernel, bias) in weights.items():
            tensors[name] = (
                torch.tensor(kernel.transpose(3, 2, 0, 1), device=device),
                torch.tensor(bias, device=device),
            )
        return cls(tensors)

    def __call__(self, images: Float[Tensor, "B 3 Y X"]) -> Float[Tensor, "B U h w"]:
        """Return the rectified conv5_3 activations; h = Y // 16 and w = X // 16."""
        features = images
        for name in WIDTHS:
            if name.endswith("_1") and name != "conv1_1":
                features = functional.max_pool2d(features, 2)
            kernel, bias = self.weights[name]
            features = functional.conv2d(features, kernel, bias, padding=1).relu_()
        return features


def upsample(maps: Float[Tensor, "B U h w"], grid: tuple[int, int]) -> Float[Tensor, "B U H W"]:
    """Interpolate maps to `grid` (H, W) bilinearly between pixel centres, with zeros outside.

    Output row t reads source row (t + 1/2) h / H - 1/2. The zeros dim the border: from 14 to 56
    pixels the outermost row keeps 0.625 of the border value.
    """
    axes = []
    for source, target in zip(maps.shape[2:], grid, strict=True):
        pixel = (torch.arange(target, dtype=torch.float64) + 0.5) * source / target - 0.5
        axes.append(2 * pixel / max(1, source - 1) - 1)
    y, x = torch.meshgrid(axes, indexing="ij")
    points = torch.stack([x, y], -1).to(maps).expand(len(maps), -1, -1, -1)
    return functional.grid_sample(maps, points, padding_mode="zeros", align_corners=True)


def exact_levels(maps: Float[Tensor, "N U H W"], fraction: float = 0.01) -> Float[Tensor, " U"]:
    """Sort all pixels: the least value that at most a share of them exceed, unit by unit."""
    ascending = pixel_samples(maps).sort(0).values
    return ascending[len(ascending) - 1 - int(fraction * len(ascending) + 1e-6)]


def pixel_samples(maps: Float[Tensor, "B U H W"]) -> Float[Tensor, "n U"]:
    """View every pixel as one sample, n = B H W, stored unit by unit as the sketch reads them."""
    return maps.movedim(1, 0).flatten(1).T


class QuantileSketch:
    """Estimate quantiles of a stream, unit by unit, in bounded memory.

    A sketch in the manner of Karnin, Lang and Liberty (FOCS 2016). A sample in level i stands for
    2^i samples. A full level is sorted and every second sample moves up; when the last level can
    take no more, all levels are halved where they are and one of 0.67 times the capacity is put
    in front. One random bit serves all units. Quantiles are exact until the first level overflows.

    Args:
        resolution: half the capacity of the first level, in samples per unit.
        seed: of the random bits.
    """

    def __init__(self, *, resolution: int = 3072, seed: int = 0) -> None:
        self.levels: list[Tensor] = []  # each [U, samples held], the front one first
        self._largest = 2 * resolution
        self._lowest, self._highest = torch.empty(0), torch.empty(0)
        self._generator = torch.Generator().manual_seed(seed)

    def add(self, samples: Float[Tensor, "n U"]) -> None:
        """Take in n samples of every unit; fastest when each unit's samples lie together."""
        columns = samples.T
        lowest, highest = columns.aminmax(dim=1)
        first = not self.levels
        self._lowest = lowest if first else torch.minimum(self._lowest, lowest)
        self._highest = highest if first else torch.maximum(self._highest, highest)
        self.levels = self.levels or [columns[:, :0]]
        while columns.shape[1]:
            if not self._room(0):
                self._empty(0)
            taken, columns = columns.tensor_split([self._room(0)], 1)
            self.levels[0] = torch.cat([self.levels[0], taken], 1)

    def quantile(self, probabilities: Float[Tensor, " Q"]) -> Float[Tensor, "U Q"]:
        """Interpolate the values at `probabilities`, each in [0, 1].

        The i-th smallest retained sample, of weight w_i, sits at (w_1 + ... + w_i - w_i / 2) / W
        with W the total weight (Hazen's rule); the exact extremes sit at 0 and 1.
        """
        device = self.levels[0].device
        held = torch.tensor([level.shape[1] for level in self.levels], device=device)
        values, order = torch.cat(self.levels, 1).sort(1)
        weight = (
            (2.0 ** torch.arange(len(held), device=device)).double().repeat_interleave(held)[order]
        )
        position = (weight.cumsum(1) - weight / 2) / weight[:1].sum()
        position = functional.pad(functional.pad(position, (1, 0)), (0, 1), value=1.0)
        values = torch.cat([self._lowest[:, None], values, self._highest[:, None]], 1).double()

        wanted = probabilities.double().expand(len(values), -1).contiguous()
        above = torch.searchsorted(position, wanted).clamp(1, position.shape[1] - 1)
        left, right = position.gather(1, above - 1), position.gather(1, above)
        low, high = values.gather(1, above - 1), values.gather(1, above)
        return (low + (high - low) * (wanted - left) / (right - left)).float()

    def _room(self, index: int) -> int:
        levels_behind = len(self.levels) - 1 - index
        capacity = 8 * math.ceil(self._largest * 0.67**levels_behind / 8)
        return max(capacity, min(128, math.ceil(self._largest / 8))) - self.levels[index].shape[1]

    def _half(self, level: Tensor) -> Tensor:
        offset = int(torch.randint(2, (), generator=self._generator))  # on the host, for all units
        return level.sort(1).values[:, offset::2].contiguous()

    def _empty(self, index: int) -> None:
        """Move half of level `index` up; if no level above has room, put a new one in front."""
        depth = len(self.levels)
        if index == depth - 1:
            self.levels = [self._half(level) for level in self.levels]
            self.levels.insert(0, self.levels[0][:, :0])
        elif self._room(index + 1) < math.ceil(self.levels[index].shape[1] / 2):
            self._empty(index + 1)
        if len(self.levels) == depth:  # otherwise there is room in front now
            moved = self._half(self.levels[index])
            self.levels[index + 1] = torch.cat([self.levels[index + 1], moved], 1)
            self.levels[index] = moved[:, :0]


class TopK:
    """Keep, for every unit, the `k` images in which its peak activation is highest."""

    def __init__(self, k: int = 100) -> None:
        self.k, self._seen = k, 0
        self._values, self._images = torch.empty(0), torch.empty(0)

    def add(self, maxima: Float[Tensor, "B U"]) -> None:
        """Take in the spatial maxima of the next B images, which are numbered as they come."""
        first, self._seen = self._seen, self._seen + len(maxima)
        images = torch.arange(first, self._seen, device=maxima.device)[:, None].expand_as(maxima)
        if first:
            maxima = torch.cat([self._values, maxima])
            images = torch.cat([self._images, images])
        self._values, order = maxima.topk(min(self.k, len(maxima)), dim=0)
        self._images = images.gather(0, order)

    def result(self) -> tuple[Float[Tensor, "U k"], Int[Tensor, "U k"]]:
        """Return peaks, highest first, and image numbers; k is smaller if fewer were seen."""
        return self._values.T, self._images.T


class ConditionalMeans:
    """Average an indicator over the pixels of each label, one label at a time; 0 is every pixel.

    A pixel with several labels counts for each of them, once even for a label that it has twice.
    """

    def __init__(self) -> None:
        self.pixels: dict[int, int] = defaultdict(int)
        self.means: dict[int, Tensor] = {}

    def add(self, indicator: Bool[Tensor, "B U H W"], labels: Int[Tensor, "B K H W"]) -> None:
        """Take in the marks (0 or 1) of a batch and its integer labels (0 = none)."""
        rows = indicator.permute(0, 2, 3, 1).flatten(0, 2).to(torch.float32).contiguous()
        channels = labels.movedim(1, 0).flatten(1)
        self._merge(0, rows)
        present = torch.bincount(channels.flatten())[1:].nonzero().flatten() + 1
        for label in present.tolist():
            self._merge(label, rows[(channels == label).any(0)])

    def iou(self, num_labels: int) -> Float[Tensor, "C U"]:
        """Return m g / (a + g - m g) for labels 0 to C - 1; row 0 is the share of marks.

        Here g is a label's share of pixels, m the mean over them, a the mean over all pixels. An
        absent label scores 0, or NaN for a unit with no marks.
        """
        active = self.means[0]
        share = torch.zeros(num_labels, 1, device=active.device)
        intersection = torch.zeros(num_labels, len(active), device=active.device)
        for label, mean in self.means.items():
            share[label] = self.pixels[label] / self.pixels[0]
            intersection[label] = mean * share[label]
        return intersection / (active[None] + share - intersection)

    def _merge(self, label: int, rows: Tensor) -> None:
        self.pixels[label] += len(rows)
        mean = self.means.get(label, torch.zeros(rows.shape[1], device=rows.device))
        self.means[label] = mean + (rows.mean(0) - mean) * (len(rows) / self.pixels[label])


class Dissection(TypedDict):
    """What the three passes find, and the seconds spent in each stage of each pass."""

    level: Float[Tensor, " U"]
    top_images: Int[Tensor, "U k"]
    iou: Float[Tensor, "C U"]
    seconds: dict[str, float]


def dissect(
    trunk: Callable[[Tensor], Tensor],
    images: Float[Tensor, "N 3 Y X"],
    labels: Int[Tensor, "N K H W"],
    *,
    fraction: float = 0.01,
    grid: tuple[int, int] = (56, 56),
    batch_size: int = 10,
    synchronize: Callable[[], None] = lambda: None,
) -> Dissection:
    """Run the three passes over images held in memory.

    Args:
        trunk: images to activations, such as a `Trunk`.
        images: normalised network inputs.
        labels: 0 = none; the largest one sets C - 1, the last row of the result.
        fraction: share of pixels above each unit's level, in (0, 1).
        grid: (H, W), to which activations are upsampled.
        batch_size: images per batch in passes 1 and 2; pass 3 takes them one at a time.
        synchronize: returns when the device has done all it was given, so that each stage is told
            its own seconds; by default nothing is waited for, and stages are right on CPUs alone.

    Raises:
        ValueError: If `labels` do not cover every image at the size of `grid`.
    """
    if (len(labels), *labels.shape[2:]) != (len(images), *grid):
        raise ValueError(f"`labels` (={tuple(labels.shape)}) must be ({len(images)}, K, *{grid})")
    sketch, peaks, means = QuantileSketch(), TopK(), ConditionalMeans()
    seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        synchronize()
        seconds[stage] += time.perf_counter() - start

    for batch in images.split(batch_size):
        with timed("pass 1: forward"):
            maps = trunk(batch)
        with timed("pass 1: upsample"):
            maps = upsample(maps, grid)
        with timed("pass 1: quantile"):
            sketch.add(pixel_samples(maps))
    with timed("pass 1: quantile"):
        level = sketch.quantile(torch.tensor([1 - fraction], device=images.device))[:, 0]

    for batch in images.split(batch_size):
        with timed("pass 2: forward"):
            maps = trunk(batch)
        with timed("pass 2: top images"):
            peaks.add(maps.amax((2, 3)))

    for image, segments in zip(images.split(1), labels.split(1), strict=True):
        with timed("pass 3: forward"):
            maps = trunk(image)
        with timed("pass 3: upsample"):
            maps = upsample(maps, grid)
        with timed("pass 3: conditional means"):
            means.add(maps > level[:, None, None], segments)
    iou = means.iou(int(labels.max()) + 1)
    return Dissection(level=level, top_images=peaks.result()[1], iou=iou, seconds=dict(seconds))
