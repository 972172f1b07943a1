"""The section of `jaxdissect generate`: which of its experiments a folder holds."""

from collections.abc import Callable, Mapping

from jaxdissect.report.page_section import PageSection
from jaxdissect.report.sections.generator_causes import generator_cause_sections
from jaxdissect.report.sections.generator_insertion import generator_insertion_sections
from jaxdissect.report.sections.generator_realism import generator_realism_sections
from jaxdissect.report.sections.generator_removal import generator_removal_sections
from jaxdissect.report.sections.result_folder import ResultFolder

_EXPERIMENTS: Mapping[str, tuple[str, Callable[[ResultFolder], list[PageSection]]]] = {
    "most": ("remove", generator_removal_sections),
    "times": ("insert", generator_insertion_sections),
    "learning_rate": ("optimise", generator_cause_sections),
    "num_real": ("artifacts", generator_realism_sections),
}
"""The command and the reader of each experiment, by an option that only that command has."""


def generator_sections(folder: ResultFolder) -> list[PageSection]:
    """Say what the units of a generator cause.

    Args:
        folder: What `jaxdissect generate remove`, `insert`, `optimise` or `artifacts` has written.
    """
    for option, (_, read) in _EXPERIMENTS.items():
        if folder.option(option) is not None:
            return read(folder)
    return []


def generator_command(folder: ResultFolder) -> str:
    """Name the command that wrote a folder: `generate remove`, for instance.

    Args:
        folder: What one of the commands has written.
    """
    for option, (name, _) in _EXPERIMENTS.items():
        if folder.option(option) is not None:
            return f"generate {name}"
    return "generate"
