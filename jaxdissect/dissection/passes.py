"""Passes over the data, or over what was kept of it in device memory.

Shapes: B batch, K labels per pixel, I sampled images, S pixels of each, D devices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float32, PyTree

from jaxdissect.dissection import layer_counts
from jaxdissect.dissection.layer_counts import LayerState, Sampling
from jaxdissect.dissection.layer_search import LayerFound, LayerWork
from jaxdissect.dissection.setup import DissectionSetup, find_labels
from jaxdissect.engine import device_states
from jaxdissect.engine.batching import Batch, Source, read_block
from jaxdissect.engine.identity import content
from jaxdissect.engine.images import check_unit_range
from jaxdissect.engine.layer_reader import check_finite
from jaxdissect.engine.memory_plan import MemoryPlan
from jaxdissect.engine.meter import as_meter
from jaxdissect.engine.processes import Placement, replicated
from jaxdissect.engine.resume import FoldOptions, Portable, fold_resumably, network_settings
from jaxdissect.stats import topk


@dataclass
class KeptBatch:
    """What is kept of a batch in device memory.

    Attributes:
        examples: How many examples count.
        weight: Which they are [B].
        maps: Maps by layer [B, ...], as `LayerOnGrid.keep` gives them.
        labels: Labels [B, H, W, K]; None where they are not kept, or have not been found yet.
    """

    examples: int
    weight: Array
    maps: dict[str, Array]
    labels: Array | None


class Looking(NamedTuple):
    """What the first pass over all examples finds besides its counts.

    Attributes:
        num_top: How many examples with the highest peaks.
        sampled: Layers of which some pixels are taken.
        sampling: Which pixels.
        every: Of which examples: one of so many.
    """

    num_top: int
    sampled: tuple[str, ...]
    sampling: Sampling
    every: int


class PassFound(NamedTuple):
    """What a pass has found, by layer.

    Attributes:
        layers: What was counted.
        top: The examples with the highest peaks.
        samples: Some pixels [I, S, U].
    """

    layers: dict[str, LayerFound]
    top: dict[str, topk.TopK]
    samples: dict[str, Float32[np.ndarray, "I S U"]]


class _PassState(NamedTuple):
    """What a pass has found so far, by layer: of one device, or of each [D, ...]."""

    tops: dict[str, topk.TopKState]
    counts: dict[str, LayerState]


class Passes:
    """Runs the passes of one dissection, and counts how often the network runs.

    Attributes:
        setup: What is dissected.
        plan: What is kept.
        kept: What was kept of every batch, in order.
        network_runs: On how many examples the network has run.

    Args:
        setup: What is dissected.
        plan: What to keep.
        options: How to pass over the data.
        labels: Labels of every batch that are known from elsewhere, in device memory.
    """

    def __init__(
        self,
        setup: DissectionSetup,
        plan: MemoryPlan,
        options: FoldOptions,
        *,
        labels: list[Array] | None = None,
    ) -> None:
        self.setup, self.plan, self.options = setup, plan, options
        self.kept: list[KeptBatch] = []
        self.network_runs = 0
        self._passes = 0
        self._mesh = Placement(options.mesh).mesh
        self._known_labels = labels or []
        self._params = replicated((setup.network.params, setup.labeler.params), options.mesh)

    def sample(
        self, source: Source, layers: tuple[str, ...], sampling: Sampling
    ) -> dict[str, Float32[np.ndarray, "I S U"]]:
        """Run the network over some examples, and take some pixels of each, by layer."""
        chosen = self._chosen(layers)
        samples = self._no_samples(len(source), layers, sampling)

        def step(params: PyTree, state: tuple[()], batch: dict[str, Any]) -> Any:
            maps = self.setup.reader.read(params[0], batch).maps
            maps = {name: maps[name] for name in layers}
            found = layer_counts.sample_layers(
                maps, batch["example"], layers=chosen, sampling=sampling
            )
            return state, found

        def receive(batch: Batch, found: dict[str, Array]) -> None:
            rows = batch["example"][batch["weight"]]
            for name, pixels in found.items():
                samples[name][rows] = np.asarray(pixels)[batch["weight"]]

        plain = (self.setup.network.params, self.setup.labeler.params)
        self._fold(
            partial(step, self._params),
            (),
            source,
            plain_step=partial(step, plain),
            kept=samples,
            receive=receive,
            description="pilot",
        )
        return samples

    def run(
        self, work: Mapping[str, LayerWork], description: str, *, looking: Looking | None = None
    ) -> PassFound:
        """Count in some layers, over the data or, if that is enough, over what was kept of it.

        Args:
            work: What to count.
            description: What the pass is for.
            looking: What to find besides, in the first pass; what is to be kept is kept then.
        """
        collects = any(part.collects for part in work.values())
        has_labels = bool(self.kept) and self.kept[0].labels is not None
        is_kept = looking is None and not any(name in self.plan.again for name in work)
        if is_kept and (has_labels or not collects):
            return self._over_kept(work, description)
        return self._over_data(work, description, looking, reads=not is_kept)

    def _over_kept(self, work: Mapping[str, LayerWork], description: str) -> PassFound:
        count = self._counting(work)
        counts = self._spread(self._nothing(work, None)).counts
        done, source = 0, self.setup.source
        metered = as_meter(self.options.progress).begin(description, source, len(source))
        for batch in self.kept:
            maps = {name: batch.maps[name] for name in work}
            counts = count(counts, maps, batch.labels, batch.weight, self._mesh)
            done += batch.examples
            metered.ran(batch.examples, forward_passes=0)
            metered.reached(done)
        found = PassFound(self._finalize(counts), {}, {})
        metered.end()
        return found

    def _over_data(
        self,
        work: Mapping[str, LayerWork],
        description: str,
        looking: Looking | None,
        *,
        reads: bool,
    ) -> PassFound:
        setup, plan = self.setup, self.plan
        collects = any(part.collects for part in work.values())
        keeps = looking is not None and (bool(plan.kept) or plan.labels)
        has_labels = bool(self.kept) and self.kept[0].labels is not None
        # Where all is kept, labels are found while the images are there.
        finds = not has_labels and (collects or (keeps and plan.labels and not plan.again))
        reads = reads or (finds and setup.reader.output_image is not None)
        count = self._counting(work)
        every_layer = self._chosen(tuple(setup.layers))
        samples: dict[str, np.ndarray] = {}
        if looking is not None:
            number = -(-len(setup.source) // looking.every)
            samples = self._no_samples(number, looking.sampled, looking.sampling)
        before = iter(list(self.kept))
        known_labels = iter(self._known_labels)

        def step(mesh: Mesh | None, params: PyTree, state: _PassState, batch: Any) -> Any:
            tops, counts = state
            fresh, image, seen = {}, None, None
            if reads:
                fresh, image = setup.reader.read(params[0], batch)
            here = next(before, None)
            if looking is not None:
                tops, (seen, own) = layer_counts.look(
                    tops,
                    fresh,
                    batch["example"],
                    batch["weight"],
                    layers=every_layer,
                    keep=plan.kept,
                    sampled=looking.sampled,
                    sampling=looking.sampling,
                    mesh=mesh,
                )
                if keeps:
                    here = KeptBatch(0, batch["weight"], own, None)
                    self.kept.append(here)
            labels, ends = None if here is None else here.labels, None
            if finds:
                labels = next(known_labels, None)
            if finds and labels is None:
                shown = batch if image is None else {**batch, "image": image}
                found = find_labels(setup.labelling, params[1], shown)
                labels = found.labels.astype(setup.rows.label_type)
                ends = (found.lowest, found.highest)
            if here is not None and plan.labels:
                here.labels = labels
            maps = {
                name: here.maps[name] if here is not None and name in plan.kept else fresh[name]
                for name in work
            }
            counts = count(counts, maps, labels, batch["weight"], mesh)
            return _PassState(tops, counts), (seen, ends)

        def plain_step(state: _PassState, batch: dict[str, Any]) -> Any:
            params = setup.network.params, setup.labeler.params
            state, output = step(None, params, jax.tree.map(lambda leaf: leaf[None], state), batch)
            return jax.tree.map(lambda leaf: leaf[0], state), output

        received = iter(self.kept)

        def receive(batch: Batch, output: Any) -> None:
            seen, ends = output
            examples = batch["example"][batch["weight"]]
            if seen is not None and looking is not None:
                check_finite(seen.finite, batch)
                check_unit_range(batch, setup.labeled_images)
                rows = np.flatnonzero(batch["weight"] & (batch["example"] % looking.every == 0))
                for name, pixels in seen.sample.items():
                    places = batch["example"][rows] // looking.every
                    samples[name][places] = np.asarray(pixels)[rows]
            if ends is not None:
                lowest, highest = ends
                _check_labels(lowest, highest, examples, len(setup.labeler.vocabulary))
            if keeps:
                next(received).examples = len(examples)

        nothing = self._nothing(work, looking)
        state = self._fold(
            partial(step, self._mesh, self._params),
            self._spread(nothing),
            setup.source,
            plain_step=plain_step,
            portable=Portable(self._collapse, lambda found: self._spread(found, nothing)),
            kept=samples,
            receive=receive,
            description=description,
            forward_passes=int(reads),
        )
        tops = {
            name: topk.finalize(device_states.collapse(top, topk.merge, self.options.mesh))
            for name, top in state.tops.items()
        }
        return PassFound(self._finalize(state.counts), tops, samples)

    def _counting(self, work: Mapping[str, LayerWork]) -> Any:
        """Return ``count(states, maps, labels, weight, mesh)``."""
        chosen = self._chosen(tuple(work))
        columns = {
            name: replicated(layer_counts.columns_of(part), self.options.mesh)
            for name, part in work.items()
        }
        collects = any(part.collects for part in work.values())

        def count(states: Any, maps: Any, labels: Any, weight: Array, mesh: Mesh | None) -> Any:
            if not work:
                return states
            return layer_counts.count(
                states,
                columns,
                maps,
                labels if collects else None,
                weight,
                layers=chosen,
                kept=self.plan.kept,
                num_rows=self.setup.rows.number,
                mesh=mesh,
            )

        return count

    # --- states of one device and of all ----------------------------------------------------------

    def _nothing(self, work: Mapping[str, LayerWork], looking: Looking | None) -> _PassState:
        setup = self.setup
        counts = {
            name: layer_counts.init(
                part,
                num_rows=setup.rows.number,
                num_labels=setup.label_shape[-1],
                label_type=setup.rows.label_type,
            )
            for name, part in work.items()
        }
        layers = {} if looking is None else setup.layers
        num_top = 0 if looking is None else looking.num_top
        tops = {name: topk.init(layer.num_units, num_top) for name, layer in layers.items()}
        return _PassState(tops, counts)

    def _spread(self, state: _PassState, nothing: _PassState | None = None) -> _PassState:
        return device_states.spread(state, nothing or state, self.options.mesh)

    def _collapse(self, states: _PassState) -> _PassState:
        return device_states.collapse(states, _merge, self.options.mesh)

    def _finalize(self, counts: Mapping[str, LayerState]) -> dict[str, LayerFound]:
        mesh = self.options.mesh
        return {name: layer_counts.finalize(states, mesh) for name, states in counts.items()}

    def _fold(
        self, step: Any, state: Any, source: Source, *, forward_passes: int = 1, **arguments: Any
    ) -> Any:
        self.network_runs += forward_passes * len(source)
        self._passes += 1
        return fold_resumably(
            step,
            state,
            source,
            settings=self._settings,
            forward_passes=forward_passes,
            **self.options.of(f"pass-{self._passes}"),
            **arguments,
        )

    def _settings(self) -> dict[str, Any]:
        setup = self.setup
        example = jax.tree.map(jnp.asarray, read_block(setup.source, 0, 1))
        return {
            "layers": list(setup.layers),
            "preset": setup.preset.name,
            "grid": list(setup.grid),
            "concepts": content(list(setup.labeler.vocabulary.names)),
            "labeler (weights)": content(setup.labeler.params),
            **network_settings(setup.network, setup.reader.inputs, example),
        }

    def _chosen(self, names: tuple[str, ...]) -> layer_counts.Layers:
        return tuple((name, layer) for name, layer in self.setup.layers.items() if name in names)

    def _no_samples(
        self, number: int, layers: tuple[str, ...], sampling: Sampling
    ) -> dict[str, np.ndarray]:
        grid = self.setup.grid
        there = min(sampling.lattice[0], grid[0]) * min(sampling.lattice[1], grid[1])
        pixels = min(sampling.number, there)
        return {
            name: np.zeros((number, pixels, self.setup.layers[name].num_units), np.float32)
            for name in layers
        }


def _merge(a: _PassState, b: _PassState) -> _PassState:
    return _PassState(
        {name: topk.merge(top, b.tops[name]) for name, top in a.tops.items()},
        {name: layer_counts.merge(counts, b.counts[name]) for name, counts in a.counts.items()},
    )


def _check_labels(lowest: Array, highest: Array, examples: np.ndarray, num_concepts: int) -> None:
    for labels, wrong in (
        (lowest, np.asarray(lowest) < 0),
        (highest, np.asarray(highest) >= num_concepts),
    ):
        wrong = wrong[: len(examples)]
        if wrong.any():
            place = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"`labels` of example {examples[place]} contain {int(labels[place])}, which is "
                f"not in the vocabulary: ids are 0 to {num_concepts - 1}, where 0 means no label"
            )
