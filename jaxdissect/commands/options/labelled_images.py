"""Options that name images with the concepts to look for in them, and what these options name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypedDict

import numpy as np
from tyro.conf import arg

from jaxdissect.arrays.concepts import Vocabulary, read_concepts
from jaxdissect.commands.options.image_cache import ImageCacheOption
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.segmenter import SEGMENTER_OPTIONS, SegmenterOptions
from jaxdissect.commands.options.size import OptionalSize
from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.folders import OnError, image_folder
from jaxdissect.engine.data.tfds import tfds_source
from jaxdissect.engine.labelers import Labeler, annotated, colored, segmented, together
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.scenes.concepts import scene_vocabulary
from jaxdissect.scenes.dataset import scenes_dataset

SAMPLE_SIZE = 512
"""Images of the sample, unless the user wants another number."""

_SAMPLE_SEED = 1_000_003  # images that the built-in networks were not trained on


@dataclass(frozen=True, kw_only=True)
class LabelledImages(SegmenterOptions, ImageCacheOption):
    """Options that name images of the sample or of a folder, and concepts."""

    sample: Annotated[Literal["scenes"] | None, arg(metavar="scenes", help_behavior_hint="")] = None
    """The built-in scenes, drawn with all their labels."""
    num_images: Annotated[
        int | None, arg(metavar="N", help_behavior_hint=f"(default: {SAMPLE_SIZE})")
    ] = None
    """Number of images of the sample."""
    images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of images."""
    masks: Annotated[tuple[Path, ...], arg(metavar="DIR [DIR ...]", help_behavior_hint="")] = ()
    """Folders of label maps (PNG, TIFF), named like the images; one label channel each."""
    concepts: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """What the label ids mean: .csv (id,name,category), .txt or .json."""
    ignore_label: Annotated[int | None, arg(metavar="ID", help_behavior_hint="")] = None
    """Value of label maps where nothing is labelled besides 0, often 255."""
    first_label: Annotated[int, arg(metavar="ID")] = 1
    """Value of the first concept in label maps and --concepts: 1, or 0 where 0 is a concept."""
    colors: bool = True
    """Also compare with the 11 basic colors, measured from pixels."""
    image_size: Annotated[
        OptionalSize, arg(metavar="H [W]", help_behavior_hint="(default: as stored)")
    ] = None
    """Resize images to this height and width; one number for both."""
    on_error: OnError = "raise"
    """What to do about image files that cannot be read: end, or skip them and list them in the
    settings."""
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Use only the first N images."""


@dataclass(frozen=True, kw_only=True)
class LabelledDataSet:
    """Options that name images, with their label maps, of TensorFlow Datasets."""

    tfds: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Data set that TensorFlow Datasets has prepared as array_record: NAME, NAME/CONFIG:VERSION, or
    its folder."""
    split: Annotated[str | None, arg(metavar="SPLIT", help_behavior_hint="")] = None
    """Part of the data set, such as test or train[:10%]."""
    data_dir: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder where TensorFlow Datasets keeps what it has prepared, if not the usual one."""
    label_features: Annotated[tuple[str, ...], arg(metavar="F [F ...]", help_behavior_hint="")] = ()
    """Features of the data set that are label maps; one label channel each."""


class ImagesWithLabels(NamedTuple):
    """Images, and what finds the concepts in them."""

    source: Source
    labeler: Labeler


_GOES_WITH = {
    "num_images": "sample",
    "masks": "images",
    "split": "tfds",
    "data_dir": "tfds",
    "label_features": "tfds",
}
"""Options that make sense with one origin of images only."""


def find_labelled_images(
    options: LabelledImages, data_set: LabelledDataSet | None = None
) -> ImagesWithLabels:
    """Find the images that options name, and the concepts to look for in them.

    Args:
        options: Images of the sample or of a folder, and concepts.
        data_set: The further options of commands that also take images of TensorFlow Datasets.

    Raises:
        ValueError, OSError: If a number makes no sense, options contradict each other, or what
            reads the images or the concepts refuses what they name.
    """
    check_at_least(options, num_images=1, limit=1, image_size=1)
    data_set = data_set or LabelledDataSet()
    _check_origin(options, data_set)
    if options.sample is not None:
        return _sample(options)
    if bool(options.masks or data_set.label_features) != bool(options.concepts):
        raise ValueError(
            "label maps (`masks`, `label_features`) and `concepts` go together: ids need names, "
            "and names ids"
        )
    if options.concepts is None and (options.ignore_label, options.first_label) != (None, 1):
        raise ValueError("`ignore_label` and `first_label` go with label maps and `concepts`")
    known = None
    if options.concepts is not None:
        known = read_concepts(options.concepts, first_label=options.first_label)
    if options.segmenter is None:
        options.check_no_segmenter()
        if known is None and not options.colors:
            raise ValueError(
                "there are no concepts: give label maps and `concepts`, a `segmenter`, or leave "
                "`colors` on"
            )
    reading: _Reading = {
        "image_size": options.image_size,
        "vocabulary_size": None if known is None else len(known),
        "ignore_label": options.ignore_label,
        "first_label": options.first_label,
        "limit": options.limit,
    }
    if data_set.tfds is not None:
        source: Source = tfds_source(
            data_set.tfds,
            data_set.split or "",
            data_dir=data_set.data_dir,
            labels=data_set.label_features,
            **reading,
        )
    else:
        assert options.images is not None
        source = image_folder(
            options.images, masks=options.masks, on_error=options.on_error, **reading
        )
    segmenter = None
    if options.segmenter is not None:
        segmenter = options.build_segmenter(np.asarray(source[0]["image"]))
    return ImagesWithLabels(source, together(*_labelers(known, segmenter, colors=options.colors)))


class _Reading(TypedDict):
    """How images are read, wherever they come from."""

    image_size: tuple[int, int] | None
    vocabulary_size: int | None
    ignore_label: int | None
    first_label: int
    limit: int | None


def _check_origin(options: LabelledImages, data_set: LabelledDataSet) -> None:
    """Check that images come from one place, and that no option is about another place."""
    given = vars(options) | vars(data_set)
    origins = [name for name in ("sample", "images", "tfds") if given[name] is not None]
    if len(origins) != 1:
        raise ValueError(
            f"give one of `sample`, `images`, `tfds`, not {_quoted(origins) or 'none of them'}"
        )
    for name, origin in _GOES_WITH.items():
        if given[name] not in (None, ()) and origin != origins[0]:
            raise ValueError(f"`{name}` goes with `{origin}`, not with `{origins[0]}`")


def _sample(options: LabelledImages) -> ImagesWithLabels:
    """Draw the scenes, with the labels that they come with."""
    names = ("concepts", "ignore_label", "image_size", *SEGMENTER_OPTIONS)
    given = [name for name in names if getattr(options, name) is not None]
    given += ["first_label"] * (options.first_label != 1) + ["no_colors"] * (not options.colors)
    if given:
        verb = "does" if len(given) == 1 else "do"
        raise ValueError(
            f"{_quoted(given)} {verb} not go with `sample`, which comes with all its labels"
        )
    number = options.num_images or SAMPLE_SIZE
    scenes = scenes_dataset(min(number, options.limit or number), seed=_SAMPLE_SEED)
    return ImagesWithLabels(scenes, annotated(scene_vocabulary()))


def _labelers(
    known: Vocabulary | None, segmenter: Segmenter | None, *, colors: bool
) -> Iterator[Labeler]:
    """Make what finds the concepts of label maps, of a segmenter, and colors."""
    if known is not None:
        yield annotated(known)
    if segmenter is not None:
        yield segmented(segmenter)
    # A segmenter of colors takes the place of measuring them.
    if colors and (segmenter is None or "color" not in segmenter.vocabulary.category_names):
        yield colored()


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
