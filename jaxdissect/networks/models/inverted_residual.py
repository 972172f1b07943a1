"""The block of mobile networks: more units, a filter for each of them, and fewer units again.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, section 3.3. A
block is described by its sizes (`Inverted`). `InvertedResidual` has the names of torchvision;
networks whose parameters have other names make their blocks of `inverted_convolutions`.

Letters of shapes: B batch, H W input, h w output, I channels in, U units.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D, Padding
from jaxdissect.networks.models.layers import Chain, batch_norm

Normalise = Callable[[int], nnx.Module]
"""Makes the normalisation of so many units."""


class Inverted(NamedTuple):
    """The sizes of a block.

    Attributes:
        units: Channels out.
        expansion: Channels within, in multiples of the channels in; 1 for no expansion.
        size: Rows and columns of the depthwise kernels.
        stride: Steps of the depthwise kernels down and across.
        dilation: Steps between the places that they read.
    """

    units: int
    expansion: int = 6
    size: int = 3
    stride: int = 1
    dilation: int = 1


class InvertedConvolutions(NamedTuple):
    """The convolutions of a block.

    Attributes:
        expand: 1 x 1, to the channels within; None where there is no expansion.
        depthwise: A kernel for every channel.
        project: 1 x 1, to the channels out.
    """

    expand: Conv2D | None
    depthwise: Conv2D
    project: Conv2D


def centred(size: int, dilation: int = 1) -> Padding:
    """As many zeros on every side as keep the size, for kernels of odd size: PyTorch's padding."""
    zeros = dilation * (size // 2)
    return ((zeros, zeros), (zeros, zeros))


def inverted_convolutions(
    inputs: int,
    block: Inverted,
    *,
    use_bias: bool = False,
    padding: Padding | None = None,
    rngs: nnx.Rngs,
) -> InvertedConvolutions:
    """Make the convolutions of a block.

    Args:
        inputs: Channels in.
        block: Sizes.
        use_bias: Whether convolutions have biases, as where normalisations are folded into them.
        padding: Of the depthwise convolution; by default `centred`. TensorFlow's is "SAME".
        rngs: Stream of the initial parameters.
    """
    within = inputs * block.expansion
    edge = centred(block.size, block.dilation) if padding is None else padding
    expand = None
    if block.expansion != 1:
        expand = Conv2D(inputs, within, (1, 1), use_bias=use_bias, rngs=rngs)
    depthwise = Conv2D(
        within,
        within,
        (block.size, block.size),
        strides=(block.stride, block.stride),
        padding=edge,
        dilation=block.dilation,
        groups=within,
        use_bias=use_bias,
        rngs=rngs,
    )
    project = Conv2D(within, block.units, (1, 1), use_bias=use_bias, rngs=rngs)
    return InvertedConvolutions(expand, depthwise, project)


def adds_input(inputs: int, block: Inverted) -> bool:
    """Whether a block's output has the size of its input, which is then added to it."""
    return block.stride == 1 and block.units == inputs


class InvertedResidual(nnx.Module):
    """A block with the names of torchvision.

    `conv.0` is the expansion (`conv.0.0` convolution, `conv.0.1` normalisation, `conv.0.2` ReLU6),
    where there is one, the next number the depthwise convolution with the same three, the next the
    projection, and the last its normalisation, which nothing follows. Without normalisation those
    names are missing, and convolutions have biases. The output has the input added, where both have
    the same size.

    Args:
        inputs: Channels in.
        block: Sizes.
        normalise: Makes a normalisation, given its units; None where it is folded into the weights.
        padding: As in `inverted_convolutions`.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        inputs: int,
        block: Inverted,
        *,
        normalise: Normalise | None = batch_norm,
        padding: Padding | None = None,
        rngs: nnx.Rngs,
    ):
        made = inverted_convolutions(
            inputs, block, use_bias=normalise is None, padding=padding, rngs=rngs
        )
        steps: list[Any] = [
            Chain(normalised(convolution, normalise, nnx.relu6))
            for convolution in (made.expand, made.depthwise)
            if convolution is not None
        ]
        steps += normalised(made.project, normalise).values()
        self.conv = Chain({str(number): step for number, step in enumerate(steps)})
        self.adds_input = adds_input(inputs, block)

    def __call__(self, inputs: Float[Array, "B H W I"]) -> Float[Array, "B h w U"]:
        outputs = self.conv(inputs)
        return inputs + outputs if self.adds_input else outputs


def normalised(
    convolution: Conv2D,
    normalise: Normalise | None = batch_norm,
    activation: Callable[[Array], Array] | None = None,
) -> Mapping[str, Any]:
    """Name a convolution "0", its normalisation "1" if any, and what follows it "2" if anything."""
    layers: dict[str, Any] = {"0": convolution}
    if normalise is not None:
        layers["1"] = normalise(convolution.kernel.shape[-1])
    if activation is not None:
        layers["2"] = activation
    return layers
