"""The page of a report: text, tables and figures in one HTML file."""

from jaxdissect.report.page import PageFigure as PageFigure
from jaxdissect.report.page import PageSection as PageSection
from jaxdissect.report.page import PageTable as PageTable
from jaxdissect.report.page import write_page as write_page
