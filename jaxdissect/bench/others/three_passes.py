"""A whole dissection against the usual three passes over the data, restated in plain PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.arrays.resampling import zero_border
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.others import pytorch
from jaxdissect.bench.others.libraries import load
from jaxdissect.bench.others.match import Contender, Match, unless_missing
from jaxdissect.dissection.presets import Preset
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.image_bytes import OF_FILES, Bytes
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.models.vgg import WIDTHS
from jaxdissect.networks.models.vgg16 import VGG16

LAYER = "features.relu5_3"
FADED = Preset("pnas2020, faded border", fraction=0.01, min_iou=0.04, border=zero_border)
"""The paper's convention, with maps that fade at the border, as the other reads them."""

CHANNELS, LABELS_PER_IMAGE = 6, 65
CHECKED = 64  # units that are checked by sorting
OURS, THEIRS = "jaxdissect", "three passes in PyTorch"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is dissected.

    Attributes:
        images: Of `image_size` pixels along each side, in memory.
        batch: Images of a forward pass.
        image_size: A multiple of 16.
        narrower: Divides the units of every layer, for tests.
        grid: Rows and columns of the label grid.
        concepts: How many there are, "none" included.
        precision: "highest" or "default".
        turns: How often each runs at most.
        seconds: After which no turn begins.
    """

    images: int = 16
    batch: int = 8
    image_size: int = 224
    narrower: int = 1
    grid: int = 56
    concepts: int = 1825
    precision: Literal["highest", "default"] = "default"
    turns: int = 7
    seconds: float = 120.0

    def __post_init__(self) -> None:
        if min(self.images, self.batch, self.narrower, self.grid, self.turns) < 1:
            raise ValueError(
                f"`images` (={self.images}), `batch` (={self.batch}), `narrower` "
                f"(={self.narrower}), `grid` (={self.grid}) and `turns` (={self.turns}) must be "
                "at least 1"
            )
        if self.image_size < 32 or self.image_size % 16:
            raise ValueError(
                f"`image_size` (={self.image_size}) must be a multiple of 16, 32 or more"
            )
        if self.concepts < 2:
            raise ValueError(f"`concepts` (={self.concepts}) must be at least 2")


class _InMemory:
    """Images of coarse noise as bytes, with labels in blocks."""

    thread_safe = True

    def __init__(self, sizes: Sizes) -> None:
        random = np.random.default_rng(0)
        number, size, grid = sizes.images, sizes.image_size, sizes.grid
        coarse = random.integers(0, 256, (number, size // 8, size // 8, 3), np.uint8)
        self.images = Bytes(coarse.repeat(8, axis=1).repeat(8, axis=2), OF_FILES)
        blocks = -(-grid // 8)
        chosen = random.integers(1, sizes.concepts, (number, LABELS_PER_IMAGE))
        places = random.integers(0, LABELS_PER_IMAGE, (number, blocks * blocks * CHANNELS))
        labels = np.take_along_axis(chosen, places, axis=1)
        labels = labels.reshape(number, blocks, blocks, CHANNELS).astype(np.int32)
        self.labels = labels.repeat(8, axis=1).repeat(8, axis=2)[:, :grid, :grid]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": np.asarray(self.images[index]), "labels": self.labels[index]}

    def read(self, first: int, last: int) -> dict[str, Any]:
        """Return the items from `first` up to, not including, `last`."""
        return {"image": np.asarray(self.images[first:last]), "labels": self.labels[first:last]}

    def read_as_bytes(self, first: int, last: int) -> dict[str, Any]:
        """Return the same with bytes for images, as files have them."""
        return {"image": self.images[first:last], "labels": self.labels[first:last]}


def dissection_match(sizes: Sizes) -> Match:
    """Prepare a dissection of VGG-16's last convolution, with random weights."""
    source = _InMemory(sizes)
    # What follows the layer is not run, and so is small.
    widths = tuple(width // sizes.narrower for width in WIDTHS)
    module = VGG16(2, widths=widths, hidden=2, rngs=nnx.Rngs(0))
    oracle: list[_Sorted] = []

    def theirs() -> Sequence[Contender]:
        load("torch")
        from jaxdissect.bench.others import three_pass_torch

        return _by_pytorch(three_pass_torch, module, source, sizes, oracle)

    others = unless_missing(THEIRS, "torch", theirs)

    def check(answers: Mapping[str, Any]) -> dict[str, Gate]:
        gates: dict[str, Gate] = {}
        for exact in oracle:
            gates |= exact.gates_of_ours(answers[OURS], sizes)
            if THEIRS in answers:
                gates |= exact.gates_of_theirs(answers[THEIRS])
        return gates

    return Match(
        title=f"Dissection of conv5_3 of VGG-16, {sizes.images} images of {sizes.image_size} x "
        f"{sizes.image_size} pixels, {sizes.concepts} concepts, grid {sizes.grid} x {sizes.grid}, "
        f"{sizes.precision} precision",
        unit="image",
        units=sizes.images,
        contenders=[_ours(module, source, sizes), *others],
        check=check,
        note="Three passes are the usual method, in our own plain restatement, neither tuned nor "
        "anybody's published program; a pass evaluates the network anew, the last one image by "
        f"image. Up to {LABELS_PER_IMAGE} different labels an image, {CHANNELS} a pixel: ratios "
        "depend on that. Most of the ratio is structure (one forward pass for three, counts for "
        "labels together), not JAX against PyTorch.",
    )


def _ours(module: VGG16, source: _InMemory, sizes: Sizes) -> Contender:
    concepts = vocabulary((f"concept {i}", "object") for i in range(1, sizes.concepts))
    labeler = annotated(concepts)

    def run() -> Dissection:
        return dissect(
            module,
            source,
            labeler,
            layers=LAYER,
            preset=FADED,
            grid=(sizes.grid, sizes.grid),
            batch_size=sizes.batch,
            num_top_images=min(100, sizes.images),
        )

    return Contender(
        name=OURS,
        library="jaxdissect",
        run=run,
        wait=lambda answer: None,  # results are on the host
        terms=pytorch.own_terms(
            sizes.precision,
            "channels last",
            "exact thresholds and counts",
            "bytes from host memory to results on the host",
            convolves=True,
        ),
    )


def _by_pytorch(
    three_pass_torch: ModuleType,
    module: VGG16,
    source: _InMemory,
    sizes: Sizes,
    oracle: list["_Sorted"],
) -> Sequence[Contender]:
    state: Any = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    weights = {
        name: (np.asarray(layer["kernel"]), np.asarray(layer["bias"]))
        for name, layer in state["features"].items()
        if name in three_pass_torch.WIDTHS
    }
    trunk = three_pass_torch.Trunk.from_numpy(weights, device=pytorch.torch_device())
    images = pytorch.placed(np.asarray(source.images), channels_first=True)
    labels = pytorch.placed(source.labels.astype(np.int64), channels_first=True)
    grid = (sizes.grid, sizes.grid)
    oracle.append(_Sorted.of(three_pass_torch, trunk, images, labels, sizes))

    def run() -> Any:
        return three_pass_torch.dissect(
            trunk,
            images,
            labels,
            grid=grid,
            batch_size=sizes.batch,
        )

    return [
        pytorch.contender(
            THEIRS,
            run,
            pytorch.terms(
                sizes.precision,
                "channels first",
                "thresholds from a quantile sketch, means in float32",
                "floats that are on the device already, to results there",
            ),
        )
    ]


@dataclass(frozen=True)
class _Sorted:
    """What sorting all pixels of some units in PyTorch finds.

    Attributes:
        units: Those that were sorted.
        values: All pixels of them, ascending, [pixels, units].
        levels: Their exact thresholds.
        shared: Pixels of each concept above them, [C, units].
    """

    units: np.ndarray
    values: np.ndarray
    levels: np.ndarray
    shared: np.ndarray

    @classmethod
    def of(
        cls, three_pass_torch: ModuleType, trunk: Any, images: Any, labels: Any, sizes: Sizes
    ) -> "_Sorted":
        torch = load("torch")
        grid = (sizes.grid, sizes.grid)
        with torch.inference_mode():
            parts = []
            units = np.array([], int)
            for batch in images.split(sizes.batch):
                found = trunk(batch)
                units = np.arange(0, found.shape[1], max(1, found.shape[1] // CHECKED))
                parts.append(three_pass_torch.upsample(found[:, units.tolist()], grid))
            maps = torch.cat(parts)
            levels = three_pass_torch.exact_levels(maps, FADED.fraction)
            means = three_pass_torch.ConditionalMeans()
            for image, segments in zip(maps.split(1), labels.split(1), strict=True):
                means.add(image > levels[:, None, None], segments)
            shared = np.zeros((sizes.concepts, maps.shape[1]))
            for label, mean in means.means.items():
                shared[label] = np.rint(means.pixels[label] * pytorch.host(mean.double()))
            values = pytorch.host(three_pass_torch.pixel_samples(maps).sort(0).values)
            return cls(units, values, pytorch.host(levels), shared)

    def gates_of_ours(self, found: Dissection, sizes: Sizes) -> dict[str, Gate]:
        """Compare exact thresholds and counts, which rounding of the maps alone may change."""
        layer = found.layers[LAYER]
        against = f"sorting and counting in PyTorch, {len(self.units)} units"
        in_float32 = jax.default_backend() == "cpu" or sizes.precision == "highest"
        scale = float(np.abs(self.levels).max())
        apart = float(np.abs(layer.thresholds[self.units] - self.levels).max()) / scale
        allowed = 1e-5 if in_float32 else 1e-2
        counts = layer.counts.intersection[:, self.units]
        near = (np.abs(self.values - self.levels) <= 2 * allowed * scale).sum(0)
        beyond = float(np.maximum(np.abs(counts - self.shared) - near, 0).max())
        return {
            f"{OURS}: thresholds": Gate(
                passed=apart <= allowed,
                against=against,
                difference=apart,
                tolerance=allowed,
                reason="the maps that are sorted come from another program, in the same precision",
            ),
            f"{OURS}: pixels that units share with concepts": Gate(
                passed=beyond == 0,
                against=against,
                difference=beyond,
                tolerance=0.0,
                reason="pixels, besides those that lie within rounding of a unit's threshold",
            ),
        }

    def gates_of_theirs(self, found: Mapping[str, Any]) -> dict[str, Gate]:
        """Find how many pixels really lie above the estimated thresholds."""
        levels = pytorch.host(found["level"])[self.units]
        above, wanted = ((self.values > each).mean(0) for each in (levels, self.levels))
        worst = float(np.abs(above - wanted).max())
        allowed = max(2e-3, 8 / len(self.values))
        return {
            f"{THEIRS}: share of pixels above thresholds": Gate(
                passed=worst <= allowed,
                against=f"sorting, {len(self.units)} units",
                difference=worst,
                tolerance=allowed,
                reason="a sketch estimates quantiles this well; few pixels come in steps",
            )
        }
