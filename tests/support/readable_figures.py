"""Whether a figure can be read: its texts are large enough, inside, and apart from one another."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.legend import Legend
from matplotlib.text import Text

SMALLEST = 6.0
"""Points, the smallest letters that PNAS allows."""

_TOUCH = 0.5  # pixels by which boxes may share a border


def unreadable(figure):
    """Draw a figure, and say what in it cannot be read; nothing if all can."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = _shown(figure)
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    wrong = [
        f"{text.get_text()!r} has {text.get_fontsize()} points"
        for text in texts
        if text.get_fontsize() < SMALLEST
    ]
    wrong += [f"{name!r} lies outside" for name, box in boxes if not _contains(figure.bbox, box)]
    # Sorted by their left ends, a box meets those that begin before it ends.
    boxes.sort(key=lambda pair: pair[1].x0)
    for place, (name, box) in enumerate(boxes):
        for other, later in boxes[place + 1 :]:
            if later.x0 >= box.x1 - _TOUCH:
                break
            if _overlap(box, later):
                wrong.append(f"{name!r} and {other!r} overlap")
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "images"]
    for legend in figure.findobj(Legend):
        frame = legend.get_window_extent(renderer)
        wrong += [
            f"the legend of {legend.get_texts()[0].get_text()!r} covers a panel"
            for axes in panels
            if _overlap(frame, axes.get_window_extent(renderer))
        ]
    return wrong


def shown_texts(figure):
    """Texts that are drawn, after `unreadable` has drawn the figure."""
    return [text.get_text() for text in _shown(figure)]


def _shown(figure):
    """Texts that are drawn: ticks beyond the limits of an axis have some that are not."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-6 * (high - low)
            for tick in (*axis.majorTicks, *axis.minorTicks):
                if not low - slack <= tick.get_loc() <= high + slack:
                    hidden |= {id(tick.label1), id(tick.label2)}
        if not axes.get_visible():
            hidden |= {id(text) for text in axes.findobj(Text)}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and id(text) not in hidden
    ]


def _contains(outer, box):
    return (
        box.x0 >= outer.x0 - _TOUCH
        and box.y0 >= outer.y0 - _TOUCH
        and box.x1 <= outer.x1 + _TOUCH
        and box.y1 <= outer.y1 + _TOUCH
    )


def _overlap(first, second):
    return (
        min(first.x1, second.x1) - max(first.x0, second.x0) > _TOUCH
        and min(first.y1, second.y1) - max(first.y0, second.y0) > _TOUCH
    )
