"""Segmenters for tests: answers of the golden files, answers held as parameters, small networks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from support import golden

from jaxdissect.arrays.resampling import resample
from jaxdissect.networks.segmenters.parsing_segmenter import unified_parsing
from jaxdissect.networks.segmenters.rules import DEFAULT_RULES, Rules
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.networks.segmenters.semantic_segmenter import semantic_segmentation

# Objects 1 wall, 2 sky, 3 door, 4 lamp; `door` of the wall is the object, `knob` is one part.
PARSED = {
    "object": ["-", "wall", "sky", "door", "lamp"],
    "material": ["-", "brick", "glass"],
    "object_part": {"lamp": ["-", "knob", "shade"], "sky": ["-", "cloud"], "door": ["-", "knob"]}
    | {"wall": ["-", "door", "window"]},
}

# A category that another one masks, an internal output, two outputs for wood.
MASKED = {
    "imageformat": {"byteorder": "RGB", "mean": [0.5, 0.4, 0.3], "stdev": [0.2, 0.25, 0.3]},
    "categories": [{"name": "figure"}, {"name": "stuff", "mask": "thing"}],
    "labels": [
        {"name": "ground", "category": "figure", "internal": True},
        {"name": "wood", "category": "stuff"},
        {"name": "thing", "category": "figure"},
        {"name": "metal", "category": "stuff"},
        {"name": "wood", "category": "stuff"},
    ],
}


class Parsed(NamedTuple):
    """What networks for unified parsing answer."""

    objects: Any
    parts: Any
    materials: Any
    scenes: Any = None


def random_images(*shape):
    return jnp.asarray(np.random.RandomState(5).random_sample((*shape, 3)), jnp.float32)


def labels_of(segmenter, images, grid):
    return jax.jit(segmenter.segment, static_argnums=2)(segmenter.params, images, grid)


def labels_and_scores_of(segmenter, images, concepts, grid):
    """Labels, and scores and masks of several concepts, in one program, quicker to compile."""

    @jax.jit
    def run(params, images):
        scores = [segmenter.score(params, images, concept, grid) for concept in concepts]
        return segmenter.segment(params, images, grid), scores

    return run(segmenter.params, images)


# --- answers held as parameters -----------------------------------------------------------------


def constant(answers, inputs, grid):
    """A network that answers its parameters, whatever it sees."""
    del inputs, grid
    return answers


def part_lists(content):
    """Parts of every object that has some, ascending by object."""
    owned = content["object_part"]
    return [owned[name] for name in content["object"] if name in owned]


def softmax_maps(seed, num_maps, grid, *, n, coarse, scale):
    """The recipe of the golden files: coarse normals, repeated to the grid."""
    logits = np.random.RandomState(seed).standard_normal((n, num_maps, *coarse))
    rows, columns = (
        np.arange(target) * source // target for target, source in zip(grid, coarse, strict=True)
    )
    maps = np.exp(scale * np.moveaxis(logits[:, :, rows[:, None], columns], 1, -1))
    return jnp.asarray(maps / maps.sum(-1, keepdims=True), jnp.float32)


def parsing_answers(content, seed, grid, **recipe) -> Parsed:
    def maps(place, names):
        return softmax_maps(seed + place, len(names), grid, scale=3, **recipe)

    parts = tuple(maps(10 + i, names) for i, names in enumerate(part_lists(content)))
    return Parsed(maps(0, content["object"]), parts, maps(1, content["material"]))


def semantic_answers(content, seed, grid, **recipe):
    return softmax_maps(seed, len(content["labels"]), grid, scale=2, **recipe)


# --- golden files -------------------------------------------------------------------------------


class GoldenCase(NamedTuple):
    """A case of the reference: what it saw, what its network answered, what came of it."""

    arrays: dict[str, np.ndarray]
    content: dict[str, Any]
    images: Any
    answers: Any
    grid: tuple[int, int]
    sizes: tuple[tuple[int, int], ...]

    def labels(self, key):
        return np.moveaxis(self.arrays[key], 1, -1)


def golden_images(arrays):
    """RGB in [0, 1]; the reference's are in [-1, 1]."""
    return jnp.asarray((np.moveaxis(arrays["image"], 1, -1) + 1) / 2)


def golden_case(name, answers_of) -> GoldenCase:
    arrays, meta = golden.load(name, allow_pickle=True)
    height, width = (size // meta["downsample"] for size in meta["hw"])
    content, recipe = meta["labeldata"], {"n": meta["n"], "coarse": meta["coarse"]}
    answers = answers_of(content, meta["pred_seed"], (height, width), **recipe)
    sizes = tuple((size, size) for size in meta["segsizes"])
    return GoldenCase(arrays, content, golden_images(arrays), answers, (height, width), sizes)


# --- small networks -----------------------------------------------------------------------------


def small_network(seed, widths):
    """Parameters and function of a network that looks at its inputs: one convolution, heads."""

    def normal(*shape):
        return jnp.asarray(random.standard_normal(shape), jnp.float32)

    random = np.random.RandomState(seed)
    params = {"kernel": normal(3, 3, 3, 8), "heads": [2 * normal(8, width) for width in widths]}

    def predict(params, inputs, grid):
        params = jax.tree.map(lambda leaf: leaf.astype(inputs.dtype), params)
        axes = ("NHWC", "HWIO", "NHWC")
        features = jax.lax.conv_general_dilated(
            inputs, params["kernel"], (1, 1), "SAME", dimension_numbers=axes
        )
        features = resample(jnp.tanh(features / 3), grid)
        return [jax.nn.softmax(features @ head) for head in params["heads"]]

    return params, predict


def small_parsing(*, sizes=((12, 12),), rules: Rules = DEFAULT_RULES) -> Segmenter:
    lists = [PARSED["object"], PARSED["material"], *part_lists(PARSED)]
    params, network = small_network(3, [len(names) for names in lists])

    def predict(params, inputs, grid):
        objects, materials, *parts = network(params, inputs / 100, grid)
        return Parsed(objects, tuple(parts), materials)

    return unified_parsing(predict, params, PARSED, sizes=sizes, rules=rules)


def small_semantic(*, sizes=((12, 12), (9, 10)), rules: Rules = DEFAULT_RULES) -> Segmenter:
    params, network = small_network(4, [len(MASKED["labels"])])

    def predict(params, inputs, grid):
        return network(params, inputs, grid)[0]

    return semantic_segmentation(predict, params, MASKED, sizes=sizes, rules=rules)
