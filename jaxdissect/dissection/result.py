"""The result of dissecting a network: which unit stands for which concept.

Shapes: C concepts including "none", U units, k top images.
"""

import csv
import operator
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import numpy as np
from jaxtyping import Float, Float32, Int64

from jaxdissect.arrays.concepts import NONE, Vocabulary
from jaxdissect.arrays.names import csv_cell
from jaxdissect.arrays.resampling import Shape
from jaxdissect.dissection import notebook_view
from jaxdissect.dissection.another_fraction import at_fraction
from jaxdissect.dissection.subject import Subject
from jaxdissect.engine.batching import Source
from jaxdissect.engine.identity import digest
from jaxdissect.engine.label_grid import LayerOnGrid
from jaxdissect.engine.layer_reader import Inputs, OutputImage, image_input
from jaxdissect.engine.saved_files import check_file, damaged, read_json, write_json
from jaxdissect.networks.network import as_network
from jaxdissect.networks.weights.files import sha256
from jaxdissect.stats import scores
from jaxdissect.stats.agreement import AgreementCounts

if TYPE_CHECKING:
    from jaxdissect.dissection.unit import Unit

_ARRAYS, _DESCRIPTION = "arrays.npz", "dissection.json"
_FORMAT, _WITHOUT_CHECKSUM = 3, (1, 2)

_CHECKED_UNITS = 3  # of every layer, when a network is given again

_WAY_OUT = "dissect again, or copy the folder again from where it is whole"


class CategoryCount(NamedTuple):
    """How many units detect concepts of a category, and how many distinct concepts these are."""

    units: int
    concepts: int


@dataclass(frozen=True)
class LayerDissection:
    """What the units of one layer respond to.

    Attributes:
        name: The layer.
        vocabulary: The concepts.
        min_iou: A unit is called a detector of its best concept above this IoU.
        thresholds: A unit is active where it is strictly greater than this, float32.
        counts: Pixels shared by units and concepts; rows from C on count scopes.
        scope_of: For every concept the row with the number of pixels that count against it.
        iou: Intersection over union of each concept and unit, in [0, 1].
        top_examples: Positions of the images with the highest peak of each unit, best first.
        top_values: These peaks.
        on_grid: How the layer was read on the label grid; None where that is not known, in results
            saved before version 0.2 or read by an alignment or border of the user's own.
    """

    name: str
    vocabulary: Vocabulary
    min_iou: float
    thresholds: Float32[np.ndarray, "U"]
    counts: AgreementCounts
    scope_of: Int64[np.ndarray, "C"]
    iou: Float[np.ndarray, "C U"]
    top_examples: Int64[np.ndarray, "U k"]
    top_values: Float32[np.ndarray, "U k"]
    on_grid: LayerOnGrid | None = None

    def __repr__(self) -> str:
        return f"LayerDissection({notebook_view.layer_line(self)})"

    def _repr_html_(self) -> str:
        return notebook_view.layer_html(self)

    @property
    def num_units(self) -> int:
        """U."""
        return len(self.thresholds)

    @cached_property
    def active_fraction(self) -> Float[np.ndarray, "U"]:
        """Fraction of all pixels on which each unit is active."""
        return self.counts.unit / self.counts.total

    def score(
        self, function: Callable[[scores.ContingencyTable], Float[np.ndarray, "C U"]]
    ) -> Float[np.ndarray, "C U"]:
        """Any score of units and concepts, such as `scores.f1`, within the same scope."""
        return function(scores.within(self.counts, self.scope_of))

    def ranking(self, number: int) -> Int64[np.ndarray, "number U"]:
        """The ids of each unit's best concepts, best first, equals by id.

        Places where the IoU is 0 hold 0, "none". A NaN (see the reference preset) comes first.
        """
        order = self._order(number)
        return np.where(np.take_along_axis(self.iou, order, axis=0) == 0, 0, order)

    def _order(self, number: int) -> Int64[np.ndarray, "number U"]:
        return np.argsort(-np.nan_to_num(self.iou, nan=np.inf), axis=0, kind="stable")[:number]

    @cached_property
    def best_concept(self) -> Int64[np.ndarray, "U"]:
        """The id of each unit's best concept, 0 if it has none; of equals the first."""
        best = np.argmax(np.nan_to_num(self.iou, nan=np.inf), axis=0)
        return np.where(self.iou[best, np.arange(self.num_units)] == 0, 0, best)

    @cached_property
    def best_iou(self) -> Float[np.ndarray, "U"]:
        """IoU of each unit with its best concept."""
        return self.iou[self.best_concept, np.arange(self.num_units)]

    def best_units(self, number: int) -> list[int]:
        """Choose the units with the highest IoU with a concept, best first, equals by unit."""
        comparable = (self.best_concept > 0) & np.isfinite(self.best_iou)
        order = np.argsort(-np.where(comparable, self.best_iou, -1.0), kind="stable")
        return [int(unit) for unit in order[:number] if comparable[unit]]

    def detectors(self, *, min_iou: float | None = None) -> Int64[np.ndarray, "D"]:
        """Units whose best IoU exceeds `min_iou`, best first."""
        limit = self.min_iou if min_iou is None else min_iou
        order = np.argsort(-self.best_iou, kind="stable")
        return order[(self.best_iou > limit)[order] & (self.best_concept > 0)[order]]

    def iou_of(self, concept: str, *, category: str | None = None) -> Float[np.ndarray, "U"]:
        """Return the IoU of every unit with one concept.

        Args:
            concept: Name of the concept.
            category: Its category, needed where several have a concept of that name.

        Raises:
            ValueError: If there is no such concept (lists similar names), or more than one.
        """
        return self.iou[self._concept(concept, category)]

    def find(
        self, concept: str, *, category: str | None = None, min_iou: float | None = None
    ) -> Int64[np.ndarray, "D"]:
        """Find the detectors of one concept: the units that match no other concept better.

        Args:
            concept: Name of the concept.
            category: Its category, needed where several have a concept of that name.
            min_iou: Limit of IoU instead of the layer's.

        Returns:
            Units, best first; none where the concept has no detector.

        Raises:
            ValueError: If there is no such concept (lists similar names), or more than one.
        """
        wanted = self._concept(concept, category)
        detectors = self.detectors(min_iou=min_iou)
        return detectors[self.best_concept[detectors] == wanted]

    def _concept(self, name: str, category: str | None) -> int:
        if name == NONE:
            raise ValueError(f"`concept` (={name!r}) is no concept: it stands for none")
        return self.vocabulary.index(name, category=category)

    def with_min_iou(self, min_iou: float) -> "LayerDissection":
        """Call units detectors above another IoU, as if the preset had had it.

        Raises:
            ValueError: If `min_iou` is negative, or 1 or more.
        """
        if not 0 <= min_iou < 1:
            raise ValueError(f"`min_iou` (={min_iou}) must be at least 0 and below 1")
        return replace(self, min_iou=min_iou)

    def concept_counts(self, *, min_iou: float | None = None) -> dict[int, int]:
        """Number of detectors of each detected concept, by category, then most units first."""
        ids, units = np.unique(
            self.best_concept[self.detectors(min_iou=min_iou)], return_counts=True
        )
        categories = self.vocabulary.category_names
        place = [categories.index(self.vocabulary.categories[concept]) for concept in ids]
        order = np.lexsort((ids, -units, np.array(place, int)))
        return {int(ids[i]): int(units[i]) for i in order}

    def category_counts(self, *, min_iou: float | None = None) -> dict[str, CategoryCount]:
        """Detectors and distinct detected concepts of every category of the vocabulary."""
        counts = self.concept_counts(min_iou=min_iou)
        result = {}
        for category in self.vocabulary.category_names:
            members = [n for c, n in counts.items() if self.vocabulary.categories[c] == category]
            result[category] = CategoryCount(sum(members), len(members))
        return result

    def rows(self, *, runners_up: int = 2) -> Iterator[dict[str, Any]]:
        """One table row per unit: threshold, best concepts with their IoU, top images."""
        ranking = self.ranking(1 + runners_up)
        ranked_iou = np.take_along_axis(self.iou, self._order(1 + runners_up), axis=0)
        for unit in range(self.num_units):
            row: dict[str, Any] = {
                "layer": self.name,
                "unit": unit,
                "threshold": float(self.thresholds[unit]),
                "active_fraction": float(self.active_fraction[unit]),
                "detector": bool(
                    self.best_iou[unit] > self.min_iou and self.best_concept[unit] > 0
                ),
            }
            for place, concept in enumerate(ranking[:, unit], 1):
                row[f"concept_{place}"] = self.vocabulary.names[concept]
                row[f"category_{place}"] = self.vocabulary.categories[concept]
                row[f"iou_{place}"] = float(ranked_iou[place - 1, unit])
            row["top_examples"] = " ".join(map(str, self.top_examples[unit]))
            yield row


class Provenance(NamedTuple):
    """What activations came from, so that they can be computed again as they were.

    Attributes:
        network: Digest of the network's parameters.
        layers: Layers that were read together.
        token_grid: Rows and columns of token layers, if they were given.
        drop_tokens: Tokens that are no cells, if they were given (see `as_network`).
        batch_size: Images in a forward pass.
    """

    network: str
    layers: tuple[str, ...]
    token_grid: Shape | None
    batch_size: int
    drop_tokens: int | tuple[int, ...] | None = None


@dataclass(frozen=True)
class Dissection:
    """What the units of several layers respond to, on one data set.

    Attributes:
        layers: Results by layer, in the order asked for.
        vocabulary: The concepts.
        settings: How it was done, as JSON values.
        provenance: What the activations came from; None in results saved before version 0.2.
        subject: The network and the images, which `Unit` shows; None in results that were loaded,
            see `with_network`. It is neither saved nor pickled.
    """

    layers: Mapping[str, LayerDissection]
    vocabulary: Vocabulary
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None
    subject: Subject | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Dissection({notebook_view.dissection_line(self)})"

    def _repr_html_(self) -> str:
        return notebook_view.dissection_html(self)

    def __getstate__(self) -> dict[str, Any]:
        # Functions of the user and open files cannot be pickled, and weights are large.
        return {**self.__dict__, "subject": None}

    def __getitem__(self, layer: str) -> LayerDissection:
        if layer not in self.layers:
            raise KeyError(f"no layer {layer!r}; dissected were {', '.join(self.layers)}")
        return self.layers[layer]

    def only(self, *layers: str) -> "Dissection":
        """Keep some of the layers.

        Raises:
            KeyError: If one was not dissected.
        """
        return replace(self, layers={layer: self[layer] for layer in layers})

    def unit(self, layer: str, unit: SupportsIndex) -> "Unit":
        """Take one unit of a layer, to see what it responds to.

        Raises:
            KeyError: If the layer was not dissected.
            ValueError: If the layer has no unit of that number.
        """
        from jaxdissect.dissection.unit import Unit  # which stands on this module

        return Unit(self, layer, operator.index(unit))

    def with_network(
        self,
        network: Any,
        source: Source,
        *,
        inputs: Inputs = image_input,
        output_image: OutputImage | None = None,
        image_key: str = "image",
    ) -> "Dissection":
        """Give a result the network and the images it is of, for example after it was loaded.

        Args:
            network: The network that was dissected, a Network or an nnx.Module.
            source: The examples on which it was dissected, in the same order.
            inputs, output_image: What `dissect` was given.
            image_key: Name of the image of an example, RGB in [0, 1].

        Returns:
            The same result, of which `unit` gives units that can be shown in images. A few images
            have been read, and their peaks compared with those of the dissection.

        Raises:
            ValueError: If parameters, examples or `inputs` are not those of the dissection, there
                are no images of that name, or the result was saved before version 0.2 and does not
                know.
            TypeError: If `network` is neither a Network nor an nnx.Module.
        """
        if self.provenance is None:
            raise ValueError(
                "the dissection does not know which network it is of: it was saved before version "
                "0.2; dissect again"
            )
        own = as_network(
            network,
            token_grid=self.provenance.token_grid,
            drop_tokens=self.provenance.drop_tokens,
        )
        if digest(own.params) != self.provenance.network:
            raise ValueError(
                "`network` is not the one that was dissected: its parameters are others"
            )
        examples = self.settings.get("examples", len(source))
        if len(source) != examples:
            raise ValueError(
                f"`source` has {len(source)} examples, and {examples} were dissected: give the "
                "same images in the same order"
            )
        subject = Subject(own, source, inputs, output_image, image_key)
        self._check_peaks(subject)
        return replace(self, subject=subject)

    def with_min_iou(self, min_iou: float) -> "Dissection":
        """Call units detectors above another IoU, in all layers, as if the preset had had it.

        Raises:
            ValueError: If `min_iou` is negative, or 1 or more.
        """
        layers = {name: layer.with_min_iou(min_iou) for name, layer in self.layers.items()}
        return replace(self, layers=layers, settings={**self.settings, "min_iou": min_iou})

    def with_fraction(self, fraction: float) -> "Dissection":
        """Take units to be active on at most another fraction of all pixels, without a new run.

        Counts are of the pixels above the thresholds that there are. They are exact at a smaller
        fraction for units that are active on no more pixels than that, because they reach a ceiling
        or are never active: their thresholds stay. It is refused where a unit would have another.

        Args:
            fraction: In [0, 1).

        Raises:
            ValueError: If `fraction` is out of range, a unit would have another threshold (says how
                many, and how to dissect again), or thresholds were given or interpolated.
        """
        return at_fraction(self, fraction)

    def rows(self, *, runners_up: int = 2) -> Iterator[dict[str, Any]]:
        """One table row per unit of every layer, see `LayerDissection.rows`."""
        for layer in self.layers.values():
            yield from layer.rows(runners_up=runners_up)

    def to_frame(self, *, runners_up: int = 2) -> Any:
        """Make a pandas DataFrame with one row per unit of every layer.

        Args:
            runners_up: How many concepts to list besides the best.

        Raises:
            ModuleNotFoundError: If pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "`to_frame` needs pandas, which is not installed: `python -m pip install pandas`, "
                "or take `rows()`, which gives the same rows as dictionaries",
                name="pandas",
            ) from None
        return pandas.DataFrame.from_records(list(self.rows(runners_up=runners_up)))

    def _check_peaks(self, subject: Subject) -> None:
        """Refuse other images or `inputs`: a few peaks are read again, and must be the same."""
        from jaxdissect.dissection.unit_images import top_images  # which stands on this module

        known = [name for name, layer in self.layers.items() if layer.on_grid is not None]
        units = {name: self[name].best_units(_CHECKED_UNITS) or [0] for name in known}
        top_images(
            self.only(*known),
            subject.network,
            subject.source,
            inputs=subject.inputs,
            output_image=subject.output_image,
            image_key=subject.image_key,
            units=units,
            num_images=1,
        )

    def save(self, folder: str | Path) -> None:
        """Write the arrays (npz) and everything else (json) into a folder, made if need be."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for index, layer in enumerate(self.layers.values()):
            arrays |= {
                f"{index}/thresholds": layer.thresholds,
                f"{index}/intersection": layer.counts.intersection,
                f"{index}/concept": layer.counts.concept,
                f"{index}/scope_of": layer.scope_of,
                f"{index}/iou": layer.iou,
                f"{index}/top_examples": layer.top_examples,
                f"{index}/top_values": layer.top_values,
            }
        description = {
            "format": _FORMAT,
            "layers": {name: layer.min_iou for name, layer in self.layers.items()},
            "names": self.vocabulary.names,
            "categories": self.vocabulary.categories,
            "settings": dict(self.settings),
            "provenance": None if self.provenance is None else self.provenance._asdict(),
            "on_grid": {
                name: None if layer.on_grid is None else layer.on_grid.to_json()
                for name, layer in self.layers.items()
            },
        }
        np.savez_compressed(folder / _ARRAYS, **arrays)
        description["arrays"] = sha256(folder / _ARRAYS)
        write_json(folder / _DESCRIPTION, description)

    def write_csv(self, path: str | Path) -> None:
        """Write one row per unit of every layer."""
        rows = list(self.rows())
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows({key: csv_cell(cell) for key, cell in row.items()} for row in rows)


def load_dissection(folder: str | Path) -> Dissection:
    """Read what `Dissection.save` wrote.

    Raises:
        FileNotFoundError: If the folder holds no dissection.
        ValueError: If it was written in another format, or a file is damaged; the message names it.
    """
    folder = Path(folder)
    if not (folder / _DESCRIPTION).exists():
        raise FileNotFoundError(f"no dissection in {folder}: {_DESCRIPTION} is missing")
    path = folder / _DESCRIPTION
    description = read_json(path, way_out=_WAY_OUT, without_checksum=_WITHOUT_CHECKSUM)
    if description.get("format") not in (*_WITHOUT_CHECKSUM, _FORMAT):
        raise ValueError(
            f"{path} has format {description.get('format')!r}, and this version reads 1 to "
            f"{_FORMAT}: update jaxdissect, or dissect again"
        )
    if description["format"] not in _WITHOUT_CHECKSUM:
        check_file(folder / _ARRAYS, str(description.get("arrays")), way_out=_WAY_OUT)
    arrays = _read_arrays(folder / _ARRAYS)
    try:
        return _dissection(description, arrays)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
        raise damaged(path, f"it does not fit {_ARRAYS}: {problem!r}", _WAY_OUT) from problem


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise damaged(path, "it is missing", _WAY_OUT)
    with open(path, "rb") as file:
        try:
            # Checks all checksums, of which numpy looks at some.
            if broken := zipfile.ZipFile(file).testzip():
                raise ValueError(f"{broken} does not match its checksum")
            file.seek(0)
            arrays = np.load(file, allow_pickle=False)
            return {name: arrays[name] for name in arrays.files}
        except Exception as problem:  # broken bytes can trip decompression up in any way
            raise damaged(path, f"it is no npz file: {problem!r}", _WAY_OUT) from problem


def _dissection(description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Dissection:
    """Put a dissection together; whatever does not fit is an error of any kind."""
    concepts = Vocabulary(tuple(description["names"]), tuple(description["categories"]))
    on_grid = description.get("on_grid", {})  # format 1 has none
    layers = {}
    for index, (name, min_iou) in enumerate(description["layers"].items()):
        layers[name] = LayerDissection(
            name,
            concepts,
            min_iou,
            arrays[f"{index}/thresholds"],
            AgreementCounts(arrays[f"{index}/intersection"], arrays[f"{index}/concept"]),
            arrays[f"{index}/scope_of"],
            arrays[f"{index}/iou"],
            arrays[f"{index}/top_examples"],
            arrays[f"{index}/top_values"],
            LayerOnGrid.from_json(on_grid[name]) if on_grid.get(name) else None,
        )
        _check_shapes(layers[name])
    provenance = description.get("provenance")
    return Dissection(
        layers,
        concepts,
        description["settings"],
        None if provenance is None else _provenance(provenance),
    )


def _check_shapes(layer: LayerDissection) -> None:
    num_concepts, num_units = len(layer.vocabulary), layer.num_units
    num_rows, num_top = len(layer.counts.concept), layer.top_examples.shape[1]
    for array, shape in (
        (layer.iou, (num_concepts, num_units)),
        (layer.scope_of, (num_concepts,)),
        (layer.counts.intersection, (num_rows, num_units)),
        (layer.top_examples, (num_units, num_top)),
        (layer.top_values, (num_units, num_top)),
    ):
        if array.shape != shape:
            raise ValueError(f"layer {layer.name!r} has arrays of {array.shape} instead of {shape}")


def _provenance(values: Mapping[str, Any]) -> Provenance:
    grid, drop = values["token_grid"], values.get("drop_tokens")
    return Provenance(
        network=values["network"],
        layers=tuple(values["layers"]),
        token_grid=None if grid is None else (grid[0], grid[1]),
        batch_size=values["batch_size"],
        drop_tokens=tuple(drop) if isinstance(drop, list) else drop,
    )
