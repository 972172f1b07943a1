"""What the painting page paints with: a generator, a layer, and the units of every concept.

Shapes: H W image, h w cells of a layer, U units, C concepts including "none".
"""

import io
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, UInt8

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.arrays.resampling import Shape
from jaxdissect.dissection.result import Dissection
from jaxdissect.engine.identity import digest
from jaxdissect.engine.labelers import segmented
from jaxdissect.generators.dissection import ranked_units
from jaxdissect.generators.generator import Generator, GeneratorParams
from jaxdissect.generators.images import concept_areas
from jaxdissect.painting.document import MAX_STRENGTH, MAX_STROKES, Painting
from jaxdissect.painting.json_document import to_json
from jaxdissect.painting.rendering import as_bytes, edit_of, painted_cells, renderer
from jaxdissect.painting.strokes import MAX_POINTS

MOST_UNITS = 40
"""Best units of a concept that the page knows."""

USUAL_UNITS = 20
"""As many are painted with unless the user changes it, as the paper inserts."""

MIN_IOU = 0.02
"""Concepts are offered if a unit matches them better than this: not all are detectors, but together
they often cause what no one of them stands for."""

CATEGORY = "object"


class Choice(NamedTuple):
    """A concept to paint with: its best units, and the IoU of the first of them."""

    name: str
    iou: float
    units: tuple[int, ...]


class Area(NamedTuple):
    """How many pixels of the image show a concept, without the painting and with it."""

    concept: str
    before: int
    after: int


class Rendering(NamedTuple):
    """A painted image, and what the page shows about it.

    Attributes:
        image: The pixels.
        cells: Where the generator is changed.
        areas: Those of all concepts that are there, those that changed most first.
        milliseconds: The time that making the image took, without labelling it.
    """

    image: UInt8[np.ndarray, "H W 3"]
    cells: Bool[np.ndarray, "h w"]
    areas: tuple[Area, ...]
    milliseconds: float


class Studio:
    """Renders paintings on one layer of a generator, one at a time.

    Args:
        generator: What makes the images; without a segmenter, no areas of concepts are counted.
        layer: Layer of the units that are painted with.
        result: A dissection of this layer, which names the concepts of the units.
        name: What the generator is called.
        seed: Seed of the latents of the samples.
        num_samples: How many samples there are to paint on.

    Attributes:
        num_samples: As given.
        cells: Height and width of the layer.
        num_units: Units of the layer.

    Raises:
        ValueError: If the layer does not exist or is not of the dissection, or does not fit it.
    """

    def __init__(
        self,
        generator: Generator,
        layer: str,
        result: Dissection,
        *,
        name: str = "",
        seed: int = 0,
        num_samples: int = 24,
    ) -> None:
        self._generator, self._layer = generator, layer
        self._name, self._seed, self.num_samples = name, seed, num_samples
        height, width, self.num_units = generator.map_shape(layer)
        self.cells: Shape = (height, width)
        if layer not in result.layers:
            raise ValueError(
                f"`dissection` has no layer {layer!r}; it has: {', '.join(result.layers)}"
            )
        if result[layer].num_units != self.num_units:
            raise ValueError(
                f"`dissection` has {result[layer].num_units} units of layer {layer!r}, the "
                f"generator has {self.num_units}"
            )
        self._choices = offered(result, layer)
        self._levels = result[layer].thresholds
        self._fraction = float(result.settings.get("fraction", float("nan")))
        self._digest = digest(generator.network.params)
        self._render = renderer(generator, layer)
        self._areas = None if generator.segmenter is None else _areas_of(generator)
        self._before: dict[int, np.ndarray] = {}  # areas by example
        self._lock = threading.Lock()
        self.render(self.blank(0))  # compiles

    def blank(self, example: int) -> Painting:
        """Nothing painted on one of the samples."""
        return Painting(
            self._layer,
            self._generator.image_size,
            self._generator.latent_size,
            self._seed,
            example,
            {},
            (),
            self._name,
            self._digest,
        )

    def describe(self) -> dict[str, Any]:
        """Describe what there is to paint with, as JSON values for the page."""
        return {
            "document": json.loads(to_json(self.blank(0))),
            "cells": list(self.cells),
            "samples": self.num_samples,
            "units": self.num_units,
            "levels": [float(level) for level in self._levels],
            "percent": round(100 * (1 - self._fraction), 4),
            "concepts": [choice._asdict() for choice in self._choices],
            "usual_units": min(USUAL_UNITS, self.num_units),
            "segmented": self._areas is not None,
            "limits": {"strokes": MAX_STROKES, "points": MAX_POINTS, "strength": MAX_STRENGTH},
        }

    def render(self, painting: Painting) -> Rendering:
        """Make the image of a painting; threads wait for each other.

        Raises:
            ValueError: If the painting is of another generator, layer, or sample than there are.
        """
        self._check(painting)
        edit = edit_of(painting, self.cells, self.num_units)
        latent = jnp.asarray(painting.latent())
        with self._lock:
            start = time.perf_counter()
            image = np.asarray(self._render(self._generator.params, latent, edit))
            milliseconds = 1e3 * (time.perf_counter() - start)
            areas = self._compared(painting, image)
        cells = painted_cells(painting, self.cells)
        return Rendering(as_bytes(image), cells, areas, milliseconds)

    def _check(self, painting: Painting) -> None:
        blank = self.blank(0)
        for name in ("digest", "layer", "image_size", "latent_size", "seed"):
            found, wanted = getattr(painting, name), getattr(blank, name)
            unknown = name == "digest" and found is None
            if found != wanted and not unknown:
                raise ValueError(f"`{name}` (={found!r}) must be that of this page, {wanted!r}")
        if painting.example >= self.num_samples:
            raise ValueError(
                f"`example` (={painting.example}) must be below {self.num_samples}, the number "
                "of samples; `--samples` gives more"
            )

    def _compared(self, painting: Painting, image: np.ndarray) -> tuple[Area, ...]:
        if self._areas is None:
            return ()
        params = self._generator.params
        after = np.asarray(self._areas(params, jnp.asarray(image)))
        if painting.example not in self._before:
            before = after
            if painting.strokes:
                nothing = edit_of(self.blank(painting.example), self.cells, self.num_units)
                original = self._render(params, jnp.asarray(painting.latent()), nothing)
                before = np.asarray(self._areas(params, original))
            self._before[painting.example] = before
        return compared(self._generator.vocabulary, self._before[painting.example], after)


def offered(result: Dissection, layer: str) -> tuple[Choice, ...]:
    """Find what can be painted with: the objects that units of a layer match, best first.

    Vocabularies without objects offer all their concepts.
    """
    found, known = result[layer], result.vocabulary
    best = np.nan_to_num(found.iou).max(axis=1)
    order = [int(i) for i in np.argsort(-best, kind="stable") if i > 0 and best[i] > MIN_IOU]
    return tuple(
        Choice(
            known.names[i],
            round(float(best[i]), 4),
            tuple(ranked_units(result, layer, i)[:MOST_UNITS].tolist()),
        )
        for i in order
        if _is_shown(known.categories, i)
    )


def compared(
    known: Vocabulary, before: Int32[np.ndarray, "C"], after: Int32[np.ndarray, "C"]
) -> tuple[Area, ...]:
    """List the objects that are there, before or after, greatest change first, equals by id."""
    order = np.argsort(-np.abs(after.astype(np.int64) - before), kind="stable")
    return tuple(
        Area(known.names[i], int(before[i]), int(after[i]))
        for i in order.tolist()
        if i > 0 and before[i] + after[i] > 0 and _is_shown(known.categories, i)
    )


def _is_shown(categories: Sequence[str], concept: int) -> bool:
    return categories[concept] == CATEGORY or CATEGORY not in categories


def _areas_of(generator: Generator) -> Callable[[GeneratorParams, Array], Int32[Array, "C"]]:
    """Compile the areas of all concepts in an image, labelled pixel by pixel."""
    labeler = segmented(generator.checked_segmenter())

    @jax.jit
    def areas(params: GeneratorParams, image: Array) -> Int32[Array, "C"]:
        labels = labeler.label(params.segmenter, {"image": image[None]}, generator.image_size)
        return concept_areas(labels, len(labeler.vocabulary))[0]

    return areas


def png_of(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Encode pixels; the same pixels give the same bytes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def as_answer(rendering: Rendering) -> Mapping[str, Any]:
    """Describe what was rendered, as JSON values for the page."""
    import base64

    image = base64.b64encode(png_of(rendering.image)).decode()
    return {
        "image": f"data:image/png;base64,{image}",
        "cells": np.argwhere(rendering.cells).tolist(),
        "areas": [area._asdict() for area in rendering.areas],
        "milliseconds": round(rendering.milliseconds, 1),
    }
