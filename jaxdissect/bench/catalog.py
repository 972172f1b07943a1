"""All workloads and studies that a suite can name: a line for each."""

from typing import Any

from jaxdissect.bench.studies.against import AGAINST
from jaxdissect.bench.studies.growth import GROWTH
from jaxdissect.bench.studies.precision import PRECISION
from jaxdissect.bench.studies.projection import PROJECTION
from jaxdissect.bench.studies.scaling import SCALING
from jaxdissect.bench.study import Study
from jaxdissect.bench.workload import Workload
from jaxdissect.bench.workloads.attack import ATTACK
from jaxdissect.bench.workloads.convolution import CONVOLUTION
from jaxdissect.bench.workloads.counting import COLLECTING, COUNTING
from jaxdissect.bench.workloads.dissection import DISSECTION
from jaxdissect.bench.workloads.feeding import FEEDING
from jaxdissect.bench.workloads.forward import FORWARD
from jaxdissect.bench.workloads.insertion import INSERTION
from jaxdissect.bench.workloads.intervals import INTERVALS
from jaxdissect.bench.workloads.overlap import OVERLAP
from jaxdissect.bench.workloads.reading_ahead import READING_AHEAD
from jaxdissect.bench.workloads.removals import REMOVALS
from jaxdissect.bench.workloads.taylor import TAYLOR
from jaxdissect.bench.workloads.thresholds import THRESHOLDS

_WORKLOADS: tuple[Workload[Any], ...] = (
    READING_AHEAD,
    FEEDING,
    INTERVALS,
    DISSECTION,
    THRESHOLDS,
    FORWARD,
    CONVOLUTION,
    REMOVALS,
    TAYLOR,
    INSERTION,
    ATTACK,
    OVERLAP,
    COLLECTING,
    COUNTING,
)

_STUDIES: tuple[Study[Any], ...] = (GROWTH, SCALING, PRECISION, PROJECTION, *AGAINST)

# What is timed, by name.
WORKLOADS: dict[str, Workload[Any]] = {workload.name: workload for workload in _WORKLOADS}

# What one row cannot answer, by name.
STUDIES: dict[str, Study[Any]] = {study.name: study for study in _STUDIES}
