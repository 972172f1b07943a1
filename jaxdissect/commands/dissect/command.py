"""`jaxdissect dissect`: read what the options name, dissect, and write a folder of results."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from tyro.conf import FlagCreatePairsOff, arg

from jaxdissect.arrays.concepts import read_concepts
from jaxdissect.commands.options.model import choose_layers, find_model
from jaxdissect.commands.options.output import OutputOptions
from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.settings import provenance
from jaxdissect.dissection.presets import PRESETS, Preset, annotated_pixels
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.dissection.top_images import top_images
from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.folders import ImageFolder, image_folder
from jaxdissect.engine.data.tfds import tfds_source
from jaxdissect.engine.labelers import Labeler, annotated, colored, segmented, together
from jaxdissect.networks.segmenters.published import pretrained_segmenter
from jaxdissect.plots import concept_chart, unit_strips
from jaxdissect.scenes.concepts import vocabulary as scene_vocabulary
from jaxdissect.scenes.dataset import scenes_dataset

PresetName = Literal["pnas2020", "netdissect2017", "gandissect2019", "reference"]
Size = tuple[int, int]

_SAMPLE_SIZE = 512
_SAMPLE_SEED = 1_000_003  # pictures that the built-in networks were not trained on


@dataclass(frozen=True, kw_only=True)
class DissectOptions(OutputOptions):
    """Find the concept that every unit of some layers responds to.

    Images come from --sample, from --images with --masks, or from --tfds with --label-features.
    What label ids mean is in --concepts. Without labels, a --segmenter or the colors name concepts.
    """

    model: Annotated[str, arg(metavar="NAME")]
    """`scenes`, a published network such as vgg16_places365 (downloaded once), a kind of network
    such as vgg16 with --weights, or a function without arguments that returns the network, as
    FILE.py:FUNCTION or package.module:FUNCTION, whose input is float images [B, H, W, 3] in
    [0, 1]."""
    weights: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Weights of a kind of network: .pth, .safetensors, .npz."""
    layers: Annotated[
        tuple[str, ...],
        arg(metavar="L [L ...]", help_behavior_hint="(default: known networks have some)"),
    ] = ()
    """Layers to dissect. A wrong name lists the right ones."""
    sample: Annotated[Literal["scenes"] | None, arg(metavar="scenes", help_behavior_hint="")] = None
    """The built-in scenes, drawn with all their labels."""
    num_images: Annotated[
        int | None, arg(metavar="N", help_behavior_hint=f"(default: {_SAMPLE_SIZE})")
    ] = None
    """How many images of the sample."""
    images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of images."""
    masks: Annotated[tuple[Path, ...], arg(metavar="DIR [DIR ...]", help_behavior_hint="")] = ()
    """Folders of label maps (PNG), named like the images; one label channel each."""
    tfds: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Data set that TensorFlow Datasets has prepared as array_record: NAME, NAME/CONFIG:VERSION, or
    its folder."""
    split: Annotated[str | None, arg(metavar="SPLIT", help_behavior_hint="")] = None
    """Part of it, such as test or train[:10%]."""
    data_dir: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Where TensorFlow Datasets keeps what it has prepared, if not in the usual place."""
    label_features: Annotated[tuple[str, ...], arg(metavar="F [F ...]", help_behavior_hint="")] = ()
    """Its features that are label maps; one label channel each."""
    concepts: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """What the label ids mean: .csv (id,name,category), .txt or .json."""
    segmenter: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Published segmenter that labels the images: netpqc, or net with fewer letters (p parts of
    all objects, q halves of objects, c colors); downloaded once."""
    colors: bool = True
    """Also compare with the 11 basic colors, measured from pixels."""
    image_size: Annotated[
        Size | None, arg(metavar="H W", help_behavior_hint="(default: as stored)")
    ] = None
    """Resize images."""
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Use only the first N images."""
    preset: PresetName = "pnas2020"
    """Convention for thresholds and scores."""
    fraction: Annotated[
        float | None, arg(metavar="F", help_behavior_hint="(default: of the preset)")
    ] = None
    """A unit is active on at most this fraction of all pixels."""
    min_iou: Annotated[
        float | None, arg(metavar="X", help_behavior_hint="(default: of the preset)")
    ] = None
    """A unit is a detector above this IoU."""
    annotated_pixels_only: FlagCreatePairsOff[bool] = False
    """Only pixels with a label of a concept's category may speak against it."""
    grid: Annotated[Size, arg(metavar="H W")] = (56, 56)
    """Size of the label grid."""
    batch_size: Annotated[int, arg(metavar="N")] = 8
    """Images in a forward pass; does not change results."""
    memory_budget_gib: Annotated[float, arg(metavar="GIB")] = 2.0
    """Keep activations up to this size; others are computed again in every pass."""
    num_top_images: Annotated[int, arg(metavar="N")] = 10
    """Images to find with the highest peaks of each unit."""

    def run(self) -> None:
        """Dissect as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        check_numbers(self)
        self.check_free()
        preset = choose_preset(self)
        data = read_data(self)
        model = find_model(self.model, self.weights)
        layers = choose_layers(model, self.layers, data.source[0]["image"].shape[:2])
        with self.working() as (folder, progress):
            result = dissect(
                model.network,
                data.source,
                data.labeler,
                layers=layers,
                preset=preset,
                grid=self.grid,
                num_top_images=self.num_top_images,
                batch_size=self.batch_size,
                memory_budget=int(self.memory_budget_gib * 2**30),
                progress=progress,
            )
            result = replace(result, settings={**result.settings, **provenance(self)})
            write_tables(folder, result, data.source)
            concept_chart.save_figure(folder / "concepts.png", concept_chart.concept_figure(result))
            top = top_images(
                result,
                model.network,
                data.source,
                border=preset.border,
                batch_size=self.batch_size,
                progress=progress,
            )
            for name, sheet in unit_strips.file_names(top).items():
                unit_strips.draw_sheet(sheet, top[sheet]).save(folder / name)
        self.print_summary(dissection_tables.summary(result))


PLACES = ("sample", "images", "tfds")
"""Options that say where images come from."""

GOES_WITH = {
    "num_images": "sample",
    "masks": "images",
    "split": "tfds",
    "data_dir": "tfds",
    "label_features": "tfds",
}
"""Options that make sense with one of them only."""


class Data(NamedTuple):
    """Images, and what finds the concepts in them."""

    source: Source
    labeler: Labeler


def check_numbers(options: DissectOptions) -> None:
    """Raise ValueError if a number makes no sense, before anything is read."""
    least = {"batch_size": 1, "num_images": 1, "num_top_images": 1, "limit": 1}
    for name, low in least.items():
        value = getattr(options, name)
        if value is not None and value < low:
            raise ValueError(f"`{name}` (={value}) must be at least {low}")
    for name in ("fraction", "min_iou"):
        value = getattr(options, name)
        if value is not None and not 0 <= value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 0 and below 1")
    if not 0 <= options.memory_budget_gib < float("inf"):
        raise ValueError(f"`memory_budget_gib` (={options.memory_budget_gib}) must not be negative")
    for name in ("grid", "image_size"):
        value = getattr(options, name)
        if value is not None and min(value) < 1:
            raise ValueError(f"`{name}` (={value}) must be a positive height and width")


def choose_preset(options: DissectOptions) -> Preset:
    """Take the preset of the options, with what they change of it."""
    preset = PRESETS[options.preset]
    changes: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("fraction", "min_iou")
        if getattr(options, name) is not None
    }
    if options.annotated_pixels_only:
        if preset.score is not None:
            raise ValueError(
                f"`annotated_pixels_only` does not go with `preset` {preset.name!r}, whose score "
                "always compares all pixels"
            )
        changes["scope"] = annotated_pixels
    return replace(preset, **changes)


def read_data(options: DissectOptions) -> Data:
    """Find the images of the options, and the concepts to look for in them.

    Raises:
        ValueError, OSError: If options contradict each other, or what reads the images or the
            concepts refuses what they name.
    """
    places = [name for name in PLACES if getattr(options, name) is not None]
    if len(places) != 1:
        raise ValueError(f"give one of {_told(PLACES)}, not {_told(places) or 'none of them'}")
    for name, place in GOES_WITH.items():
        if getattr(options, name) not in (None, ()) and place != places[0]:
            raise ValueError(f"`{name}` goes with `{place}`, not with `{places[0]}`")
    if options.sample is not None:
        return _sample(options)
    if bool(options.masks or options.label_features) != bool(options.concepts):
        raise ValueError(
            "label maps (`masks`, `label_features`) and `concepts` go together: ids need names, "
            "and names ids"
        )
    labelers = []
    if options.concepts is not None:
        labelers.append(annotated(read_concepts(options.concepts)))
    if options.segmenter is not None:
        labelers.append(segmented(pretrained_segmenter(options.segmenter)))
    # A segmenter of colors takes the place of measuring them.
    if options.colors and not (options.segmenter or "").endswith("c"):
        labelers.append(colored())
    if not labelers:
        raise ValueError(
            "there are no concepts: give label maps and `concepts`, a `segmenter`, or leave "
            "`colors` on"
        )
    reading: dict[str, Any] = {
        "image_size": options.image_size,
        "vocabulary_size": len(labelers[0].vocabulary) if options.concepts else None,
        "limit": options.limit,
    }
    if options.tfds is not None:
        source: Source = tfds_source(
            options.tfds,
            options.split or "",
            data_dir=options.data_dir,
            labels=options.label_features,
            **reading,
        )
    else:
        assert options.images is not None
        source = image_folder(options.images, masks=options.masks, **reading)
    return Data(source, together(*labelers))


def _sample(options: DissectOptions) -> Data:
    """Draw the scenes, with the labels that they come with."""
    if options.concepts or options.image_size or options.segmenter or not options.colors:
        raise ValueError(
            "`concepts`, `segmenter`, `image_size` and `no_colors` do not go with `sample`, which "
            "comes with all its labels"
        )
    number = options.num_images or _SAMPLE_SIZE
    scenes = scenes_dataset(min(number, options.limit or number), seed=_SAMPLE_SEED)
    return Data(scenes, annotated(scene_vocabulary()))


def _told(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def write_tables(folder: Path, result: Dissection, source: Source) -> None:
    """Write everything but the pictures."""
    result.save(folder)
    result.write_csv(folder / "units.csv")
    dissection_tables.write_concepts_csv(folder / "concepts.csv", result)
    dissection_tables.write_layers_csv(folder / "layers.csv", result)
    if isinstance(source, ImageFolder):
        with open(folder / "images.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("example", "image"), *enumerate(source.names)])
