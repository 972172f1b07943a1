"""The generator of a DCGAN, a description of transposed convolutions.

Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", ICLR 2016, section 3 and figure 1; names and numbers of layers are those of an
`nn.Sequential` called `main`, as in PyTorch's tutorial and the many programs that follow it.
"""

import re
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from jaxdissect.networks.models.described_generator import (
    ConvolveTransposed,
    DescribedGenerator,
    Normalise,
    Part,
    Rectify,
)
from jaxdissect.networks.weights.mapping import Arrays, Shapes
from jaxdissect.networks.weights.stored import brief, brief_list

PUBLISHED_UNITS = (512, 256, 128, 64, 3)
"""What the convolutions of the tutorial's generator give, the last one colors."""


def from_shapes(
    shapes: Shapes,
    *,
    strides: Sequence[int] | None = None,
    slope: float = 0.0,
    last: Callable[[Array], Array] = jnp.tanh,
    pixel_range: tuple[float, float] = (-1.0, 1.0),
    rngs: nnx.Rngs | None = None,
) -> DescribedGenerator:
    """Make the generator that fits some weights, given PyTorch's names and shapes.

    The first convolution makes maps of its kernel's size of a latent; the others multiply height
    and width by their strides. Normalisation stands where the weights have it, a rectifier in the
    free place before each convolution, and a function of colors after the last one. Neither
    strides nor functions are in the weights: where yours are others than the tutorial's, say so,
    as in ``load_network("dcgan", FILE, strides=(2, 2, 2), slope=0.2)``.

    Args:
        shapes: PyTorch's names and shapes; none for the generator of the tutorial.
        strides: Of every convolution but the first. Left out, kernels of even size double height
            and width, and those of 1 x 1, or of 3 x 3 at the end, keep them.
        slope: Of the ReLUs for negative inputs, 0.2 where they are leaky.
        last: Gives the colors, such as `jax.nn.sigmoid`.
        pixel_range: The colors of black and of white, (0, 1) with a sigmoid.
        rngs: Stream of the initial parameters.

    Raises:
        ValueError: If there are no such convolutions, one after the other, no place for a ReLU is
            left between two of them, or `strides` are missing or do not fit the kernels.
    """
    if not shapes:
        shapes = _published_shapes()
    own = {name.removeprefix("main."): shape for name, shape in shapes.items()}
    kernels = {
        int(found[1]): shape
        for name, shape in own.items()
        if len(shape) == 4 and (found := re.fullmatch(r"(\d{1,3})\.weight", str(name)))
    }
    numbers = sorted(kernels)
    if not numbers or numbers[0] != 0:
        raise ValueError(
            "the weights of a DCGAN must have `main.0.weight`, `main.3.weight`, ... with 4 axes, "
            "from which sizes are read; they have: "
            + (brief_list(f"{name} {brief(shape)}" for name, shape in shapes.items()) or "none")
        )
    steps = _strides([max(kernels[place][2:]) for place in numbers], strides)
    parts: dict[str, Part] = {}
    for place in range(numbers[-1] + 1):
        if place in kernels:
            _, units, size, _ = kernels[place]
            stride, use_bias = steps[numbers.index(place)], f"{place}.bias" in own
            wider = 0 if place == 0 else size - stride
            padding, more = wider // 2 + wider % 2, wider % 2
            parts[str(place)] = ConvolveTransposed(units, size, stride, padding, use_bias, more)
        elif f"{place}.running_mean" in own:
            parts[str(place)] = Normalise()
        else:
            parts[str(place)] = Rectify(slope)
    rectified = [place for place in range(numbers[-1]) if not _has_weights(own, place)]
    if [sum(place < number for place in rectified) for number in numbers] != [*range(len(numbers))]:
        raise ValueError(
            "the weights of a DCGAN must leave one place between two convolutions free, that of a "
            "ReLU as in 0, 1, (2), 3, 4, (5), ...; those with weights here are: "
            + ", ".join(str(place) for place in range(numbers[-1] + 1) if _has_weights(own, place))
            + "; describe another generator as a DescribedGenerator"
        )
    parts[str(numbers[-1] + 1)] = last
    return DescribedGenerator(
        kernels[0][0], {"main": parts}, pixel_range=pixel_range, rngs=rngs or nnx.Rngs(0)
    )


def _strides(sizes: Sequence[int], strides: Sequence[int] | None) -> tuple[int, ...]:
    """Strides of convolutions by the sizes of their kernels, as given or as they are by custom."""
    if strides is None:
        odd = [size for size in sizes[1:-1] if size % 2 and size > 1]
        odd += [size for size in sizes[1:][-1:] if size % 2 and size > 3]
        if odd:
            raise ValueError(
                f"`strides` are needed: the weights of this DCGAN have kernels of {odd[0]} x "
                f"{odd[0]}, and do not tell whether these keep the size of maps (stride 1) or "
                f"double it (2); give those of the {len(sizes) - 1} after the first, as "
                f"in load_network('dcgan', FILE, strides={(2,) * (len(sizes) - 1)})"
            )
        return (1, *(1 if size % 2 else 2 for size in sizes[1:]))
    if len(strides) != len(sizes) - 1:
        raise ValueError(
            f"`strides` (={tuple(strides)}) must be one for each of the {len(sizes) - 1} "
            "convolutions after the first"
        )
    for stride, size in zip(strides, sizes[1:], strict=True):
        if not 1 <= stride <= size or (stride == 1 and size % 2 == 0):
            raise ValueError(
                f"`strides` (={tuple(strides)}) do not fit: a kernel of {size} x {size} cannot "
                f"multiply the size of maps by {stride}"
            )
    return (1, *strides)


def reference_names(arrays: Arrays) -> Arrays:
    """Call the row of layers `main`, whatever it is called: `0.weight`, `net.0.weight`, ....

    Args:
        arrays: Weights by name.
    """
    found = [re.fullmatch(r"(.*\.)?(\d{1,3}\.\w+)", name) for name in arrays]
    if not all(found) or len({match[1] for match in found if match}) != 1:
        return dict(arrays)
    return {
        f"main.{match[2]}": array
        for match, array in zip(found, arrays.values(), strict=True)
        if match
    }


def _has_weights(shapes: Shapes, place: int) -> bool:
    return f"{place}.weight" in shapes or f"{place}.running_mean" in shapes


def _published_shapes() -> Shapes:
    shapes, inputs = {}, 100
    for number, units in enumerate(PUBLISHED_UNITS):
        shapes[f"main.{3 * number}.weight"] = (inputs, units, 4, 4)
        if units != PUBLISHED_UNITS[-1]:
            shapes[f"main.{3 * number + 1}.running_mean"] = (units,)
        inputs = units
    return shapes
