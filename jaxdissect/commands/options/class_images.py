"""Where commands find images of classes: some to rank units with, others to measure with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from tyro.conf import arg

from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.classes import with_classes
from jaxdissect.engine.data.folders import image_folder
from jaxdissect.engine.data.tfds import tfds_source
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.rendering import SCENES

Size = tuple[int, int]

_SAMPLE_SEEDS = (1_000_003, 2_000_003)  # neither was trained on


@dataclass(frozen=True, kw_only=True)
class ClassImages:
    """Options that name images: those of --sample, of two folders of classes, or of --tfds."""

    sample: Annotated[Literal["scenes"] | None, arg(metavar="scenes", help_behavior_hint="")] = None
    """The built-in scenes."""
    num_images: Annotated[int, arg(metavar="N")] = 2000
    """Images of the sample, to rank with and as many to measure with."""
    rank_images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of images to rank units with."""
    images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of other images, to measure with."""
    class_names: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """All classes, one name per line in the order of the scores; else the folders, sorted."""
    tfds: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Data set that TensorFlow Datasets has prepared as array_record, with a feature "label"."""
    rank_split: Annotated[str, arg(metavar="SPLIT")] = "train"
    """Its part to rank units with."""
    split: Annotated[str, arg(metavar="SPLIT")] = "validation"
    """Its part to measure with."""
    data_dir: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Where TensorFlow Datasets keeps what it has prepared, if not in the usual place."""
    image_size: Annotated[
        Size | None, arg(metavar="H W", help_behavior_hint="(default: as stored)")
    ] = None
    """Resize images."""


class Data(NamedTuple):
    """Images to rank units with, others to measure with, and their classes."""

    ranking: Source
    judging: Source
    label_key: str
    class_names: tuple[str, ...]


def read_data(options: ClassImages) -> Data:
    """Find the images of the options.

    Raises:
        ValueError, OSError: If options contradict each other, or name what cannot be read.
    """
    first, second = options.rank_images, options.images
    places = {"sample": options.sample, "images": first or second, "tfds": options.tfds}
    given = [name for name, value in places.items() if value is not None]
    if len(given) != 1:
        raise ValueError("give one of `sample`, `images` with `rank_images`, and `tfds`")
    if options.sample is not None:
        ranking, judging = (scenes_dataset(options.num_images, seed=s) for s in _SAMPLE_SEEDS)
        return Data(ranking, judging, "scene", SCENES)
    names = None if options.class_names is None else _read_names(options.class_names)
    if options.tfds is not None:
        ranking, judging = (
            tfds_source(
                options.tfds,
                split,
                data_dir=options.data_dir,
                features=["label"],
                image_size=options.image_size,
            )
            for split in (options.rank_split, options.split)
        )
        return Data(ranking, judging, "label", names or ())
    if first is None or second is None:
        raise ValueError("`rank_images` and `images` go together: rank on some, measure on others")
    found = [image_folder(folder, image_size=options.image_size) for folder in (first, second)]
    ranking, names = with_classes(found[0], names)
    judging, _ = with_classes(found[1], names)
    return Data(ranking, judging, "label", names)


def _read_names(path: Path) -> tuple[str, ...]:
    names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"`class_names` (={path}) must have one name per line, each once")
    return names


def class_numbers(option: str, wanted: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """Find the numbers of classes that an option names.

    Raises:
        ValueError: If a name is unknown; the message lists those that there are.
    """
    unknown = [name for name in wanted if name not in names]
    if unknown:
        known = ", ".join(names) or "none"
        raise ValueError(f"`{option}` (={unknown[0]!r}) must be one of: {known}")
    return tuple(names.index(name) for name in wanted)
