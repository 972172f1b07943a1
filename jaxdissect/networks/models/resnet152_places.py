"""ResNet-152, the deepest of the scene classifiers that the paper compares.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1, with the stride of a
block in its 3 x 3 convolution. Names are those of the published Places365 weights, which number
layers by their position.

Letters of shapes: B batch, h w layer grid, I channels in, U units, N classes.
"""

import re
from functools import partial

from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.models.layers import (
    PLACES365,
    Chain,
    ImageClassifier,
    Layer,
    batch_norm,
    max_pool,
    mean_of_cells,
    only_cell,
    units_in,
)
from jaxdissect.networks.models.residual import (
    Block,
    Filters,
    Sizes,
    bottleneck,
    convolution,
    projection,
    stages,
)
from jaxdissect.networks.weights.mapping import Arrays, Shapes

SIZES = Sizes(stem=(64,), widths=(64, 128, 256, 512), depths=(3, 8, 36, 3))
"""Units and depths of the published network."""

FIRST_STAGE = 4
"""Stages are the layers "4" to "7"."""

SIDES = range(193, 225)
"""Heights and widths of images that make the last stage 7 x 7, as the average pool expects; 224 in
training."""


class PlacesResNet152(ImageClassifier):
    """A convolution, four stages of residual blocks, an average and a linear map.

    Layers are `0` convolution, `1` normalisation, `2` ReLU, `3` pooling, `4` to `7` the stages, `8`
    average, `9` flattening, `10` linear map (`10.1`). Block B of stage S is `S.B`; within it
    `S.B.0.0` is its main branch (`0` convolution, `1` normalisation, `2` ReLU, ..., `7`
    normalisation), `S.B.0.1` the other one, `S.B.1` their sum and `S.B.2` its ReLU. So the outputs
    of stages and blocks are rectified; the numbers of the paper come from `7`.

    Args:
        num_classes: Classes, N.
        sizes: Units and depths.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, num_classes: int, *, sizes: Sizes = SIZES, rngs: nnx.Rngs):
        (stem,) = sizes.stem
        layers = {
            "0": convolution(3, Filters(stem, size=7, stride=2), rngs=rngs),
            "1": batch_norm(stem),
            "2": nnx.relu,
            "3": partial(max_pool, size=3, stride=2, padding=1),
        }
        inputs = stem
        for number, stage in enumerate(stages(bottleneck, sizes), FIRST_STAGE):
            blocks = {}
            for index, block in enumerate(stage):
                branches = Branches(inputs, block, project=index == 0, rngs=rngs)
                blocks[str(index)] = Chain({"0": branches, "1": Sum(), "2": nnx.relu})
                inputs = block[-1].units
            layers[str(number)] = Chain(blocks)
        layers |= {
            "8": mean_of_cells,
            "9": only_cell,
            "10": Chain({"0": nnx.identity, "1": nnx.Linear(inputs, num_classes, rngs=rngs)}),
        }
        super().__init__(layers, side=SIDES[-1], sides=SIDES)


class Branches(nnx.Module):
    """The two halves of a residual block: its convolutions `0`, and a shortcut `1`.

    Args:
        inputs: Channels in.
        block: The convolutions.
        project: Whether the shortcut is a convolution; without, it is the input.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, inputs: int, block: Block, *, project: bool, rngs: nnx.Rngs):
        units, main = inputs, {}
        for number, filters in enumerate(block):
            main[str(3 * number)] = convolution(units, filters, rngs=rngs)
            main[str(3 * number + 1)] = batch_norm(filters.units)
            main[str(3 * number + 2)] = nnx.relu
            units = filters.units
        main.popitem()  # the sum is rectified instead
        setattr(self, "0", Chain(main))
        shortcut = projection(inputs, block, rngs=rngs) if project else Layer(nnx.identity)
        setattr(self, "1", shortcut)

    def __call__(
        self, inputs: Float[Array, "B H W I"]
    ) -> tuple[Float[Array, "B h w U"], Float[Array, "B h w U"]]:
        return getattr(self, "0")(inputs), getattr(self, "1")(inputs)


class Sum(nnx.Module):
    """The sum of two branches, as a layer."""

    def __call__(
        self, branches: tuple[Float[Array, "B h w U"], Float[Array, "B h w U"]]
    ) -> Float[Array, "B h w U"]:
        return branches[0] + branches[1]


def from_shapes(shapes: Shapes, *, rngs: nnx.Rngs | None = None) -> PlacesResNet152:
    """Build the network in the sizes of some weights, given PyTorch's names and shapes.

    Sizes that cannot be read are the published ones. `rngs` are those of the initial parameters.
    """
    widths = tuple(
        units_in(shapes, f"{stage}.0.0.0.0.weight", width)
        for stage, width in enumerate(SIZES.widths, FIRST_STAGE)
    )
    sizes = SIZES._replace(stem=(units_in(shapes, "0.weight", SIZES.stem[0]),), widths=widths)
    return PlacesResNet152(
        units_in(shapes, "10.1.weight", PLACES365),
        sizes=sizes,
        rngs=nnx.Rngs(0) if rngs is None else rngs,
    )


OUTSIDE = {"conv1": "0", "bn1": "1", "fc": "10.1"}
"""Layers outside of the stages, by their names in torchvision."""


def reference_names(arrays: Arrays) -> Arrays:
    """Rename weights in the naming of torchvision; others are returned as they are.

    Args:
        arrays: Weights by name, such as "layer1.0.conv1.weight" or "4.0.0.0.0.weight".
    """
    return {_numbered(name): array for name, array in arrays.items()}


def torchvision_names(arrays: Arrays) -> Arrays:
    """Rename weights whose layers are numbered to torchvision's names; the inverse of the above.

    Args:
        arrays: Weights by name, such as "4.0.0.0.0.weight"; those of other networks keep theirs.
    """
    if "4.0.0.0.0.weight" not in arrays:
        return dict(arrays)
    return {_torchvision_name(name): array for name, array in arrays.items()}


def _numbered(name: str) -> str:
    layer, _, own = name.rpartition(".")
    block = re.fullmatch(r"layer([1-4])\.(\d+)\.(conv|bn|downsample\.)(\d)", layer)
    if layer in OUTSIDE:
        return f"{OUTSIDE[layer]}.{own}"
    if not block:
        return name
    stage, index, kind, number = block.groups()
    branch = {
        "conv": f"0.{3 * int(number) - 3}",
        "bn": f"0.{3 * int(number) - 2}",
        "downsample.": f"1.{number}",
    }[kind]
    return f"{int(stage) + FIRST_STAGE - 1}.{index}.0.{branch}.{own}"


def _torchvision_name(name: str) -> str:
    layer, _, own = name.rpartition(".")
    block = re.fullmatch(r"([4-7])\.(\d+)\.0\.([01])\.(\d+)", layer)
    for theirs, ours in OUTSIDE.items():
        if layer == ours:
            return f"{theirs}.{own}"
    if not block:
        return name
    stage, index, branch, position = block.groups()
    within = f"downsample.{position}"
    if branch == "0":
        within = f"{('conv', 'bn', 'relu')[int(position) % 3]}{int(position) // 3 + 1}"
    return f"layer{int(stage) - FIRST_STAGE + 1}.{index}.{within}.{own}"
