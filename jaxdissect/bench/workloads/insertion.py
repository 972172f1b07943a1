"""Units inserted into a progressive GAN at every cell of a layer, as `insert_units` does per batch.

Letters: B latents, m cells, C concepts including "none", U units, k inserted units.

Each run makes and segments B (m + 1) images, one of each latent without the units; what comes
before the layer runs once. Areas are compared with those of images that are made in float64 with
the units at some of the cells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32

from jaxdissect.bench.checking.float64 import in_float64
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.checking.precisions import check_precision, network_in, traced_in
from jaxdissect.bench.work_counting import count_work
from jaxdissect.bench.workload import Prepared, Program, Workload
from jaxdissect.bench.workloads.seeded_networks import make_network
from jaxdissect.generators.generator import Generator, GeneratorParams
from jaxdissect.generators.images import concept_areas, generate
from jaxdissect.generators.interventions import EditedLayer
from jaxdissect.networks.edits import Edit, insert
from jaxdissect.scenes.shipped import load_generator, load_segmenter

GENERATORS: dict[str, Callable[[], Any]] = {
    "farm": load_generator,
    "church": lambda: make_network("proggan", 256, 1),
}
"""The one that comes with jaxdissect, 64 x 64 pixels, trained; and the paper's, 256 x 256 pixels
with random weights. Both are segmented by the segmenter of the scenes."""

GRID = (64, 64)
"""Label grid, the paper's."""

SAMPLED = 3
"""Cells that are checked."""

BORDERS = {
    "highest": (2e-3, "float32 rounds, which moves borders between labels by single pixels"),
    "default": (2e-2, "the device rounds products, which moves borders between labels"),
    "bfloat16": (0.1, "the generator rounds every layer to 4e-3, which moves borders of labels"),
}
"""Labels of an image, as a share of its pixels, by which all areas may differ in sum; and why."""


@dataclass(frozen=True, kw_only=True)
class InsertionSizes:
    """Sizes of an insertion.

    Attributes:
        images: Latents in one step.
        generator: One of `GENERATORS`.
        layer: Where units are inserted.
        units: How many units, evenly spaced over the layer.
        cells: At how many of its cells, evenly spaced; all where 0.
        together: Cells that run together.
        precision: Of the generator, one of `jaxdissect.bench.checking.precisions.PRECISIONS`; the
            segmenter computes in float32, with products as asked for.
    """

    images: int = 2
    generator: str = "farm"
    layer: str = "layer4"
    units: int = 20
    cells: int = 0
    together: int = 16
    precision: str = "default"

    def __post_init__(self) -> None:
        check_precision(self.precision)
        if self.generator not in GENERATORS:
            raise ValueError(
                f"`generator` (={self.generator!r}) must be one of: {', '.join(GENERATORS)}"
            )
        for name, least in (("images", 1), ("units", 1), ("cells", 0), ("together", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least {least}")


def prepare_insertion(sizes: InsertionSizes) -> Prepared:
    """Make the generator, latents and the program of all cells."""
    module = GENERATORS[sizes.generator]()
    network = network_in(module, sizes.precision)
    segmenter = load_segmenter()
    generator, plain = (
        Generator(model, module.latent_size, segmenter=segmenter, grid=GRID)
        for model in (network, module)
    )
    latents = np.random.default_rng(0).standard_normal(
        (sizes.images, module.latent_size), np.float32
    )
    edited = EditedLayer(generator, sizes.layer, chunk_size=sizes.together)
    height, width = edited.cells
    every = np.indices((height, width)).reshape(2, -1).T
    number = sizes.cells or len(every)
    if number > len(every):
        raise ValueError(f"`cells` (={sizes.cells}) must be at most {len(every)}, all there are")
    cells = every[np.linspace(0, len(every) - 1, number).astype(int)]
    # The first place is no cell: nothing is inserted.
    places = np.concatenate([[[-1, -1]], cells]).astype(np.int32)
    if sizes.units > edited.num_units:
        raise ValueError(f"`units` (={sizes.units}) must be at most {edited.num_units}")
    units = np.linspace(0, edited.num_units - 1, sizes.units).astype(int)
    edit_at = _edit_at(edited, units, _strong_values(plain, latents, sizes.layer)[units])

    def areas(params: GeneratorParams, latents: Array, places: Array) -> Int32[Array, "M B _"]:
        return edited.areas_of_each(params, latents, edit_at, places)[0]

    program = jax.jit(traced_in(sizes.precision, areas))
    arguments = jax.device_put((generator.params, latents, places))
    counts = count_work(program, *arguments)

    def check(answer: Int32[Array, "M B _"]) -> Gate:
        return check_insertion(plain, latents, places, edit_at, answer, sizes)

    return Prepared(
        images=sizes.images * len(places),
        work=counts.as_work(),
        check=check,
        program=Program(function=program, arguments=arguments),
        notes={
            "cells": len(cells),
            "latents": sizes.images,
            "GFLOP per image": counts.products / (sizes.images * len(places)) / 1e9,
        },
    )


def _strong_values(generator: Generator, latents: np.ndarray, layer: str) -> np.ndarray:
    """Take the greatest activation of every unit, about what the paper inserts."""
    params, network = generator.params.network, generator.network
    found = jax.jit(lambda params, latents: network.activations(params, latents, layers=(layer,)))(
        params, latents
    )[layer]
    return np.asarray(found).max((0, 1, 2))


def _edit_at(edited: EditedLayer, units: np.ndarray, values: np.ndarray) -> Callable[[Array], Edit]:
    height, width = edited.cells

    def edit_at(cell: Array) -> Edit:
        here = (jnp.arange(height) == cell[0])[:, None] & (jnp.arange(width) == cell[1])[None]
        strength = here.astype(jnp.float32)
        return insert(units, jnp.asarray(values), edited.num_units, where=strength)

    return edit_at


def check_insertion(
    generator: Generator,
    latents: np.ndarray,
    places: np.ndarray,
    edit_at: Callable[[Array], Edit],
    answer: Int32[Array, "M B _"],
    sizes: InsertionSizes,
) -> Gate:
    """Compare areas with those of images made in float64 with the units at some cells.

    Areas may differ by no more than a half of what the units change somewhere, or the comparison
    would say nothing.
    """
    areas = np.asarray(answer).astype(np.int64)
    sampled = np.unique(np.linspace(1, len(places) - 1, SAMPLED).astype(int))
    conditions, chosen = np.concatenate([[0], sampled]), sorted({0, len(latents) - 1})
    num_concepts = len(generator.vocabulary)

    def counted(params: GeneratorParams, latents: Array, places: Array) -> Array:
        def at(place: Array) -> Array:
            images = generate(generator, params, latents, edits={sizes.layer: edit_at(place)})
            return concept_areas(generator.label(params, images), num_concepts)

        return jax.vmap(at)(places)

    expected = in_float64(counted, generator.params, latents[chosen], places[conditions])
    found = areas[conditions][:, chosen, :-1]
    apart = np.abs(found - expected).sum(-1).max()
    changes = np.abs(expected[1:] - expected[:1]).sum(-1)
    difference = float(apart / (GRID[0] * GRID[1]))
    exact = sizes.precision == "default" and jax.default_backend() == "cpu"
    tolerance, reason = BORDERS["highest" if exact else sizes.precision]
    return Gate(
        passed=bool(
            difference <= tolerance and not areas[..., -1].any() and 2 * apart < changes.max()
        ),
        against=f"images made in float64 with the units at {len(sampled)} cells, latents {chosen}",
        difference=difference,
        tolerance=tolerance,
        reason=reason,
    )


INSERTION = Workload(
    name="insertion",
    summary="units inserted into a progressive GAN at every cell of a layer, and segmented",
    sizes=InsertionSizes,
    prepare=prepare_insertion,
)
