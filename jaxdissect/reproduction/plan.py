"""Tell what a run of experiments would do, need and cost, without doing any of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from jaxdissect.reproduction.costs import cost_text, operations
from jaxdissect.reproduction.experiment import KNOWN, Experiment
from jaxdissect.reproduction.needs import needs_of
from jaxdissect.reproduction.procedures.catalog import PROCEDURES
from jaxdissect.reproduction.procedures.procedure import Step
from jaxdissect.reproduction.settings import read_settings


def steps_of(experiment: Experiment) -> tuple[Step, ...]:
    """List the steps of a whole run of an experiment."""
    procedure = PROCEDURES[experiment.procedure]
    settings = read_settings(procedure.settings, experiment.settings)
    return procedure.steps(experiment, settings)


def plan_text(experiments: Sequence[Experiment]) -> str:
    """Tell what experiments would do, what must be downloaded for it, and what it costs.

    Args:
        experiments: The experiments, in their order.
    """
    parts = ["\n".join(_lines(experiment)) for experiment in experiments]
    if len(experiments) > 1:
        parts.append("\n".join(_in_all(experiments)))
    return "\n\n".join(parts)


def _lines(experiment: Experiment) -> Iterator[str]:
    yield f"{experiment.name}: {experiment.title}"
    yield f"  {experiment.about}"
    yield "  To be downloaded or given:"
    for need in needs_of(experiment):
        yield f"    {need.kind} {need.name}: {need.where}"
        yield f"      size {need.size}; hash {need.hash}; {need.terms}"
    yield "  Steps:"
    steps = steps_of(experiment)
    for number, step in enumerate(steps, 1):
        yield f"    {number}. {step.text}"
    yield "  Settings:"
    for name, value in experiment.settings.items():
        yield f"    {name}: {_shown(value)}"
    yield "  Not as in the published code:"
    yield from (f"    - {text}" for text in experiment.differences)
    yield from _published(experiment)
    yield f"  Cost: {cost_text(operations(steps))}"


def _published(experiment: Experiment) -> Iterator[str]:
    """Count the published figures by how they are known."""
    kinds = Counter(figure.known for figure in experiment.figures)
    if not kinds:
        yield "  Published figures: none are known here, so nothing can be compared"
        return
    yield f"  Published figures: {len(experiment.figures)}, of which"
    for known, number in kinds.items():
        yield f"    {number} {KNOWN[known]}"


def _in_all(experiments: Sequence[Experiment]) -> Iterator[str]:
    needs = {need.name: need for experiment in experiments for need in needs_of(experiment)}
    flops = sum(operations(steps_of(experiment)) for experiment in experiments)
    unknown = [need.name for need in needs.values() if "unknown" in need.hash]
    yield f"In all: {len(experiments)} experiments, {len(needs)} files and data sets"
    yield f"  Cost: {cost_text(flops)}"
    yield f"  No hash is published of: {', '.join(unknown) or 'none'}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({of})" for name, of in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
