"""Pictures of a folder of results, with what is to be seen in them in words."""

from collections.abc import Iterable
from typing import NamedTuple

from jaxdissect.report.page_section import PageFigure
from jaxdissect.report.sections.result_folder import ResultFolder


class Picture(NamedTuple):
    """A picture that a folder may have.

    Attributes:
        name: Its name without ending.
        caption: What it shows.
        alt: What is to be seen in it, in words.
    """

    name: str
    caption: str
    alt: str


def figures_there(folder: ResultFolder, pictures: Iterable[Picture]) -> list[PageFigure]:
    """Return those pictures that a folder has, in a format that browsers show.

    Args:
        folder: The folder.
        pictures: What it may have.
    """
    return [
        PageFigure(picture.caption, picture.alt, folder.path / file)
        for picture in pictures
        if (file := folder.picture(picture.name)) is not None
    ]
