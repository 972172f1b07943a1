"""A trained segmenter of photographs as its owner would write it: ESPNetv2 in plain JAX functions.

Nothing here knows of jaxdissect, so the tests that dissect with it see what any user brings.
Mehta et al., "ESPNetv2: A Light-weight, Power Efficient, and General Purpose Convolutional Neural
Network", CVPR 2019, at twice its usual width; trained on the 20 objects of PASCAL VOC.

Parameters are a tree of dictionaries, keyed by the parts of the names of the published tensors.
Depthwise and grouped convolutions are sums of products, on a CPU several times faster than the
grouped convolutions of XLA.

Letters of shapes: B batch, H W grid of the input of a function, h w of its output, U units.
"""

import math
import re
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

Params = Any
"""A tree of arrays; kernels are HWIO, and all that is per unit is [1, 1, 1, U]."""

NUM_CLASSES = 21
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Dilations of the four branches of a block: kernels span 3, 5, 7, 9 cells, but those wider than
# a level allows span 3.
_WIDE, _NARROW = (1, 2, 3, 4), (1, 1, 2, 3)
_SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)
_LEAST = 5  # cells on a side of the coarsest grid of a pyramid
_EPSILON = 1e-5
# Levels of several blocks of one form, whose arrays are stacked for a loop over them.
_REPEATED = ("level3", "level4")


def read_parameters(folder: Path) -> Params:
    """Read the weights of `espnetv2_s_2.0_pascal_384x384.npz` in `folder`.

    Batch normalization in inference form is an affine map of each unit, so its four statistics
    become ``scale`` and ``shift``.
    """
    with np.load(folder / "espnetv2_s_2.0_pascal_384x384.npz") as file:
        arrays = {_renamed(name): file[name] for name in file.files}
    tree: Params = {}
    for name, array in arrays.items():
        *path, kind = name.split(".")
        if kind == "running_mean":
            inside = ".".join(path)
            gamma, beta, mean, variance = (
                arrays[f"{inside}.{statistic}"].astype(np.float64)
                for statistic in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gamma / np.sqrt(variance + _EPSILON)
            put = {"scale": scale, "shift": beta - mean * scale}
        elif array.ndim == 4:
            put = {"kernel": array.transpose(2, 3, 1, 0)}
        elif path[-1] == "act" or path[-1].endswith("_act"):
            put = {"slope": array}
        elif f"{'.'.join(path)}.running_mean" in arrays:
            continue
        else:
            put = {"bias": array}
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        for key, value in put.items():
            shape = value.shape if value.ndim == 4 else (1, 1, 1, -1)
            node[key] = jnp.asarray(value.reshape(shape), jnp.float32)
    for level in _REPEATED:
        blocks = tree["base_net"][level]
        in_order = [blocks[str(index)] for index in range(len(blocks))]
        tree["base_net"][level] = jax.tree.map(lambda *arrays: jnp.stack(arrays), *in_order)
    return tree


def _renamed(name: str) -> str:
    """Name the steps of the decoder as those of the encoder are named."""
    name = re.sub(r"\bcbr\.0\b", "conv", name)
    name = re.sub(r"\b(cbr\.1|br\.0|(?<=bu_br_l\d\.)0)\b", "bn", name)
    return re.sub(r"\b(cbr\.2|br\.1|(?<=bu_br_l\d\.)1)\b", "act", name)


def read_classes(folder: Path) -> tuple[str, ...]:
    """Read the names of the classes in the order of the logits, the background first."""
    return tuple((folder / "labels_voc21.txt").read_text().split())


def preprocess(images: Float[Array, "B H W 3"]) -> Float[Array, "B H W 3"]:
    """Turn RGB in [0, 1] into network input: the mean and deviation of ImageNet."""
    mean, deviation = (jnp.asarray(v, images.dtype).reshape(1, 1, 1, 3) for v in (MEAN, DEVIATION))
    return (images - mean) / deviation


def segment(
    params: Params,
    inputs: Float[Array, "B H W 3"],
    *,
    rows: Int[np.ndarray, "h"] | None = None,
    columns: Int[np.ndarray, "w"] | None = None,
) -> Float[Array, "B h w 21"]:
    """Return the logits of all classes at the pixels of the images, or at chosen ones.

    Args:
        params: From `read_parameters`.
        inputs: From `preprocess`; sides are multiples of 32.
        rows, columns: Rows and columns of pixels to give; all when None.
    """
    levels = encode(params["base_net"], inputs)
    return _enlarged(decode(params, levels), inputs.shape[1:3], rows, columns)


def encode(params: Params, inputs: Float[Array, "B H W 3"]) -> list[Float[Array, "B h w U"]]:
    """Return the units of four levels, at a half, a quarter, an eighth and a sixteenth."""
    levels = [_convolved(params["level1"], inputs, stride=2)]
    smaller = _averaged(inputs)
    for number in (2, 3, 4):
        smaller = _averaged(smaller)
        units = _halved(params[f"level{number}_0"], levels[-1], smaller)
        name = f"level{number}"
        if name in _REPEATED:
            dilations = _WIDE if number < 4 else _NARROW
            units = lax.scan(partial(_refined, dilations), units, params[name])[0]
        levels.append(units)
    return levels


def decode(params: Params, levels: list[Float[Array, "B H W _"]]) -> Float[Array, "B h w 21"]:
    """Return logits at the first level from the units of all."""
    first, *finer = reversed(levels)
    units = _pyramid(params["bu_dec_l1"], first)
    for number, level in enumerate(finer, start=2):
        gated = _gated(params[f"merge_enc_dec_l{number}"], level)
        units = gated + _enlarged(units, level.shape[1:3])
        units = _normalized(params[f"bu_br_l{number}"], units)
        units = _pyramid(params[f"bu_dec_l{number}"], units)
    return units


# --- blocks ---------------------------------------------------------------------------------------


def _refined(
    dilations: tuple[int, ...], units: Float[Array, "B H W U"], params: Params
) -> tuple[Float[Array, "B H W U"], None]:
    """Add new units to the old ones: one step of a loop over blocks."""
    wider = _split_and_merged(params, units, dilations)
    return _prelu(params["module_act"], wider + units), None


def _halved(
    params: Params, units: Float[Array, "B H W _"], image: Float[Array, "B h w 3"]
) -> Float[Array, "B h w U"]:
    """Halve the grid: means beside new units, and on top what a small image says."""
    wider = _split_and_merged(params["eesp"], units, _WIDE, stride=2)
    both = jnp.concatenate([_averaged(units), wider], axis=-1)
    seen = _convolved(params["inp_reinf"]["0"], image)
    return _prelu(params["act"], both + _convolved(params["inp_reinf"]["1"], seen))


def _split_and_merged(
    params: Params, units: Float[Array, "B H W _"], dilations: tuple[int, ...], *, stride: int = 1
) -> Float[Array, "B h w U"]:
    """Look at few units through four depthwise kernels of growing width, and join the four.

    Each branch is added to the next, so that the wider ones leave no gaps.
    """
    few = _convolved(params["proj_1x1"], units)
    branches = []
    for number, dilation in enumerate(dilations):
        kernel = params["spp_dw"][str(number)]["conv"]["kernel"]
        branch = _grouped(kernel, few, dilation=dilation, stride=stride)
        branches.append(branch + branches[-1] if branches else branch)
    joined = jnp.concatenate(branches, axis=-1)
    return _convolved(params["conv_1x1_exp"], _normalized(params["br_after_cat"], joined))


def _pyramid(params: Params, units: Float[Array, "B H W _"]) -> Float[Array, "B H W U"]:
    """Filter few units on five grids, from twice as fine to ten times coarser, and mix them."""
    few = _convolved(params["projection_layer"], units)
    size = few.shape[1:3]
    branches = []
    for number, scale in enumerate(_SCALES):
        kernel = params["stages"][str(number)]["kernel"]
        other = tuple(max(math.ceil(side * scale), _LEAST) for side in size)
        if scale > 1:
            branch = _means(_grouped(kernel, _enlarged(few, other)), size)
        elif scale < 1:
            branch = _enlarged(_grouped(kernel, _means(few, other)), size)
        else:
            branch = _grouped(kernel, few)
        branches.append(branch)
    merge = params["merge_layer"]
    joined = _normalized(merge["0"], jnp.concatenate(branches, axis=-1))
    # The five branches of a unit come to lie side by side, for it is mixed from these alone.
    apart = joined.reshape(*joined.shape[:3], len(_SCALES), -1)
    units = _convolved(merge["2"], apart.swapaxes(-1, -2).reshape(joined.shape))
    units = _convolved(merge["3"], units)
    return _normalized(params["br"], units) if "br" in params else units


def _gated(params: Params, units: Float[Array, "B H W _"]) -> Float[Array, "B H W U"]:
    """Reduce units, each multiplied by a gate that the means of the image open."""
    means = units.mean(axis=(1, 2), keepdims=True)
    gates = jax.nn.sigmoid(_convolved(params["wt_layer"]["1"], means))
    return _convolved(params["expansion_layer"], units) * gates


# --- layers ---------------------------------------------------------------------------------------


def _convolved(
    params: Params, units: Float[Array, "B H W _"], *, stride: int = 1
) -> Float[Array, "B h w U"]:
    """Convolve, centred padding, then do whatever else of the usual steps there is."""
    inner = params.get("conv", params)
    kernel = inner["kernel"]
    if kernel.shape[2] == units.shape[-1]:
        edge = kernel.shape[0] // 2
        units = lax.conv_general_dilated(
            units,
            kernel,
            (stride, stride),
            [(edge, edge)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    elif kernel.shape[0] == 1:
        groups = units.shape[-1] // kernel.shape[2]
        pairs = zip(jnp.split(units, groups, -1), jnp.split(kernel[0, 0], groups, -1), strict=True)
        units = jnp.concatenate([inputs @ matrix for inputs, matrix in pairs], axis=-1)
    else:
        units = _grouped(kernel, units, stride=stride)
    return _normalized(params, units + inner["bias"] if "bias" in inner else units)


def _normalized(params: Params, units: Float[Array, "B H W U"]) -> Float[Array, "B H W U"]:
    """Apply the batch normalization and the rectifier, as far as there are any."""
    params = params.get("br", params)
    if "bn" in params:
        units = units * params["bn"]["scale"] + params["bn"]["shift"]
    return _prelu(params["act"], units) if "act" in params else units


def _prelu(params: Params, units: Float[Array, "B H W U"]) -> Float[Array, "B H W U"]:
    return jnp.where(units > 0, units, units * params["slope"])


def _grouped(
    kernel: Float[Array, "3 3 each U"],
    units: Float[Array, "B H W _"],
    *,
    dilation: int = 1,
    stride: int = 1,
) -> Float[Array, "B h w U"]:
    """Convolve groups of units with kernels of their own, 3 x 3, centred padding."""
    height, width, inputs = units.shape[1:]
    each, outputs = kernel.shape[2:]
    groups = inputs // each
    kernels = kernel.reshape(3, 3, each, groups, outputs // groups).transpose(0, 1, 3, 4, 2)

    def convolve(image: Float[Array, "H W _"]) -> Float[Array, "h w U"]:
        padded = jnp.pad(image, [(dilation, dilation), (dilation, dilation), (0, 0)])
        apart = padded.reshape(*padded.shape[:2], groups, 1, each)
        products = reduce(
            add,
            (
                apart[y * dilation :, x * dilation :][:height:stride, :width:stride]
                * kernels[None, None, y, x]
                for y in range(3)
                for x in range(3)
            ),
        )
        return products.sum(axis=-1).reshape(*products.shape[:2], outputs)

    # In a loop of its own, or XLA would compute its input anew for each of the nine products.
    return lax.map(convolve, units)


def _averaged(units: Float[Array, "B H W U"]) -> Float[Array, "B h w U"]:
    """Halve the grid by means of 3 x 3 cells; those beyond the border count as zero."""
    kernel = jnp.full((3, 3, 1, units.shape[-1]), 1 / 9, units.dtype)
    return _grouped(kernel, units, stride=2)


def _means(units: Float[Array, "B H W U"], size: tuple[int, ...]) -> Float[Array, "B h w U"]:
    """Take means over the parts of the grid that overlap each cell of a grid of another size."""

    def weights(source: int, target: int) -> np.ndarray:
        cell, place = np.arange(target)[:, None], np.arange(source)[None]
        first, last = cell * source // target, -(-(cell + 1) * source // target)
        inside = (first <= place) & (place < last)
        return inside / inside.sum(axis=1, keepdims=True)

    down, across = weights(units.shape[1], size[0]), weights(units.shape[2], size[1])
    return _mixed(_mixed(units, down, axis=1), across, axis=2)


def _enlarged(
    units: Float[Array, "B H W U"],
    size: tuple[int, ...],
    rows: Int[np.ndarray, "h"] | None = None,
    columns: Int[np.ndarray, "w"] | None = None,
) -> Float[Array, "B h w U"]:
    """Interpolate bilinearly to a grid whose corner cells have the same centres as before.

    Args:
        units: Maps.
        size: Of the new grid.
        rows, columns: Of the new grid to give; all when None.
    """

    def weights(source: int, target: int, chosen: np.ndarray | None) -> np.ndarray:
        position = np.linspace(0, source - 1, target)
        position = position if chosen is None else position[chosen]
        # A triangle of width one around each place.
        return np.maximum(1 - np.abs(position[:, None] - np.arange(source)[None]), 0)

    (height, width), (tall, wide) = units.shape[1:3], size
    down, across = weights(height, tall, rows), weights(width, wide, columns)
    return _mixed(_mixed(units, down, axis=1), across, axis=2)


def _mixed(
    units: Float[Array, "B H W U"], weights: Float[np.ndarray, "target source"], *, axis: int
) -> Float[Array, "B h w U"]:
    """Mix places along an axis, with few weights that are not zero."""
    most = (weights > 0).sum(axis=1).max()
    places = np.argsort(-weights, axis=1, kind="stable")[:, :most]
    shares = np.take_along_axis(weights, places, axis=1)
    shape = tuple(-1 if i == axis else 1 for i in range(4))
    return reduce(
        add,
        (
            jnp.take(units, place, axis=axis) * jnp.asarray(share, units.dtype).reshape(shape)
            for place, share in zip(places.T, shares.T, strict=True)
        ),
    )
