"""Names from elsewhere in charts, sheets and pages: shown as they are, nothing fails."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from support import drawn_results

import jaxdissect
from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.arrays.names import printable
from jaxdissect.dissection.unit_images import UnitImages
from jaxdissect.plots.bars_and_curves import bar_figure, curve_figure
from jaxdissect.plots.concept_chart import concept_figure
from jaxdissect.plots.image_grid import draw_grid
from jaxdissect.plots.unit_strips import draw_unit_strips

FORMULA = r"$\frac{$"
NAMES = [FORMULA, "$5 and $10", r"\alpha", "\x1b[31mred", "one\ntwo", "caf\udce9.png", "x_1^2"]
ONES = np.ones(len(NAMES))


def texts(figure):
    """Draw a figure, and return all text in it."""
    figure.savefig(io.BytesIO(), format="png")
    shown = [text for text in figure.findobj(Text) if text.get_text()]
    assert not any(text.get_parse_math() for text in shown)
    return [text.get_text() for text in shown]


@pytest.mark.parametrize("name", NAMES)
def test_figures_show_names_letter_by_letter(name):
    named = {"title": name, "across": name, "up": name}
    bars = bar_figure([name, "b"], {name: np.ones(2), "c": np.ones(2)}, title=name, unit=name)
    assert texts(bars).count(printable(name)) >= 1  # of a tick; others keep their lines
    shown = texts(curve_figure([0, 1], {name: np.ones(2), "b": np.ones(2)}, **named))
    lines = "\n".join(map(printable, name.split("\n")))
    assert shown.count(lines) == (3 if "\n" in name else 4)  # the title makes lines of its own


def test_concepts_and_layers_of_a_chart_may_have_any_name():
    concepts = vocabulary([(FORMULA, "object"), ("$x$", r"$\kind{$")])
    layer = drawn_results.layer_with(FORMULA, [1, 2], concepts)
    result = drawn_results.dissection_with(a=[1])
    shown = texts(concept_figure(type(result)({FORMULA: layer}, concepts)))
    assert FORMULA in shown and "$x$" in shown and any(text.startswith(FORMULA) for text in shown)


def test_sheets_of_images_may_have_any_names():
    images = np.zeros((len(NAMES), len(NAMES), 4, 4, 3))
    assert draw_grid(images, rows=NAMES, columns=NAMES).height > 0
    strip = UnitImages(
        **{
            **dict.fromkeys(UnitImages._fields, 0),
            "concept": "one\ntwo\udce9",
            "category": FORMULA,
            "iou": 0.5,
            "images": np.zeros((1, 8, 8, 3), "f4"),
            "active": np.zeros((1, 8, 8), bool),
        }
    )
    assert draw_unit_strips("layer\n\x1b", [strip]).height > 0


def test_every_figure_is_plain():
    package = Path(jaxdissect.__file__).parent
    wrong = []
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            called = getattr(node, "func", None)
            if getattr(called, "id", None) == "Figure" and path.name != "plain_figure.py":
                wrong.append(str(path))
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                wrong += [str(path) for name in names if "pyplot" in name]
    assert not wrong
