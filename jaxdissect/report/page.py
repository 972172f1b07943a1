"""Write a report as one HTML file: text, tables and figures, nothing to load from elsewhere."""

import base64
import io
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxdissect.arrays.names import printable_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

TEMPLATE = "page.html.jinja"


class PageFigure(NamedTuple):
    """An image or chart of a page, with a caption.

    Attributes:
        caption: What it shows; also its description for those who cannot see it.
        content: A chart, or an image at the size in which it is to be shown.
    """

    caption: str
    content: "Figure | Image.Image"

    @property
    def address(self) -> str:
        """The image itself as an address: `data:image/png;base64,...`."""
        from PIL import Image

        stream = io.BytesIO()
        if isinstance(self.content, Image.Image):
            self.content.save(stream, "png")
        else:
            self.content.savefig(stream, format="png", dpi=110)
        return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


class PageTable(NamedTuple):
    """Rows below a header; texts stand left, numbers right.

    Attributes:
        caption: What the table shows.
        header: Names of the columns.
        rows: Cells; numbers with fractions are shown with three decimals.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


class PageSection(NamedTuple):
    """A part of a page.

    Attributes:
        title: Its heading.
        text: Paragraphs before everything else.
        content: Figures and tables.
    """

    title: str
    text: Sequence[str]
    content: Sequence[PageFigure | PageTable] = ()


def write_page(
    path: Path, title: str, lead: Sequence[str], sections: Sequence[PageSection]
) -> None:
    """Write a report as one HTML file.

    Args:
        path: The file, HTML.
        title: Heading of the page.
        lead: Paragraphs below it.
        sections: The parts, in order.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        finalize=lambda value: printable_lines(value) if isinstance(value, str) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = _shown
    environment.tests["table"] = lambda item: isinstance(item, PageTable)
    template = environment.from_string(
        files("jaxdissect.report").joinpath(TEMPLATE).read_text("utf-8")
    )
    page = template.render(title=title, lead=lead, sections=sections, version=version("jaxdissect"))
    path.write_text(page, encoding="utf-8")


def _shown(value: Any) -> str:
    """Write numbers with fractions in three decimals, and everything else as text."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
