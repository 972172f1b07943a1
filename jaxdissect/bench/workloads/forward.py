"""The forward pass of a network, one batch in one program, with a layer kept or none.

It is most of the time of a dissection of one layer, and the workload that other benchmarks have
too. The answer is compared with float64, for the first and the last image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxdissect.bench.checking.float64 import in_float64
from jaxdissect.bench.checking.gate import Gate, within
from jaxdissect.bench.checking.precisions import (
    check_precision,
    network_in,
    tolerance_of,
    traced_in,
)
from jaxdissect.bench.work_counting import count_work
from jaxdissect.bench.workload import Prepared, Program, Workload
from jaxdissect.bench.workloads.seeded_networks import check_network, make_inputs, make_network
from jaxdissect.networks.network import as_network


@dataclass(frozen=True, kw_only=True)
class ForwardSizes:
    """Sizes of a forward pass.

    Attributes:
        network: One of `jaxdissect.bench.workloads.seeded_networks.SEEDED`.
        batch: Images.
        image_size: Their height and width.
        precision: One of `jaxdissect.bench.checking.precisions.PRECISIONS`.
        layer: Whose activations are returned beside the output; none where empty.
        narrower: What all widths are divided by, for quick rows.
    """

    network: str = "vgg16"
    batch: int = 32
    image_size: int = 224
    precision: str = "default"
    layer: str = ""
    narrower: int = 1

    def __post_init__(self) -> None:
        check_network(self.network, self.image_size, self.narrower)
        check_precision(self.precision)
        if self.batch < 1:
            raise ValueError(f"`batch` (={self.batch}) must be at least 1")


def prepare_forward(sizes: ForwardSizes) -> Prepared:
    """Make the network, its inputs and its program."""
    plain = as_network(make_network(sizes.network, sizes.image_size, sizes.narrower))
    network = network_in(plain, sizes.precision)
    layers = (sizes.layer,) if sizes.layer else ()
    inputs = make_inputs(sizes.network, sizes.image_size, sizes.narrower, sizes.batch)
    forward = jax.jit(traced_in(sizes.precision, _forward(network, layers)))
    arguments = jax.device_put((network.params, inputs))
    counts = count_work(forward, *arguments)
    chosen = sorted({0, sizes.batch - 1})

    def check(answer: Any) -> Gate:
        expected = in_float64(_forward(plain, layers), plain.params, inputs[chosen])
        tolerance = tolerance_of(sizes.precision)
        return within(
            jax.tree.map(lambda array: np.asarray(array[np.array(chosen)], np.float64), answer),
            expected,
            tolerance.share,
            reason=tolerance.reason,
            against=f"float64, operation by operation, images {chosen}",
        )

    return Prepared(
        images=sizes.batch,
        work=counts.as_work(),
        check=check,
        program=Program(function=forward, arguments=arguments),
        notes={
            "parameters": int(sum(leaf.size for leaf in jax.tree.leaves(plain.params))),
            "GFLOP per image": counts.products / sizes.batch / 1e9,
        },
    )


def _forward(network: Any, layers: tuple[str, ...]) -> Callable[[Any, Any], Any]:
    def forward(params: Any, inputs: Any) -> Any:
        return network.apply(params, inputs, layers=layers)

    return forward


FORWARD = Workload(
    name="forward",
    summary="the forward pass of a network, one batch in one program",
    sizes=ForwardSizes,
    prepare=prepare_forward,
)
