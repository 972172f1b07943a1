"""From published weights of StyleGAN2 to the generator that they fit.

Two namings are known: that of Karras et al., "Training Generative Adversarial Networks with Limited
Data", NeurIPS 2020 (`synthesis.b8.conv0.weight`), and that of a PyTorch implementation which is
much used for weights of one's own (`convs.0.conv.weight`).
"""

import itertools
import re

import numpy as np
from flax import nnx

from jaxdissect.networks.models.filtered_upsampling import BINOMIAL
from jaxdissect.networks.models.stylegan2 import StyleGAN2
from jaxdissect.networks.weights.mapping import Arrays, Shapes
from jaxdissect.networks.weights.stored import StoredArray, brief, brief_list, made_when_read

_SIDES = tuple(4 << level for level in range(9))


def sizes_of(shapes: Shapes) -> tuple[int, ...]:
    """Read units at 4 x 4, 8 x 8, ... from PyTorch's names and shapes of the weights.

    Raises:
        ValueError: If the first layers are missing.
    """
    weights = [shapes.get(f"synthesis.b{side}.conv1.weight", ()) for side in _SIDES]
    known = list(itertools.takewhile(lambda shape: len(shape) == 4, weights))
    if not known or len(shapes.get("mapping.fc0.weight", ())) != 2:
        raise ValueError(
            "the weights of a StyleGAN2 must have `synthesis.b4.conv1.weight`, "
            "`synthesis.b8.conv1.weight`, ... with 4 axes and `mapping.fc0.weight` with 2, from "
            "which sizes are read; they have: "
            + (brief_list(f"{name} {brief(shape)}" for name, shape in shapes.items()) or "none")
        )
    return tuple(shape[0] for shape in known)


def from_shapes(
    shapes: Shapes, *, truncation: float = 1.0, clamp: float | None = None
) -> StyleGAN2:
    """Make the generator that fits some weights, given PyTorch's names and shapes.

    Raises:
        ValueError: If the first layers, from which sizes are read, are missing, or the mean style
            that `truncation` needs is.
    """
    sizes = sizes_of(shapes)
    style_size, latent_size = shapes["mapping.fc0.weight"]
    num_mapping = sum(
        bool(re.fullmatch(r"mapping\.fc\d{1,3}\.weight", str(name))) for name in shapes
    )
    return StyleGAN2(
        sizes,
        latent_size=latent_size,
        style_size=style_size,
        num_mapping=num_mapping,
        has_mean="mapping.w_avg" in shapes,
        truncation=truncation,
        clamp=clamp,
        rngs=nnx.Rngs(0),
    )


def reference_names(arrays: Arrays) -> Arrays:
    """Rewrite other namings; a generator that was saved beside its critic is taken out.

    - `G_ema.`, `g_ema.`: the running mean among several networks, if names begin with it.
    - `style.1.weight`, `conv1.conv.weight`, `convs.0.conv.weight`, `to_rgbs.0.bias`,
      `noises.noise_0`, ...: that of the other implementation, perhaps with `latent_avg`, the mean
      style; without it, `truncation` must be 1.

    Args:
        arrays: Weights by name.

    Raises:
        ValueError: If they are of a generator that also takes classes.
    """
    for prefix in ("G_ema.", "g_ema."):
        inside = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        arrays = inside or arrays
    if any(name.startswith("mapping.embed.") for name in arrays):
        raise ValueError(
            "is of a generator that also takes a class (`mapping.embed.weight`), which is not "
            "supported"
        )
    return _renamed(arrays) if "conv1.conv.modulation.weight" in arrays else dict(arrays)


def _renamed(arrays: Arrays) -> Arrays:
    renamed: dict[str, np.ndarray | StoredArray] = {}
    filters: dict[str, np.ndarray | StoredArray] = {}
    for name, array in arrays.items():
        if found := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", name):
            renamed[f"mapping.fc{int(found[1]) - 1}.{found[2]}"] = array
        elif found := re.fullmatch(r"(?:convs|to_rgbs)\.(\d{1,2})\.(.+)", name):
            number = int(found[1])
            if name.startswith("convs"):
                place = f"synthesis.b{8 << number // 2}.conv{number % 2}"
            else:
                place = f"synthesis.b{8 << number}.torgb"
            _put_layer(renamed, filters, place, found[2], array, name)
        elif found := re.fullmatch(r"(conv1|to_rgb1)\.(.+)", name):
            place = "synthesis.b4." + {"conv1": "conv1", "to_rgb1": "torgb"}[found[1]]
            _put_layer(renamed, filters, place, found[2], array, name)
        elif found := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
            number = int(found[1]) + 1
            place = f"synthesis.b{4 << number // 2}.conv{number % 2}"
            renamed[f"{place}.noise_const"] = _without_ones(array, 2)
        elif name == "input.input":
            renamed["synthesis.b4.const"] = _without_ones(array, 3)
        elif name == "latent_avg":
            renamed["mapping.w_avg"] = array
        else:
            renamed[name] = array  # to be listed as unexpected
    return {**renamed, **_filled_in(renamed, filters)}


_OWN_NAMES: dict[str, tuple[str, int]] = {
    "conv.weight": ("weight", 4),
    "conv.modulation.weight": ("affine.weight", 2),
    "conv.modulation.bias": ("affine.bias", 1),
    "noise.weight": ("noise_strength", 0),
    "activate.bias": ("bias", 1),
    "bias": ("bias", 1),
}
"""What the parts of a layer are called here, and how many of their axes are kept."""


def _put_layer(
    renamed: dict[str, np.ndarray | StoredArray],
    filters: dict[str, np.ndarray | StoredArray],
    place: str,
    own: str,
    array: np.ndarray | StoredArray,
    name: str,
) -> None:
    """File an array of a convolution, or of a map to colors, under its name here."""
    if own in _OWN_NAMES:
        known, axes = _OWN_NAMES[own]
        renamed[f"{place}.{known}"] = _without_ones(array, axes)
    elif own == "conv.blur.kernel":
        filters[f"{place}.resample_filter"] = made_when_read(lambda a: a / 4, array.shape, array)
    elif own == "upsample.kernel":
        block = place.removesuffix(".torgb")
        filters[f"{block}.resample_filter"] = made_when_read(lambda a: a / 4, array.shape, array)
    else:
        renamed[name] = array


def _filled_in(renamed: Arrays, filters: Arrays) -> Arrays:
    """Filters, of which the other naming has only those that are used."""
    line = np.array(BINOMIAL, np.float32)
    plain = np.outer(line, line) / line.sum() ** 2
    places = {
        name.rpartition(".")[0] for name in renamed if re.search(r"\.conv[01]\.weight$", name)
    }
    blocks = {place.rpartition(".")[0] for place in places}
    return {**{f"{place}.resample_filter": plain for place in places | blocks}, **filters}


def _without_ones(array: np.ndarray | StoredArray, axes: int) -> np.ndarray | StoredArray:
    """Drop axes of length one, those at the front first, until so many are left."""
    shape = array.shape
    for place in [0, -1]:
        while len(shape) > axes and shape[place] == 1:
            shape = shape[1:] if place == 0 else shape[:-1]
    return made_when_read(lambda values: values.reshape(shape), shape, array)
