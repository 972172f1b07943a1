"""Published experiments as configurations: what they need, their steps, and what came of them.

- `read_experiments` reads those of a paper, `plan_text` tells what a run would do and cost.
- `published_materials` finds published weights and given images, and `run_experiment` takes every
  step and lays what it measures beside what was published.
- `run_reduced` proves the steps with random weights and drawn images, and compares nothing.
"""

from jaxdissect.reproduction.configuration import PAPERS as PAPERS
from jaxdissect.reproduction.configuration import read_experiment as read_experiment
from jaxdissect.reproduction.configuration import read_experiments as read_experiments
from jaxdissect.reproduction.data_sets import DATA_SETS as DATA_SETS
from jaxdissect.reproduction.data_sets import DataSet as DataSet
from jaxdissect.reproduction.experiment import KNOWN as KNOWN
from jaxdissect.reproduction.experiment import Experiment as Experiment
from jaxdissect.reproduction.experiment import PublishedFigure as PublishedFigure
from jaxdissect.reproduction.materials import Materials as Materials
from jaxdissect.reproduction.materials import published_materials as published_materials
from jaxdissect.reproduction.needs import Need as Need
from jaxdissect.reproduction.needs import needs_of as needs_of
from jaxdissect.reproduction.outcome import Compared as Compared
from jaxdissect.reproduction.outcome import Outcome as Outcome
from jaxdissect.reproduction.outcome import outcome_rows as outcome_rows
from jaxdissect.reproduction.outcome import without_result as without_result
from jaxdissect.reproduction.plan import plan_text as plan_text
from jaxdissect.reproduction.procedures.catalog import PROCEDURES as PROCEDURES
from jaxdissect.reproduction.reduced_materials import (
    make_reduced_materials as make_reduced_materials,
)
from jaxdissect.reproduction.run import run_experiment as run_experiment
from jaxdissect.reproduction.run import run_reduced as run_reduced
from jaxdissect.reproduction.way import Way as Way
