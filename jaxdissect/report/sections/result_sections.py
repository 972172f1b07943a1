"""The sections of a page for whatever a folder of results holds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxdissect.arrays.names import printable
from jaxdissect.report.command_line import command_line
from jaxdissect.report.page_section import PageFigure, PageSection
from jaxdissect.report.sections.attacked_units import attacked_unit_sections
from jaxdissect.report.sections.class_detectors import class_detector_sections
from jaxdissect.report.sections.class_units import class_unit_sections
from jaxdissect.report.sections.generator_units import generator_command, generator_sections
from jaxdissect.report.sections.result_folder import ResultFolder, read_result_folder
from jaxdissect.report.sections.style_units import style_unit_sections
from jaxdissect.report.sections.unit_defences import unit_defence_sections


class _Kind(NamedTuple):
    """A kind of results.

    Attributes:
        command: Names the command that wrote a folder.
        read: Reads it.
    """

    command: Callable[[ResultFolder], str]
    read: Callable[[ResultFolder], list[PageSection]]


_KINDS: Mapping[str, _Kind] = {
    "ablation.json": _Kind(lambda folder: "ablate", class_unit_sections),
    "detectors.json": _Kind(lambda folder: "detect", class_detector_sections),
    "style.json": _Kind(lambda folder: "style", style_unit_sections),
    "generation.json": _Kind(generator_command, generator_sections),
    "attack.json": _Kind(lambda folder: "attack", attacked_unit_sections),
    "defence.json": _Kind(lambda folder: "defend", unit_defence_sections),
}
"""What folders of results there are, by the settings file that marks one."""


SECTION_FILES = tuple(_KINDS)
"""Settings files of the folders of which there are sections."""


def has_sections(folder: Path) -> bool:
    """Say whether a folder holds results of which there are sections."""
    return any((folder / mark).is_file() for mark in SECTION_FILES)


def sections_of(folder: str | Path) -> list[PageSection]:
    """Read a folder of results, and say what was asked, what was found, and what that cannot say.

    Args:
        folder: A folder that `jaxdissect ablate`, `detect`, `style`, `generate`, `attack` or
            `defend` has written, now or in an older version: what it lacks is left out.

    Returns:
        The sections; none where the folder holds no such results.

    Raises:
        ValueError: If a file of the folder cannot be read as what it should be.
    """
    place = Path(folder)
    sections = []
    for file, kind in _KINDS.items():
        if (place / file).is_file():
            found = read_result_folder(place, file)
            line = _command_line(found, kind.command(found))
            for section in kind.read(found):
                limits = [*section.limits, *_figures_not_shown(found, section)]
                sections.append(section._replace(command=line, limits=limits))
    return sections


def _figures_not_shown(folder: ResultFolder, section: PageSection) -> list[str]:
    """Say where figures are that no browser shows as a picture."""
    files = sorted(path.name for path in folder.path.glob("*.pdf"))
    if not files or any(isinstance(item, PageFigure) for item in section.content):
        return []
    names = ", ".join(f"`{printable(name)}`" for name in files)
    return [f"A page shows no PDF: the figures of this run are {names}."]


def _command_line(folder: ResultFolder, words: str) -> str | None:
    """Return the command that wrote a folder; older versions kept only its options."""
    if isinstance(line := folder.settings.get("command_line"), str):
        return line
    options = folder.mapping("command")
    return command_line(words, options) if options else None
