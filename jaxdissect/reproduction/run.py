"""Run an experiment of a paper, whole or reduced."""

from pathlib import Path
from tempfile import TemporaryDirectory

from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import Materials
from jaxdissect.reproduction.outcome import Outcome, compare_with_published
from jaxdissect.reproduction.procedures.catalog import PROCEDURES
from jaxdissect.reproduction.reduced_materials import make_reduced_materials
from jaxdissect.reproduction.settings import read_settings
from jaxdissect.reproduction.way import Way

IN_ONE_GO = Way()
"""On the default device, without checkpoints."""


def run_experiment(
    experiment: Experiment, materials: Materials, folder: Path, *, way: Way = IN_ONE_GO
) -> Outcome:
    """Take all steps of an experiment, and compare what is measured with what was published.

    Args:
        experiment: The experiment.
        materials: What it runs on, from `published_materials` or `make_reduced_materials`; whether
            these are reduced decides the settings, and that nothing is compared.
        folder: Where what is found is written, made if need be.
        way: How it runs.

    Raises:
        ValueError: If images or weights are not as the experiment needs them.
        OSError: If files cannot be read or written.
    """
    given = experiment.settings_of(is_reduced=materials.is_reduced)
    procedure = PROCEDURES[experiment.procedure]
    settings = read_settings(procedure.settings, given)
    folder.mkdir(parents=True, exist_ok=True)
    measured = procedure.run(experiment, settings, materials, way, folder)
    return compare_with_published(experiment, given, measured, materials.comparable)


def run_reduced(
    experiment: Experiment, folder: Path, *, seed: int = 0, way: Way = IN_ONE_GO
) -> Outcome:
    """Prove that every step of an experiment works: random weights, drawn images, few of both.

    Args:
        experiment: The experiment.
        folder: Where what is found is written, made if need be.
        seed: Seed of weights and images.
        way: How it runs.

    Raises:
        OSError: If files cannot be written.
    """
    with TemporaryDirectory() as made:
        materials = make_reduced_materials(experiment, Path(made), seed=seed)
        return run_experiment(experiment, materials, folder, way=way)
