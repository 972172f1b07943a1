"""Whether a dissection is right: its activations are sorted and counted again by NumPy.

Activations are read once more by the same compiled program, since two programs may round
differently, and resampled to the label grid by NumPy where that is exact. Where weights are whole
numbers, they must be those that XLA's own convolutions give, so that they are known to be right,
and the same on every device.

Letters: C concepts, V checked units of a layer, P pixels, K labels per pixel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.arrays.representation import short_repr
from jaxdissect.bench.checking import gate
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.workloads.drawn_values import (
    checked_units,
    count_in_numpy,
    distinct_labels,
    sorted_threshold,
)
from jaxdissect.bench.workloads.made_images import decoded_by_pillow
from jaxdissect.dissection.presets import PNAS2020
from jaxdissect.dissection.setup import DissectionSetup, dissection_setup
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import map_batches
from jaxdissect.engine.labelers import Labeler
from jaxdissect.networks.network import Network
from jaxdissect.stats import quantile

_UNITS, _FILES = 8, 16


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was dissected.

    Attributes:
        network: The network.
        exact: The same with convolutions that are exact; None where none are.
        source: The examples.
        labeler: Finds their labels.
        labels: What it must find [I, G, G, K].
        layers: Names.
        grid: Pixels of the label grid along each side.
        batch_size: Images in a forward pass.
        concepts: C.
        files: JPEG files of the images; None where they are in memory.
    """

    network: Network
    exact: Network | None
    source: Source
    labeler: Labeler
    labels: np.ndarray
    layers: tuple[str, ...]
    grid: int
    batch_size: int
    concepts: int
    files: Sequence[Path] | None

    __repr__ = short_repr


def check_dissection(
    checked: Checked, answer: Mapping[str, Any], other: Mapping[str, Any] | None
) -> Gate:
    """Check thresholds and counts by layer; with the precision that they were found in.

    Args:
        checked: What was dissected.
        answer: What was found, each with `thresholds`, `shared` and `concept`.
        other: The same by another way, which must be the same of all units.
    """
    setup = dissection_setup(
        checked.network,
        checked.source,
        checked.labeler,
        layers=checked.layers,
        preset=PNAS2020,
        grid=(checked.grid, checked.grid),
    )
    whole = tuple(_as_integers(answer[name]) for name in checked.layers)
    pixels, is_exact = _grid_pixels(checked, setup)
    labels = distinct_labels(checked.labels.reshape(-1, checked.labels.shape[-1]))
    found, expected = [], []
    for name in checked.layers:
        chosen = checked_units(setup.layers[name].num_units, _UNITS)
        columns = pixels[name]
        thresholds = sorted_threshold(columns, PNAS2020.fraction)
        shared, concept = count_in_numpy(columns > thresholds, labels, checked.concepts)
        expected.append((quantile.to_keys(thresholds), shared, concept))
        layer = answer[name]
        found.append(
            (
                quantile.to_keys(layer.thresholds[chosen]),
                layer.shared[:, chosen],
                layer.concept,
            )
        )
    against = [f"NumPy in int64, up to {_UNITS} units of each layer"]
    if other is not None:
        found.append(whole)
        expected.append(tuple(_as_integers(other[name]) for name in checked.layers))
        against.append("all units with activations kept")
    if checked.files is not None:
        some = range(0, len(checked.files), -(-len(checked.files) // _FILES))
        found.append([np.rint(255 * checked.source[index]["image"]) for index in some])
        expected.append(
            [decoded_by_pillow(checked.files[index], found[-1][0].shape[0]) for index in some]
        )
        against.append("decoding by Pillow")
    if checked.exact is not None:
        against.append(
            "activations are the whole numbers of exact convolutions"
            if is_exact
            else "activations are NOT the whole numbers that they would be in exact arithmetic, so "
            "that there is no fingerprint"
        )
    passed = gate.equal(found, expected, against="; ".join(against), answer=whole)
    if is_exact:
        return passed
    return Gate(passed=passed.passed, against=passed.against)


def _as_integers(layer: Any) -> tuple[np.ndarray, ...]:
    """Return thresholds as integers in their order, bit by bit, and the counts."""
    return quantile.to_keys(layer.thresholds), layer.shared, layer.concept


def _grid_pixels(checked: Checked, setup: DissectionSetup) -> tuple[dict[str, np.ndarray], bool]:
    """Read the pixels [P, V] of the checked units of every layer.

    Returns:
        The pixels, and whether activations of the first batch are the whole numbers that they
        should be.
    """
    units = {
        name: jnp.asarray(checked_units(layer.num_units, _UNITS))
        for name, layer in setup.layers.items()
    }
    kept: dict[str, list[np.ndarray]] = {name: [] for name in setup.layers}
    exact: list[bool] = []

    def step(batch: dict[str, Any]) -> Any:
        maps = setup.reader.read(setup.network.params, batch).maps
        if not exact:
            exact.append(checked.exact is not None and _same(maps, checked.exact, batch["image"]))
        return {name: jnp.take(maps[name], units[name], axis=-1) for name in setup.layers}

    def receive(batch: dict[str, Any], output: Any) -> None:
        for name, maps in output.items():
            own = np.asarray(maps)[batch["weight"]]
            pixels = resampled_in_numpy(own, setup.grid)
            if pixels is None:  # by the library itself: only that rounds alike
                pixels = np.asarray(setup.layers[name].on_grid(jnp.asarray(own)))
            kept[name].append(pixels.reshape(-1, pixels.shape[-1]))

    map_batches(step, setup.source, batch_size=checked.batch_size, receive=receive)
    return {name: np.concatenate(parts) for name, parts in kept.items()}, exact[0]


def _same(maps: Mapping[str, jax.Array], exact: Network, images: jax.Array) -> bool:
    """Tell whether activations are those of a network with exact convolutions."""
    layers = tuple(maps)
    with jax.default_matmul_precision("highest"):
        expected = jax.jit(lambda params, images: exact.activations(params, images, layers=layers))(
            exact.params, images
        )
    return all(bool((maps[name] == expected[name]).all()) for name in layers)


def resampled_in_numpy(maps: np.ndarray, grid: tuple[int, int]) -> np.ndarray | None:
    """Resample whole numbers [B, h, w, V] to the label grid, bilinearly and exactly.

    Returns:
        Pixels [B, G, G, V], cells filling the image edge to edge; None where float32 may not hold
        them, as the maps are no small whole numbers or their places no fractions of powers of 2.
    """
    if not np.array_equal(maps, np.rint(maps)) or np.abs(maps).max(initial=0) >= 2**12:
        return None
    found = maps.astype(np.float64)
    for axis, size in enumerate(grid, 1):
        places = (np.arange(size) + 0.5) * (maps.shape[axis] / size) - 0.5
        if not np.array_equal(places * 64, np.rint(places * 64)):
            return None
        places = places.clip(0, maps.shape[axis] - 1)
        below = np.minimum(places.astype(int), max(maps.shape[axis] - 2, 0))
        above = np.minimum(below + 1, maps.shape[axis] - 1)
        shape = [-1 if position == axis else 1 for position in range(4)]
        share = (places - below).reshape(shape)
        found = found.take(below, axis) * (1 - share) + found.take(above, axis) * share
    return found.astype(np.float32)
