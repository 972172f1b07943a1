"""The whole of a dissection: images in, thresholds, counts and IoU of every unit out.

From images in the memory of the host, and from JPEG files with label maps: what the devices take,
and what a user waits for. Labels are drawn.

Letters: C concepts, U units, K labels per pixel.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.measuring.analysis import analyse
from jaxdissect.bench.workload import Prepared, Work, Workload
from jaxdissect.bench.workloads import trunk
from jaxdissect.bench.workloads.dissection_gate import Checked, check_dissection
from jaxdissect.bench.workloads.drawn_values import at_least, drawn_labels
from jaxdissect.bench.workloads.made_images import InMemory, make_files
from jaxdissect.bench.workloads.trunk import LAYERS, Trunk
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.labelers import annotated
from jaxdissect.engine.meter import Meter
from jaxdissect.networks.network import Network, as_network
from jaxdissect.networks.precision import in_precision


@dataclass(frozen=True, kw_only=True)
class DissectionSizes:
    """Sizes of `dissection`.

    Attributes:
        images: Images.
        batch_size: Images in a forward pass.
        layers: The last layer alone, or all 13.
        input: Images in the memory of the host, as bytes, or files: JPEG of 375 x 500 pixels and
            a PNG for each label channel.
        kept: Whether activations may be kept in device memory, as much as the library chooses, or
            nothing, so that the network runs again in every pass.
        weights: "whole" makes the answer the same on every device; see `trunk`.
        precision: What the network computes in.
        image_size: Pixels of an image along each side, a multiple of 16.
        grid: Pixels of the label grid along each side.
        width: Units of the first block; 64 is VGG-16's.
        concepts: C, with "none".
        channels: K.
        labels_per_image: About as many different labels an image has.
    """

    images: int = 64
    batch_size: int = 8
    layers: Literal["conv5_3", "all"] = "conv5_3"
    input: Literal["memory", "files"] = "memory"
    kept: bool = True
    weights: trunk.Weights = "whole"
    precision: Literal["highest", "default", "bfloat16"] = "default"
    image_size: int = 224
    grid: int = 56
    width: int = 64
    concepts: int = 1825
    channels: int = 6
    labels_per_image: int = 65

    def __post_init__(self) -> None:
        at_least(
            images=self.images,
            batch_size=self.batch_size,
            grid=self.grid,
            width=self.width,
            channels=self.channels,
            labels_per_image=self.labels_per_image,
        )
        if self.image_size < 16 or self.image_size % 16:
            raise ValueError(f"`image_size` (={self.image_size}) must be a multiple of 16")
        if self.concepts < 2:
            raise ValueError(f"`concepts` (={self.concepts}) must be at least 2, with 'none'")


class LayerAnswer(NamedTuple):
    """What a dissection has found of a layer: thresholds [U], and pixels [C, U] and [C]."""

    thresholds: np.ndarray
    shared: np.ndarray
    concept: np.ndarray


def prepare(sizes: DissectionSizes) -> Prepared:
    """Make images, labels and the network."""
    layers = LAYERS if sizes.layers == "all" else LAYERS[-1:]
    labels = drawn_labels(
        sizes.images,
        sizes.grid,
        concepts=sizes.concepts,
        channels=sizes.channels,
        labels_per_image=sizes.labels_per_image,
    )
    files = make_files(sizes.images, labels) if sizes.input == "files" else None
    if files is not None:
        source: Any = files.source(sizes.image_size)
    else:
        source = InMemory(sizes.images, sizes.image_size, labels)
    labeler = annotated(vocabulary((f"concept {i}", "object") for i in range(1, sizes.concepts)))
    network = _network(sizes)
    notes: dict[str, Any] = {} if files is None else {"bytes of a file": files.bytes // len(source)}

    def dissected(*, kept: bool, progress: Meter) -> tuple[str, dict[str, LayerAnswer]]:
        with in_precision_of(sizes.precision):
            result = dissect(
                network,
                source,
                labeler,
                layers=layers,
                grid=(sizes.grid, sizes.grid),
                batch_size=sizes.batch_size,
                memory_budget=None if kept else 0,
                progress=progress,
            )
        return re.split("[:;]", str(result.settings["memory"]))[0], {
            name: LayerAnswer(layer.thresholds, layer.counts.intersection, layer.counts.concept)
            for name, layer in result.layers.items()
        }

    def run() -> dict[str, LayerAnswer]:
        meter = Meter()
        memory, answer = dissected(kept=sizes.kept, progress=meter)
        found = meter.summary()
        notes.update(
            {
                "memory": memory,
                "passes": len(meter.passes),
                "forward passes per image": round(found.forward_passes, 3),
                "waiting for data": round(found.waiting, 3),
                "bytes moved per image": round(found.bytes_moved),
                "seconds by pass": [
                    [part.description, round(part.seconds, 4)] for part in meter.passes
                ],
            }
        )
        return answer

    def check(answer: dict[str, LayerAnswer]) -> Gate:
        with in_precision_of(sizes.precision):
            return check_dissection(
                Checked(
                    network=network,
                    exact=_exact_network(sizes),
                    source=source,
                    labeler=labeler,
                    labels=labels,
                    layers=layers,
                    grid=sizes.grid,
                    batch_size=sizes.batch_size,
                    concepts=sizes.concepts,
                    files=None if files is None else files.source(sizes.image_size).image_files,
                ),
                answer,
                # Kept or not, all units must be the same.
                None if sizes.kept else dissected(kept=True, progress=Meter())[1],
            )

    def analysed() -> Work:
        image = np.zeros((sizes.batch_size, sizes.image_size, sizes.image_size, 3), np.float32)
        with in_precision_of(sizes.precision):
            forward = jax.jit(
                lambda params, images: network.activations(params, images, layers=layers)
            )
            arguments = (network.params, jnp.asarray(image))
            once = analyse(forward, arguments, forward.lower(*arguments).compile())
        batches = float(notes["forward passes per image"]) * sizes.images / sizes.batch_size
        return Work(
            products=once.products * batches,
            operations=once.operations * batches,
            bytes=once.bytes * batches,
            counted=f"{notes['forward passes per image']} forward passes of every image, by XLA's "
            "cost_analysis of one batch; the programs that search and count are left out, as they "
            "loop",
        )

    return Prepared(
        images=sizes.images,
        work=least_work(sizes),
        check=check,
        run=run,
        analysed=analysed,
        notes=notes,
        devices=1,
    )


def _network(sizes: DissectionSizes) -> Network:
    module = Trunk(width=sizes.width, weights=sizes.weights)
    if sizes.precision == "bfloat16":
        return in_precision(module, jnp.bfloat16)
    return as_network(module)


def _exact_network(sizes: DissectionSizes) -> Network | None:
    """The same network with XLA's own convolutions, whose whole numbers are exact."""
    if sizes.weights != "whole":
        return None
    return as_network(Trunk(width=sizes.width, weights=sizes.weights, convolve=trunk.xla_conv2d))


@contextmanager
def in_precision_of(precision: str) -> Iterator[None]:
    """Let products be as precise as a row says; bfloat16 is the network's own matter."""
    if precision == "bfloat16":
        yield
        return
    with jax.default_matmul_precision(precision):
        yield


def least_work(sizes: DissectionSizes) -> Work:
    """Count by hand what a dissection must do at least.

    One forward pass where activations are kept; two where nothing is, since thresholds must be
    known before pixels are counted. Exact thresholds need one comparison for every unit and pixel
    of the grid, and each value there costs two linear interpolations, of rows and of columns.
    """
    convolutions = trunk.shapes(sizes.width, sizes.image_size)
    chosen = convolutions if sizes.layers == "all" else convolutions[-1:]
    forwards = 1 if sizes.kept else 2
    batches = -(-sizes.images // sizes.batch_size)
    products = sum(2 * 9 * side**2 * inputs * units for side, inputs, units in convolutions)
    outputs = sum(side**2 * units for side, _, units in convolutions)
    read = sum(side**2 * inputs for side, inputs, _ in convolutions)
    weights = sum(9 * inputs * units for _, inputs, units in convolutions)
    width_of_number = 2 if sizes.precision == "bfloat16" else 4
    grid, pixels = sizes.grid, sizes.grid**2
    # Rows first: three operations for each value of [G, w], then of [G, G].
    searched = sum((3 * grid * side + 3 * pixels + 2 * pixels) * units for side, _, units in chosen)
    maps = sum(side**2 * units for side, _, units in chosen)
    units = sum(units for _, _, units in chosen)
    return Work(
        products=float(forwards * sizes.images * products),
        operations=float(sizes.images * (forwards * outputs + searched)),
        bytes=float(
            forwards * (sizes.images * width_of_number * (outputs + read) + batches * 4 * weights)
            + sizes.images * (4 * maps + pixels * sizes.channels * 2)
            + 8 * sizes.concepts * units
        ),
        counted=f"{forwards} forward {'pass' if forwards == 1 else 'passes'} of every image (each "
        "convolution reads its input and writes its output, weights once a batch), the layers read "
        "once more, interpolated and compared with a threshold, labels read and counts written. "
        "Left out: decoding, what is between host and device, and any further pass",
    )


DISSECTION = Workload(
    name="dissection",
    summary="A whole dissection of the convolutions of VGG-16, one layer or all 13.",
    sizes=DissectionSizes,
    prepare=prepare,
)
