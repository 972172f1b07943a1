"""What a procedure is: settings, the steps that a dry run lists, and a function that takes them."""

import math
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from jaxdissect.reproduction.data_sets import DATA_SETS
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import Materials
from jaxdissect.reproduction.way import Way

Measured = Mapping[str, float]
"""What a procedure has measured, by the names of the quantities; what it could not is left out."""


class Step(NamedTuple):
    """A step of an experiment.

    Attributes:
        text: What it does.
        passes: How many examples go through which program, by the names of
            `jaxdissect.reproduction.costs`.
    """

    text: str
    passes: Mapping[str, int] = {}


class Procedure(NamedTuple):
    """How experiments of one kind are computed.

    Attributes:
        settings: Dataclass of the settings.
        steps: ``steps(experiment, settings)``: what a run with published weights and data does.
        quantities: ``quantities(settings)``: names of what it measures, in which `*` stands for
            any part between slashes.
        run: ``run(experiment, settings, materials, way, folder)``: take all steps, and write what
            they find, beside what they measure, into a folder.
    """

    settings: type[Any]
    steps: Callable[[Experiment, Any], tuple[Step, ...]]
    quantities: Callable[[Any], tuple[str, ...]]
    run: Callable[[Experiment, Any, Materials, Way, Path], Measured]


def is_measured(quantity: str, names: Iterable[str]) -> bool:
    """Tell whether a quantity is among those that a procedure measures, part by part."""
    parts = quantity.split("/")
    return any(
        len(parts) == len(name.split("/")) and all(map(fnmatchcase, parts, name.split("/")))
        for name in names
    )


def num_images(data: str) -> int:
    """Return how many images a data set has, for the cost of what is done with them."""
    number = DATA_SETS[data].num_images
    assert number is not None, data  # its cost is asked for
    return number


def known(measured: Mapping[str, float | int]) -> dict[str, float]:
    """Leave out what is no number: the mean of nothing, or a share of nothing."""
    return {name: float(value) for name, value in measured.items() if math.isfinite(value)}
