"""The sections of a page for whatever a folder of results holds."""

from collections.abc import Callable, Mapping
from pathlib import Path

from jaxdissect.report.page_section import PageSection
from jaxdissect.report.sections.attacked_units import attacked_unit_sections
from jaxdissect.report.sections.class_detectors import class_detector_sections
from jaxdissect.report.sections.class_units import class_unit_sections
from jaxdissect.report.sections.generator_units import generator_sections
from jaxdissect.report.sections.result_folder import ResultFolder, read_result_folder
from jaxdissect.report.sections.style_units import style_unit_sections
from jaxdissect.report.sections.unit_defences import unit_defence_sections

_READERS: Mapping[str, Callable[[ResultFolder], list[PageSection]]] = {
    "ablation.json": class_unit_sections,
    "detectors.json": class_detector_sections,
    "style.json": style_unit_sections,
    "generation.json": generator_sections,
    "attack.json": attacked_unit_sections,
    "defence.json": unit_defence_sections,
}
"""What reads a folder, by the settings file that marks it."""


SECTION_FILES = tuple(_READERS)
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
    return [
        section
        for file, read in _READERS.items()
        if (place / file).is_file()
        for section in read(read_result_folder(place, file))
    ]
