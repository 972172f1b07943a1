"""Options that name images of classes: some to rank units with, others to measure with."""

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


class ClassSources(NamedTuple):
    """Images to rank units with, others to measure with, and their classes.

    Attributes:
        ranking: Images to rank or choose units with.
        judging: Other images, to measure with.
        label_key: Name of the class of an example.
        class_names: Names of the first classes, or of all.
    """

    ranking: Source
    judging: Source
    label_key: str
    class_names: tuple[str, ...]

    @property
    def image_size(self) -> Size:
        """Height and width of the images."""
        return self.judging[0]["image"].shape[:2]

    def all_names(self, num_classes: int) -> tuple[str, ...]:
        """Name all classes; those without a name go by their number."""
        numbers = range(len(self.class_names), num_classes)
        return (*self.class_names, *(f"class {number}" for number in numbers))


@dataclass(frozen=True, kw_only=True)
class ClassImages:
    """Options that name images of classes: the sample, two folders, or two splits of a data set."""

    sample: Annotated[Literal["scenes"] | None, arg(metavar="scenes", help_behavior_hint="")] = None
    """Take the built-in scenes."""
    num_images: Annotated[int, arg(metavar="N")] = 2000
    """Number of images of the sample to rank units with; as many others are measured."""
    rank_images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of images to rank units with, which has a folder for every class."""
    images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of other images, to measure with."""
    class_names: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """File with the names of all classes, one per line in the order of the scores; without it, the
    classes are the folders, sorted."""
    tfds: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Data set that TensorFlow Datasets has prepared as array_record, with a feature "label"."""
    rank_split: Annotated[str, arg(metavar="SPLIT")] = "train"
    """Split of the data set to rank units with."""
    split: Annotated[str, arg(metavar="SPLIT")] = "validation"
    """Split of the data set to measure with."""
    data_dir: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Where TensorFlow Datasets keeps what it has prepared, if not in the usual place."""
    image_size: Annotated[
        Size | None, arg(metavar="H W", help_behavior_hint="(default: as stored)")
    ] = None
    """Height and width to which images are resized."""

    def find_classes(self) -> ClassSources:
        """Find the images that the options name.

        Raises:
            ValueError, OSError: If options contradict each other, or name what cannot be read.
        """
        first, second = self.rank_images, self.images
        places = {"sample": self.sample, "images": first or second, "tfds": self.tfds}
        given = [name for name, value in places.items() if value is not None]
        if len(given) != 1:
            raise ValueError("give one of `sample`, `images` with `rank_images`, and `tfds`")
        if self.sample is not None:
            ranking, judging = (scenes_dataset(self.num_images, seed=s) for s in _SAMPLE_SEEDS)
            return ClassSources(ranking, judging, "scene", SCENES)
        names = None if self.class_names is None else _read_names(self.class_names)
        if self.tfds is not None:
            ranking, judging = (
                tfds_source(
                    self.tfds,
                    split,
                    data_dir=self.data_dir,
                    features=["label"],
                    image_size=self.image_size,
                )
                for split in (self.rank_split, self.split)
            )
            return ClassSources(ranking, judging, "label", names or ())
        if first is None or second is None:
            raise ValueError(
                "`rank_images` and `images` go together: rank on some, measure on others"
            )
        found = [image_folder(folder, image_size=self.image_size) for folder in (first, second)]
        ranking, names = with_classes(found[0], class_names=names)
        judging, _ = with_classes(found[1], class_names=names)
        return ClassSources(ranking, judging, "label", names)


def _read_names(path: Path) -> tuple[str, ...]:
    names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"`class_names` (={path}) must have one name per line, each once")
    return names


def class_numbers(option: str, wanted: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """Find the numbers of classes that an option names.

    Args:
        option: Name of the option.
        wanted: What it is given.
        names: Names of all classes.

    Raises:
        ValueError: If a name is unknown; the message lists those that there are.
    """
    unknown = [name for name in wanted if name not in names]
    if unknown:
        known = ", ".join(names) or "none"
        raise ValueError(f"`{option}` (={unknown[0]!r}) must be one of: {known}")
    return tuple(names.index(name) for name in wanted)
