"""Drawing only: arrays and what has the needed attributes in, a figure or a picture out."""

from jaxdissect.plots.bars_and_curves import bar_figure as bar_figure
from jaxdissect.plots.bars_and_curves import curve_figure as curve_figure
from jaxdissect.plots.concept_chart import concept_figure as concept_figure
from jaxdissect.plots.concept_chart import layer_figure as layer_figure
from jaxdissect.plots.drawable import DrawableDissection as DrawableDissection
from jaxdissect.plots.drawable import DrawableLayer as DrawableLayer
from jaxdissect.plots.drawable import DrawableUnit as DrawableUnit
from jaxdissect.plots.figure_files import save_figure as save_figure
from jaxdissect.plots.image_grid import draw_grid as draw_grid
from jaxdissect.plots.image_grid import grid_figure as grid_figure
from jaxdissect.plots.image_grid import paint_labels as paint_labels
from jaxdissect.plots.palette import CategoryMark as CategoryMark
from jaxdissect.plots.palette import category_colors as category_colors
from jaxdissect.plots.palette import category_marks as category_marks
from jaxdissect.plots.print_style import COLUMN_WIDTH as COLUMN_WIDTH
from jaxdissect.plots.print_style import PAGE_WIDTH as PAGE_WIDTH
from jaxdissect.plots.regions import highlight as highlight
from jaxdissect.plots.unit_strips import draw_unit_strips as draw_unit_strips
from jaxdissect.plots.unit_strips import save_unit_strips as save_unit_strips
from jaxdissect.plots.unit_strips import strip_figure as strip_figure
from jaxdissect.plots.unit_strips import unit_figure as unit_figure
