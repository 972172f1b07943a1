"""Published segmenters by name: those of the paper, and others whose weights are a file.

Bau et al. (PNAS 2020) name a combination by letters: `net` for unified parsing of objects,
materials, and parts of sky, building and person; `p` for parts of all objects; `q` for halves of
objects; `c` for colors. Their numbers are those of `netpqc`. It has 1824 ids, one of them "none",
and by the rules of the reference 1825, two of them "none".
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, PyTree

from jaxdissect.arrays.concepts import read_unified_parsing
from jaxdissect.networks.loading import fetch, load_network
from jaxdissect.networks.segmenters.file_segmenters import FILE_SEGMENTERS
from jaxdissect.networks.segmenters.parsing_segmenter import unified_parsing
from jaxdissect.networks.segmenters.rules import DEFAULT_RULES, Rules
from jaxdissect.networks.segmenters.segmenter import Grid, Segmenter, merge_segmenters
from jaxdissect.networks.segmenters.semantic_segmenter import semantic_segmentation
from jaxdissect.networks.weights.files import FilePath

SIZES: tuple[Grid, ...] = ((256, 256),)
"""Sizes at which the networks of the paper see images."""


def pretrained_segmenter(
    name: str,
    *,
    weights: FilePath | None = None,
    folder: FilePath | None = None,
    dtype: Any = jnp.float32,
    sizes: Sequence[Grid] | None = None,
    rules: Rules = DEFAULT_RULES,
) -> Segmenter:
    """Build a published segmenter.

    Args:
        name: "net", then any of "p", "q", "c" in this order, see above, whose weights are
            downloaded once; or a key of `FILE_SEGMENTERS`, such as "deeplab_mobilenet_ade20k".
        weights: The file of weights, for those of `FILE_SEGMENTERS`.
        folder: Where downloads are kept; by default the user's cache folder.
        dtype: Floating dtype of the parameters, and of what the networks compute.
        sizes: Heights and widths at which the networks see the images; by default those that they
            are published for. The segmenters of the paper join the answers of several.
        rules: How probabilities become labels and scores, for the segmenters of the paper.

    Raises:
        ValueError: If there is no such name, `weights` are missing or unwanted, a file is damaged
            or not the published one, or a package that reads it is missing.
        OSError: If a file can neither be found nor downloaded; the message names the URL, and
            where to put the file by hand.
    """
    if name in FILE_SEGMENTERS:
        return _from_file(name, weights, dtype, sizes)
    if weights is not None:
        raise ValueError(
            f"`weights` go with {', '.join(FILE_SEGMENTERS)}; those of `name` {name!r} are "
            "downloaded"
        )
    letters = re.fullmatch("net(p?)(q?)(c?)", name)
    if not letters:
        raise ValueError(
            f"`name` (={name!r}) must be net, then any of p, q, c in this order, or one of: "
            f"{', '.join(FILE_SEGMENTERS)}"
        )
    sizes = SIZES if sizes is None else sizes
    parts, quadrants, colors = map(bool, letters.groups())

    def home(published: str) -> Path:
        return fetch(published, folder=folder)["labels"].parent

    parsing = load_unified_parsing(
        home("unified_parsing"),
        quadrants=quadrants,
        all_parts=parts,
        dtype=dtype,
        sizes=sizes,
        rules=rules,
    )
    if not colors:
        return parsing
    coloring = load_semantic_segmentation(home("color"), dtype=dtype, sizes=sizes, rules=rules)
    return merge_segmenters(parsing, coloring, rules=rules)


def _from_file(
    name: str, weights: FilePath | None, dtype: Any, sizes: Sequence[Grid] | None
) -> Segmenter:
    """Build a segmenter whose weights are a file."""
    if weights is None:
        raise ValueError(f"`name` (={name!r}) needs `weights`, the file that it was published as")
    if sizes is not None and len(sizes) != 1:
        raise ValueError(f"`sizes` (={sizes}) must be one height and width for `name` {name!r}")
    return FILE_SEGMENTERS[name](weights, dtype=dtype, size=None if sizes is None else sizes[0])


def load_unified_parsing(
    folder: FilePath,
    *,
    quadrants: bool = True,
    all_parts: bool = True,
    dtype: Any = jnp.float32,
    sizes: Sequence[Grid] = SIZES,
    rules: Rules = DEFAULT_RULES,
) -> Segmenter:
    """Build a unified-parsing segmenter from a folder.

    Args:
        folder: Holds `encoder*` and `decoder*` with the weights of a UPerNet, and `labels.json`.
        quadrants: Whether objects have halves.
        all_parts: Whether all objects have parts, or those of `FREQUENT_OWNERS` alone.
        dtype: Floating dtype of the parameters, and of what the network computes.
        sizes: Heights and widths at which the network sees the images.
        rules: How probabilities become labels and scores.

    Raises:
        ValueError: If the weights do not fit the network or the labels, or are damaged.
        OSError: If a file is missing.
    """
    content = _read_labels(Path(folder))
    read_unified_parsing(content)  # or raise
    owned = content["object_part"]
    part_sizes = [len(owned[name]) for name in content["object"] if name in owned]
    network = load_network("upernet_resnet50", folder, dtype=dtype, part_sizes=part_sizes)
    predict, params = _on_grid(network)
    segmenter = unified_parsing(
        predict,
        params,
        content,
        quadrants=quadrants,
        all_parts=all_parts,
        sizes=sizes,
        rules=rules,
    )
    return _checked(segmenter, folder, sizes)


def load_semantic_segmentation(
    folder: FilePath,
    *,
    dtype: Any = jnp.float32,
    sizes: Sequence[Grid] = SIZES,
    rules: Rules = DEFAULT_RULES,
) -> Segmenter:
    """Build a semantic segmenter from a folder.

    Args:
        folder: Holds `encoder*` and `decoder*` with the weights of a dilated ResNet-18 with
            pyramid pooling, and `labels.json`.
        dtype: Floating dtype of the parameters, and of what the network computes.
        sizes: Heights and widths at which the network sees the images.
        rules: How probabilities become labels and scores.

    Raises:
        ValueError: If the weights do not fit the network or the labels, or are damaged.
        OSError: If a file is missing.
    """
    predict, params = _on_grid(load_network("ppm_resnet18dilated", folder, dtype=dtype))
    content = _read_labels(Path(folder))
    return _checked(
        semantic_segmentation(predict, params, content, sizes=sizes, rules=rules), folder, sizes
    )


def _checked(segmenter: Segmenter, folder: FilePath, sizes: Sequence[Grid]) -> Segmenter:
    """Refuse weights whose numbers of classes are not those of the labels, without computing."""
    images = jax.ShapeDtypeStruct((1, *sizes[0], 3), jnp.float32)
    try:
        jax.eval_shape(
            lambda params, x: segmenter.segment(params, x, (8, 8)), segmenter.params, images
        )
    except ValueError as problem:
        raise ValueError(f"{folder}: labels and weights do not go together: {problem}") from problem
    return segmenter


def _on_grid(network: nnx.Module) -> tuple[Callable[[PyTree, Array, Grid], Any], PyTree]:
    """A network as a pure function of its parameters, images and a grid."""
    definition, params = nnx.split(network)

    def predict(params: PyTree, images: Array, grid: Grid) -> Any:
        module: Any = nnx.merge(definition, params)
        return module(images, grid)

    return predict, params


def _read_labels(folder: Path) -> Mapping[str, Any]:
    path = folder / "labels.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path} is no JSON: {problem}") from problem
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object, and holds {type(content).__name__}")
    return content
