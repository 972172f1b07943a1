"""Options that name images of classes: some to rank units with, others to measure with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from tyro.conf import arg

from jaxdissect.arrays.names import listed
from jaxdissect.classifiers.class_checks import count_scores
from jaxdissect.commands.options.image_cache import ImageCacheOption
from jaxdissect.commands.options.size import OptionalSize
from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.class_names import find_classes, read_class_names
from jaxdissect.engine.data.classes import check_num_outputs, with_classes
from jaxdissect.engine.data.folders import ImageFolder, OnError, image_folder
from jaxdissect.engine.data.tfds import tfds_source
from jaxdissect.engine.layer_reader import image_input
from jaxdissect.networks.imagenet import imagenet_classes, imagenet_synsets
from jaxdissect.networks.network import Network
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.rendering import SCENES

_SCENE = "scene"  # name of the class of an example of the sample
_IMAGENET = "imagenet"  # in the place of a file of names
_SAMPLE_SEEDS = (1_000_003, 2_000_003)  # neither was trained on


class ClassSources(NamedTuple):
    """Images to rank units with, others to measure with, and their classes.

    Attributes:
        ranking: Images to rank or choose units with.
        judging: Other images, to measure with.
        label_key: Name of the class of an example.
        class_names: Names of all classes; none where a data set does not say.
        named_by: What the names were found as, for messages.
        skipped: Why images were left out, see `ImageFolder.skipped`.
    """

    ranking: Source
    judging: Source
    label_key: str
    class_names: tuple[str, ...]
    named_by: str
    skipped: tuple[str, ...] = ()

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.judging[0]["image"].shape[:2]

    def all_names(self, num_classes: int) -> tuple[str, ...]:
        """Name all classes; those without a name go by their number."""
        numbers = range(len(self.class_names), num_classes)
        return (*self.class_names, *(f"class {number}" for number in numbers))

    def names_of_outputs(self, network: Network) -> tuple[str, ...]:
        """Name the outputs of a network, whose classes these must be.

        Raises:
            ValueError: If classes and outputs are not one for one, or the network gives no scores
                [B, N].
        """
        images = jax.ShapeDtypeStruct((1, *self.image_size, 3), jnp.float32)
        number = count_scores(network, image_input, {"image": images}, name="model")
        if self.label_key == _SCENE and number != len(SCENES):
            raise ValueError(
                f"`sample` has {len(SCENES)} classes of scenes, but the network has {number} "
                "outputs: give `images` and `rank_images` of its own classes"
            )
        if self.class_names:
            check_num_outputs(self.class_names, number, self.named_by)
        return self.all_names(number)


@dataclass(frozen=True, kw_only=True)
class ClassImages(ImageCacheOption):
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
    """File with the names of all outputs of the network in their order, such as
    categories_places365.txt, or `imagenet` for those of ImageNet. Not needed where the folders are
    one for one with the outputs, by number or sorted by name."""
    tfds: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Data set that TensorFlow Datasets has prepared as array_record, with a feature "label"."""
    rank_split: Annotated[str, arg(metavar="SPLIT")] = "train"
    """Split of the data set to rank units with."""
    split: Annotated[str, arg(metavar="SPLIT")] = "validation"
    """Split of the data set to measure with."""
    data_dir: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Where TensorFlow Datasets keeps what it has prepared, if not in the usual place."""
    image_size: Annotated[
        OptionalSize, arg(metavar="H [W]", help_behavior_hint="(default: as stored)")
    ] = None
    """Height and width to which images are resized; one number for both."""
    on_error: OnError = "raise"
    """What to do about image files that cannot be read: end, or skip them and list them in the
    settings."""

    def contents(self, data: ClassSources, network: Network) -> dict[str, Any]:
        """Return images and weights by what users call them, for checkpoints."""
        names = ("rank_split", "split") if self.tfds else ("rank_images", "images")
        sources = zip(names, (data.ranking, data.judging), strict=True)
        found = {f"content of {name}": source for name, source in sources}
        return {**found, "weights of model": network.params}

    def find_classes(self) -> ClassSources:
        """Find the images that the options name, decoded before if --image-cache is given.

        Raises:
            ValueError, OSError: If options contradict each other, or name what cannot be read.
        """
        first, second = self.rank_images, self.images
        places = {"sample": self.sample, "images": first or second, "tfds": self.tfds}
        given = [name for name, value in places.items() if value is not None]
        if len(given) != 1:
            raise ValueError("give one of `sample`, `images` with `rank_images`, and `tfds`")
        if self.sample is not None:
            if self.class_names is not None:
                raise ValueError("`class_names` goes with `images` or `tfds`, not with `sample`")
            ranking, judging = (scenes_dataset(self.num_images, seed=s) for s in _SAMPLE_SEEDS)
            return ClassSources(ranking, judging, _SCENE, SCENES, "scenes in `sample`")
        found = self._find_images()
        return found._replace(
            ranking=self.keep_decoded(found.ranking), judging=self.keep_decoded(found.judging)
        )

    def _find_images(self) -> ClassSources:
        """Find the images of folders or of --tfds."""
        first, second = self.rank_images, self.images
        names = None if self.class_names is None else _names_of_classes(self.class_names)
        if self.tfds is not None:
            return self._find_in_data_set(names)
        if first is None or second is None:
            raise ValueError(
                "`rank_images` and `images` go together: rank on some, measure on others"
            )
        ranked, measured = (
            image_folder(folder, image_size=self.image_size, on_error=self.on_error)
            for folder in (first, second)
        )
        ranking, classes = with_classes(ranked, class_names=names)
        if names is None:
            _refuse_more_folders(measured, classes)
        judging, _ = with_classes(measured, class_names=classes)
        named_by = "folders in `rank_images`" if names is None else "names in `class_names`"
        skipped = (*ranked.skipped, *measured.skipped)
        return ClassSources(ranking, judging, "label", classes, named_by, skipped)

    def _find_in_data_set(self, names: tuple[str, ...] | None) -> ClassSources:
        """Find the images of --tfds, whose labels must be the numbers of the outputs."""
        assert self.tfds is not None
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
        own = judging.class_names
        if names is None:
            return ClassSources(ranking, judging, "label", own, f"classes in `tfds` {self.tfds}")
        for label, number in enumerate(find_classes(own, names) if own else ()):
            if label != number:
                raise ValueError(
                    f"label {label} of `tfds` (={self.tfds!r}) is {own[label]!r}, which is output "
                    f"{number} in `class_names`; write the images into folders of their classes"
                )
        return ClassSources(ranking, judging, "label", names, "names in `class_names`")


def _names_of_classes(path: Path) -> tuple[str, ...]:
    """Read names of classes from a file, or take those of ImageNet, with their WordNet ids."""
    if str(path) == _IMAGENET:
        pairs = zip(imagenet_synsets(), imagenet_classes(), strict=True)
        return tuple(" ".join(pair) for pair in pairs)
    return read_class_names(path)


def _refuse_more_folders(measured: ImageFolder, classes: Sequence[str]) -> None:
    """Refuse folders of images to measure with that the images to rank with do not have."""
    folders = {name.rpartition("/")[0] for name in measured.names} - {""}
    more = sorted(folders - set(classes))
    if more:
        raise ValueError(
            f"`images` has folders that `rank_images` has not: {listed(more, most=3)}; they "
            "must be the same, or give `class_names`"
        )


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
