"""The four networks of the scenes with the weights that come with the package.

Beside each is a card: how it was made, and how well it does. `python -m jaxdissect.scenes.train`
makes them again.
"""

import json
from importlib import resources
from typing import Any

from flax import nnx
from safetensors.numpy import load

from jaxdissect.networks.models import proggan
from jaxdissect.networks.models.proggan import ProgressiveGenerator
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.networks.weights.mapping import pytorch_shapes, with_parameters
from jaxdissect.scenes.scene_classifier import SceneClassifier
from jaxdissect.scenes.scene_parser import SceneParser, scene_segmenter
from jaxdissect.scenes.scene_transformer import SceneTransformer

NAMES = ("classifier", "generator", "segmenter", "vit")
"""The networks, as `read_card` calls them."""

GENERATOR_SCENES = ("farm",)
"""Scenes that the generator was trained on: one that has doors, windows and trees."""


def load_classifier() -> SceneClassifier:
    """Load the classifier of all ten scenes."""
    arrays = _read_arrays("classifier")
    return with_parameters(lambda: SceneClassifier(rngs=nnx.Rngs(0)), arrays, source="classifier")


def load_vit() -> SceneTransformer:
    """Load the vision transformer that classifies all ten scenes, as `load_classifier` does."""
    arrays = _read_arrays("vit")
    return with_parameters(lambda: SceneTransformer(rngs=nnx.Rngs(0)), arrays, source="vit")


def load_generator() -> ProgressiveGenerator:
    """Load the generator of farms, 64 x 64 pixels; `proggan.to_pixels` brings them to [0, 1]."""
    arrays = _read_arrays("generator")
    shapes = pytorch_shapes(arrays)
    return with_parameters(lambda: proggan.from_shapes(shapes), arrays, source="generator")


def load_parser() -> SceneParser:
    """Load the network of the segmenter."""
    arrays = _read_arrays("segmenter")
    return with_parameters(lambda: SceneParser(rngs=nnx.Rngs(0)), arrays, source="segmenter")


def load_segmenter() -> Segmenter:
    """Load the segmenter of all ten scenes."""
    return scene_segmenter(load_parser())


def read_card(name: str) -> dict[str, Any]:
    """Read how a network was made: data, steps, seed, figures, command, hardware, time.

    Raises:
        ValueError: If `name` is none of `NAMES`.
    """
    if name not in NAMES:
        raise ValueError(f"`name` (={name!r}) must be one of: {', '.join(NAMES)}")
    return json.loads(_file(name, "json").read_text())


def _read_arrays(name: str) -> dict[str, Any]:
    return load(_file(name, "safetensors").read_bytes())


def _file(name: str, suffix: str) -> Any:
    return resources.files("jaxdissect.scenes").joinpath("weights", f"{name}.{suffix}")
