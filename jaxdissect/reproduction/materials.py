"""What an experiment runs on: networks with their weights, a segmenter, images and latents.

Weights and images are files, published ones or made for a reduced run (`make_reduced_materials`);
what reads them is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx

from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.folders import ImageFolder, count_image_files, image_folder
from jaxdissect.engine.data.latent_vectors import reference_latents
from jaxdissect.generators.generator import Generator
from jaxdissect.networks.adapters.prepared_network import PreparedNetwork
from jaxdissect.networks.loading import fetch, load_network
from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.network import Network, as_network
from jaxdissect.networks.segmenters.pretrained import (
    load_semantic_segmentation,
    load_unified_parsing,
)
from jaxdissect.networks.segmenters.rules import DEFAULT_RULES, REFERENCE_RULES
from jaxdissect.networks.segmenters.segmenter import Segmenter, merge_segmenters
from jaxdissect.networks.weights.download import Progress
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.reproduction.data_sets import DATA_SETS
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.images import cut_images, cut_images_with_classes

RULES = {"pnas2020": DEFAULT_RULES, "reference": REFERENCE_RULES}
"""Rules of segmenters, by the presets that they go with."""


class ImageSize(NamedTuple):
    """How images are read: resized to a square of `resized` pixels a side, cut to one of `cut`."""

    resized: int
    cut: int


@dataclass(frozen=True)
class Materials:
    """What an experiment runs on.

    Attributes:
        weights: By the names of published weights, their file; for segmenters the folder.
        folders: By the names of data sets, the folder of their images.
        comparable: Why measured figures cannot be compared with published ones; "" if they can.
        segmenter_side: Pixels of a side at which the segmenter's networks see images.
        limit: Take only so many images of each data set, and latents; None: all.
        is_reduced: Whether they are made for a reduced run.
    """

    weights: Mapping[str, Path]
    folders: Mapping[str, Path]
    comparable: str = ""
    segmenter_side: int = 256
    limit: int | None = None
    is_reduced: bool = False

    def network(self, name: str) -> Network:
        """Load a network of images, which takes RGB in [0, 1]."""
        architecture = PUBLISHED[name].architecture
        prepare = ARCHITECTURES[architecture].prepare
        assert prepare is not None  # a network of images
        return PreparedNetwork(as_network(self.module(name)), prepare)

    def module(self, name: str) -> nnx.Module:
        """Load a network as it is."""
        return load_network(PUBLISHED[name].architecture, self.weights[name])

    def segmenter(self, preset: str) -> Segmenter:
        """Load the paper's segmenter `netpqc`, by the rules that go with a preset."""
        places = (self.weights["unified_parsing"], self.weights["color"])
        return _segmenter(*places, preset, self.segmenter_side)

    def generator(self, name: str, preset: str, grid: int) -> Generator:
        """Load an image generator, with the segmenter that labels its images."""
        module: Any = self.module(name)
        segmenter = self.segmenter(preset)
        return Generator(module, module.latent_size, segmenter=segmenter, grid=(grid, grid))

    def latents(self, generator: Generator, number: int) -> Source:
        """Draw latents as the published code does."""
        number = number if self.limit is None else min(number, self.limit)
        return reference_latents(number, generator.latent_size)

    def folder(self, data: str, side: int) -> ImageFolder:
        """Read the images of a data set, resized to a square; under a limit, evenly through it."""
        folder = image_folder(self.folders[data], image_size=(side, side))
        if self.limit is None or self.limit >= len(folder):
            return folder
        return folder.chosen([place * len(folder) // self.limit for place in range(self.limit)])

    def images(self, data: str, size: ImageSize) -> Source:
        """Read the images of a data set, resized and cut."""
        return cut_images(self.folder(data, size.resized), size.cut)

    def classed_images(
        self, data: str, size: ImageSize, *, class_names: Sequence[str] | None = None
    ) -> tuple[Source, tuple[str, ...]]:
        """Read the images of a data set with their classes, and the names of these."""
        folder = self.folder(data, size.resized)
        return cut_images_with_classes(folder, size.cut, class_names=class_names)


@lru_cache(maxsize=1)  # one experiment after the other takes it
def _segmenter(parsing: Path, coloring: Path, preset: str, side: int) -> Segmenter:
    rules, sizes = RULES[preset], ((side, side),)
    parts = (
        load_unified_parsing(parsing, sizes=sizes, rules=rules),
        load_semantic_segmentation(coloring, sizes=sizes, rules=rules),
    )
    return merge_segmenters(*parts, rules=rules)


def published_materials(
    experiment: Experiment,
    folders: Mapping[str, Path],
    *,
    cache: Path | None = None,
    limit: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Materials:
    """Find the published weights, downloading what is missing, and the images that are given.

    Nothing is compared with published figures where a folder holds more or fewer images than the
    published data set.

    Args:
        experiment: What needs them.
        folders: The folders of data sets by name; those that it does not need are left alone.
        cache: Where downloads are kept; by default the user's cache folder.
        limit: Take only so many images of each data set, and latents; None: all. Nothing is then
            compared with published figures.
        progress: Called with what is downloaded, its MiB so far, and its MiB in all.

    Raises:
        ValueError: If a data set is not given, or a file is not the published one.
        OSError: If a file can neither be found nor downloaded; the message says what to do. Also if
            a folder holds no images.
    """
    missing = [name for name in experiment.data if name not in folders]
    if missing:
        wanted = "; ".join(f"{name}: {DATA_SETS[name].title}" for name in missing)
        ways = " ".join(f"{name}=DIR" for name in missing)
        raise ValueError(
            f"experiment {experiment.name!r} needs images that are not given ({wanted}). Give "
            f"their folders with `--data {ways}`; or prove its steps without them with `--reduced`"
        )
    # Before anything is downloaded, for it may refuse.
    comparable = _other_images(experiment, folders)
    if limit is not None:
        comparable = f"not comparable: {limit:,} images alone"
    weights = {}
    for name in experiment.networks:
        files = fetch(name, folder=cache, progress=progress)
        weights[name] = files[""] if "" in files else files["labels"].parent
    return Materials(
        weights,
        dict(folders),
        comparable=comparable,
        limit=limit,
    )


def _other_images(experiment: Experiment, folders: Mapping[str, Path]) -> str:
    """Say why other images than the published ones cannot be compared; "" if they are as many."""
    for name in experiment.data:
        number, published = count_image_files(folders[name]), DATA_SETS[name].num_images
        if number == 0:
            raise FileNotFoundError(f"`data`: found no images in {folders[name]}, given for {name}")
        if published is not None and number != published:
            return f"not comparable: {name} has {number:,} images here, and {published:,} published"
    return ""
