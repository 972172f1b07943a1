"""One convolution after a ReLU, by jaxdissect's own form of it or by XLA's.

What `jaxdissect.networks.convolution` chooses on a processor, Winograd's form for wide layers and
sums of shifted products where every channel has a kernel of its own, is to be faster than what XLA
does there. A suite asks for both rows; elsewhere they are one and the same program.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxdissect.bench.checking.float64 import in_float64
from jaxdissect.bench.checking.gate import Gate, within
from jaxdissect.bench.checking.precisions import check_precision, tolerance_of, traced_in
from jaxdissect.bench.work_counting import count_work
from jaxdissect.bench.workload import Prepared, Program, Workload
from jaxdissect.networks.convolution import conv2d

FORMS = ("library", "xla")
"""Who convolves."""


@dataclass(frozen=True, kw_only=True)
class ConvolutionSizes:
    """Sizes of a convolution; the default is one of VGG-16's widest.

    Attributes:
        form: One of `FORMS`.
        batch: Images.
        side: Height and width of the maps.
        channels: Channels in.
        units: Channels out; as many as in where 0.
        kernel: Height and width of the kernel, odd.
        stride: Steps down and across.
        depthwise: Whether every channel has a kernel of its own.
        precision: One of `jaxdissect.bench.checking.precisions.PRECISIONS`.
    """

    form: str = "library"
    batch: int = 8
    side: int = 28
    channels: int = 512
    units: int = 0
    kernel: int = 3
    stride: int = 1
    depthwise: bool = False
    precision: str = "default"

    def __post_init__(self) -> None:
        check_precision(self.precision)
        if self.form not in FORMS:
            raise ValueError(f"`form` (={self.form!r}) must be one of: {', '.join(FORMS)}")
        for name in ("batch", "side", "channels", "kernel", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if self.kernel % 2 == 0:
            raise ValueError(f"`kernel` (={self.kernel}) must be odd")
        if self.units < 0 or (self.depthwise and self.units not in (0, self.channels)):
            raise ValueError(
                f"`units` (={self.units}) must be positive, or 0 for as many as channels, which "
                "is what a depthwise convolution has"
            )


def prepare_convolution(sizes: ConvolutionSizes) -> Prepared:
    """Make maps, a kernel and the program."""
    random = np.random.default_rng(0)
    inputs = 1 if sizes.depthwise else sizes.channels
    shape = (sizes.kernel, sizes.kernel, inputs, sizes.units or sizes.channels)
    kernel = random.standard_normal(shape, np.float32)
    kernel /= np.float32(np.sqrt(sizes.kernel**2 * inputs))
    maps_shape = (sizes.batch, sizes.side, sizes.side, sizes.channels)
    maps = random.standard_normal(maps_shape, np.float32)
    dtype = jax.numpy.bfloat16 if sizes.precision == "bfloat16" else jax.numpy.float32
    program = jax.jit(traced_in(sizes.precision, _convolved(sizes, sizes.form)))
    arguments = jax.device_put((maps.astype(dtype), kernel.astype(dtype)))
    counts = count_work(program, *arguments)
    chosen = sorted({0, sizes.batch - 1})

    def check(answer: Float[Array, "B h w O"]) -> Gate:
        expected = in_float64(_convolved(sizes, "xla"), arguments[0][np.array(chosen)], kernel)
        tolerance = tolerance_of(sizes.precision)
        return within(
            np.asarray(answer[np.array(chosen)], np.float64),
            expected,
            tolerance.share,
            reason=tolerance.reason,
            against=f"float64, as a matrix product of what every output reads, images {chosen}",
        )

    return Prepared(
        images=sizes.batch,
        work=counts.as_work(),
        check=check,
        program=Program(function=program, arguments=arguments),
    )


def _convolved(sizes: ConvolutionSizes, form: str) -> Callable[[Array, Array], Array]:
    strides, before = (sizes.stride, sizes.stride), sizes.kernel // 2
    padding = ((before, before), (before, before))
    groups = sizes.channels if sizes.depthwise else 1

    def library(maps: Array, kernel: Array) -> Array:
        rectified = jax.nn.relu(maps)
        return conv2d(rectified, kernel, strides=strides, padding=padding, groups=groups)

    def xla(maps: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(
            jax.nn.relu(maps),
            kernel,
            strides,
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    return library if form == "library" else xla


CONVOLUTION = Workload(
    name="convolution",
    summary="one convolution after a ReLU, by the library's form of it or by XLA's",
    sizes=ConvolutionSizes,
    prepare=prepare_convolution,
)
