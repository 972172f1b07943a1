"""What an experiment needs to be downloaded: files of weights, and data sets."""

from collections.abc import Iterator
from typing import NamedTuple

from jaxdissect.networks.weights.download import PublishedFile
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.reproduction.data_sets import DATA_SETS
from jaxdissect.reproduction.experiment import Experiment

UNKNOWN = "unknown"


class Need(NamedTuple):
    """A file or a data set that an experiment needs.

    Attributes:
        name: What it is called here.
        kind: "weights" or "images".
        where: Its address, or "unknown".
        size: About how large it is, or "unknown".
        hash: What is published of its hash, or "unknown".
        terms: What is known of its licence; for data sets, how its files must lie.
    """

    name: str
    kind: str
    where: str
    size: str
    hash: str
    terms: str


def needs_of(experiment: Experiment) -> tuple[Need, ...]:
    """List what an experiment needs, weights first."""
    return (*_weights(experiment), *_images(experiment))


def _weights(experiment: Experiment) -> Iterator[Need]:
    for name in experiment.networks:
        published = PUBLISHED[name]
        for part, file in published.files.items():
            assert isinstance(file, PublishedFile)  # none of the paper's come in a package
            yield Need(
                f"{name} ({part})" if part else name,
                "weights",
                file.url,
                _megabytes(file.megabytes),
                UNKNOWN if file.sha256 is None else f"SHA-256 {file.sha256}...",
                published.licence,
            )


def _images(experiment: Experiment) -> Iterator[Need]:
    for name in experiment.data:
        data = DATA_SETS[name]
        number = "" if data.num_images is None else f"{data.num_images:,} images"
        size = _megabytes(data.megabytes)
        yield Need(
            name,
            "images",
            data.url or UNKNOWN,
            f"{number}, {size} bytes" if number and size == UNKNOWN else size,
            UNKNOWN if data.md5 is None else f"MD5 {data.md5}",
            f"{data.title}: {data.layout}",
        )


def _megabytes(size: float | None) -> str:
    return UNKNOWN if size is None else f"{size:,.1f} MB"
