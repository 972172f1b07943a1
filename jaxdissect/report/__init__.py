"""Sites of results: what a run found, as pages that a browser opens from disk."""

from jaxdissect.report.page_section import Cell as Cell
from jaxdissect.report.page_section import Estimate as Estimate
from jaxdissect.report.page_section import KeyFigure as KeyFigure
from jaxdissect.report.page_section import PageFigure as PageFigure
from jaxdissect.report.page_section import PageSection as PageSection
from jaxdissect.report.page_section import PageTable as PageTable
from jaxdissect.report.page_section import UnitCell as UnitCell
from jaxdissect.report.result_folders import build_report as build_report
from jaxdissect.report.site_run import SiteRun as SiteRun
from jaxdissect.report.site_writer import write_site as write_site
from jaxdissect.report.unit_effects import ClassChange as ClassChange
from jaxdissect.report.unit_effects import LayerEffects as LayerEffects
from jaxdissect.report.unit_effects import UnitEffect as UnitEffect
