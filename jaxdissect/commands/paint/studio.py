"""What the painting page paints with: a generator, a layer, and the units of every concept.

Shapes: H W image, h w cells of a layer, U units, C concepts including "none".
"""

import io
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, UInt8

from jaxdissect.arrays.resampling import Shape
from jaxdissect.dissection.result import Dissection
from jaxdissect.engine.labelers import at_pixel_centers
from jaxdissect.engine.resume import digest
from jaxdissect.generators.dissection import ranked_units
from jaxdissect.generators.images import (
    ToPixels,
    concept_areas,
    from_signed,
    image_and_map_shapes,
)
from jaxdissect.networks.network import Network
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.painting.document import (
    MAX_STRENGTH,
    MAX_STROKES,
    Painting,
    as_bytes,
    edit_of,
    painted_cells,
    renderer,
)
from jaxdissect.painting.files import to_json
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
    """A painted image, and what is to be told about it.

    Attributes:
        image: The pixels.
        cells: Where the generator is changed.
        areas: Those of all concepts that are there, those that changed most first.
        milliseconds: What making the image took, without looking at it.
    """

    image: UInt8[np.ndarray, "H W 3"]
    cells: Bool[np.ndarray, "h w"]
    areas: tuple[Area, ...]
    milliseconds: float


@dataclass(frozen=True)
class Subject:
    """What is painted on.

    Attributes:
        name: What the generator is called.
        network: From latents [B, Z] to images [B, H, W, 3].
        latent_size: Z.
        seed: Of the latents.
        num_samples: How many of them to choose from.
        to_pixels: Makes RGB in [0, 1] of what the generator gives.
    """

    name: str
    network: Network
    latent_size: int
    seed: int = 0
    num_samples: int = 24
    to_pixels: ToPixels = from_signed


def shapes_of(subject: Subject, layer: str) -> tuple[Shape, Shape, int]:
    """Find height and width of the images and of a layer, and its units, without running anything.

    Raises:
        ValueError: if the layer does not exist or gives no maps.
    """
    latent = jax.ShapeDtypeStruct((1, subject.latent_size), jnp.float32)
    images, maps = image_and_map_shapes(subject.network, subject.network.params, latent, layer)
    return (images[1], images[2]), (maps[1], maps[2]), maps[3]


class Studio:
    """Renders paintings on one layer of a generator, one at a time.

    Args:
        subject: What is painted on.
        layer: Whose units are painted with.
        result: A dissection of this layer, which says what the units stand for.
        segmenter: Looks at the images, for the areas of concepts; None for none.

    Raises:
        ValueError: if the layer does not exist or is not of the dissection, or does not fit it.
    """

    def __init__(
        self, subject: Subject, layer: str, result: Dissection, segmenter: Segmenter | None
    ) -> None:
        self.subject, self.layer, self.segmenter = subject, layer, segmenter
        self._params = subject.network.params
        self.image_size, self.cells, self.num_units = shapes_of(subject, layer)
        if layer not in result.layers:
            raise ValueError(
                f"`dissection` has no layer {layer!r}; it has: {', '.join(result.layers)}"
            )
        if result[layer].num_units != self.num_units:
            raise ValueError(
                f"`dissection` has {result[layer].num_units} units of layer {layer!r}, the "
                f"generator has {self.num_units}"
            )
        self.choices = offered(result, layer)
        self.levels = result[layer].thresholds
        self.fraction = float(result.settings.get("fraction", float("nan")))
        self._digest = digest(self._params)
        self._render = renderer(subject.network, layer, to_pixels=subject.to_pixels)
        self._areas = None if segmenter is None else _areas_of(segmenter, self.image_size)
        self._before: dict[int, np.ndarray] = {}  # areas by example
        self._lock = threading.Lock()
        self.render(self.blank(0))  # compiles

    def blank(self, example: int) -> Painting:
        """Nothing painted on one of the samples."""
        subject = self.subject
        return Painting(
            self.layer,
            self.image_size,
            subject.latent_size,
            subject.seed,
            example,
            {},
            (),
            subject.name,
            self._digest,
        )

    def describe(self) -> dict[str, Any]:
        """Tell the page what there is to paint with, as JSON values."""
        return {
            "document": json.loads(to_json(self.blank(0))),
            "cells": list(self.cells),
            "samples": self.subject.num_samples,
            "units": self.num_units,
            "levels": [float(level) for level in self.levels],
            "percent": round(100 * (1 - self.fraction), 4),
            "concepts": [choice._asdict() for choice in self.choices],
            "usual_units": min(USUAL_UNITS, self.num_units),
            "segmented": self.segmenter is not None,
            "limits": {"strokes": MAX_STROKES, "points": MAX_POINTS, "strength": MAX_STRENGTH},
        }

    def render(self, painting: Painting) -> Rendering:
        """Make the image of a painting; threads wait for each other.

        Raises:
            ValueError: if the painting is of another generator, layer, or sample than there are.
        """
        self._check(painting)
        edit = edit_of(painting, self.cells, self.num_units)
        latent = jnp.asarray(painting.latent())
        with self._lock:
            start = time.perf_counter()
            image = np.asarray(self._render(self._params, latent, edit))
            milliseconds = 1e3 * (time.perf_counter() - start)
            areas = self._compared(painting, image)
        cells = painted_cells(painting, self.cells)
        return Rendering(as_bytes(image), cells, areas, milliseconds)

    def _check(self, painting: Painting) -> None:
        blank, subject = self.blank(0), self.subject
        for name in ("digest", "layer", "image_size", "latent_size", "seed"):
            found, wanted = getattr(painting, name), getattr(blank, name)
            unknown = name == "digest" and found is None
            if found != wanted and not unknown:
                raise ValueError(f"`{name}` (={found!r}) must be that of this page, {wanted!r}")
        if painting.example >= subject.num_samples:
            raise ValueError(
                f"`example` (={painting.example}) must be below {subject.num_samples}, the number "
                "of samples; `--samples` gives more"
            )

    def _compared(self, painting: Painting, image: np.ndarray) -> tuple[Area, ...]:
        if self._areas is None or self.segmenter is None:
            return ()
        after = np.asarray(self._areas(self.segmenter.params, jnp.asarray(image)))
        if painting.example not in self._before:
            before = after
            if painting.strokes:
                original = self._render(
                    self._params,
                    jnp.asarray(painting.latent()),
                    edit_of(self.blank(painting.example), self.cells, self.num_units),
                )
                before = np.asarray(self._areas(self.segmenter.params, original))
            self._before[painting.example] = before
        return compared(self.segmenter, self._before[painting.example], after)


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
    segmenter: Segmenter, before: Int32[np.ndarray, "C"], after: Int32[np.ndarray, "C"]
) -> tuple[Area, ...]:
    """List the objects that are there, before or after, greatest change first, equals by id."""
    known = segmenter.vocabulary
    order = np.argsort(-np.abs(after.astype(np.int64) - before), kind="stable")
    return tuple(
        Area(known.names[i], int(before[i]), int(after[i]))
        for i in order.tolist()
        if i > 0 and before[i] + after[i] > 0 and _is_shown(known.categories, i)
    )


def _is_shown(categories: Any, concept: int) -> bool:
    return categories[concept] == CATEGORY or CATEGORY not in categories


def _areas_of(segmenter: Segmenter, grid: Shape) -> Any:
    @jax.jit
    def areas(params: Any, image: Array) -> Int32[Array, "C"]:
        labels = at_pixel_centers(segmenter.segment(params, image[None], grid), grid)
        return concept_areas(labels, len(segmenter.vocabulary))[0]

    return areas


def png_of(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Encode pixels; the same pixels give the same bytes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def as_answer(rendering: Rendering) -> Mapping[str, Any]:
    """Say as JSON values what was rendered."""
    import base64

    image = base64.b64encode(png_of(rendering.image)).decode()
    return {
        "image": f"data:image/png;base64,{image}",
        "cells": np.argwhere(rendering.cells).tolist(),
        "areas": [area._asdict() for area in rendering.areas],
        "milliseconds": round(rendering.milliseconds, 1),
    }
