"""Charts of bars and curves: what is drawn is what was given."""

import io

import numpy as np
import pytest
from matplotlib.container import BarContainer

from jaxdissect.plots.bars_and_curves import NAME_SHARE, bar_figure, curve_figure


def test_bars_stand_in_the_order_of_their_names():
    values = {"before": np.array([1.0, 2.0, 3.0]), "after": np.array([0.5, 2.5, 1.0])}
    figure = bar_figure(["a", "b", "c"], values, title="t", unit="u", errors={"after": np.ones(3)})
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    groups = [group for group in axes.containers if isinstance(group, BarContainer)]
    widths = [[bar.get_width() for bar in group] for group in groups]
    assert widths == [[1, 2, 3], [0.5, 2.5, 1]]
    assert axes.yaxis_inverted()


def test_long_names_and_titles_leave_room_for_bars():
    name = "encoder.layers.11." + "x" * 90 + ".value"
    figure = bar_figure([name, "b"], {name: np.ones(2), "c": np.ones(2)}, title=name, unit="u")
    figure.savefig(io.BytesIO(), format="png")  # would warn of axes without any width
    (axes,) = figure.axes
    (label, _) = axes.get_yticklabels()
    assert "…" in label.get_text() and label.get_text().endswith(".value")
    assert label.get_window_extent().width <= NAME_SHARE * figure.bbox.width
    (title,) = [text for text in figure.texts if "layers" in text.get_text()]
    assert "\n" in title.get_text() and title.get_window_extent().x1 <= figure.bbox.x1


def test_curves_have_bands_and_begin_at_zero():
    curves = {"left": np.array([1.0, 0.6, 0.4])}
    figure = curve_figure(
        [0, 1, 2], curves, title="t", across="n", up="f", bands={"left": np.full(3, 0.1)}
    )
    (axes,) = figure.axes
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata()), curves["left"])
    assert axes.get_ylim()[0] == 0
    (band,) = axes.collections
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert heights.max() == pytest.approx(1.1) and heights.min() == pytest.approx(0.3)


def test_what_is_not_known_has_no_error_bar_and_no_band():
    errors = {"x": np.array([np.inf, 0.1, np.nan])}
    figure = bar_figure(["a", "b", "c"], {"x": np.ones(3)}, title="t", unit="u", errors=errors)
    figure.savefig(io.BytesIO(), format="png")
    (bars,) = [group for group in figure.axes[0].containers if isinstance(group, BarContainer)]
    assert bars.errorbar is not None
    drawn = [part for part in bars.errorbar.lines[2][0].get_segments() if np.isfinite(part).all()]
    (segment,) = [part for part in drawn if len(part)]
    np.testing.assert_allclose(segment[:, 0], [0.9, 1.1])
    bands = {"x": np.array([0.1, np.inf, 0.1])}
    curves = {"x": np.ones(3)}
    figure = curve_figure([0, 1, 2], curves, title="t", across="n", up="f", bands=bands)
    figure.savefig(io.BytesIO(), format="png")
    (band,) = figure.axes[0].collections
    vertices = np.concatenate([np.asarray(path.vertices) for path in band.get_paths()])
    assert np.isfinite(vertices).all()
