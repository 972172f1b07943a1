"""The roofline chart: what each row does for a byte of memory against how fast it does it.

Both axes are logarithmic. A row lies under the slope of the memory and under the level of what it
computes with; how far below is what it wastes (Williams et al., "Roofline: an insightful visual
performance model for multicore architectures", CACM 52, 2009).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.record import Row
from jaxdissect.bench.rendering.cell_text import scaled_text
from jaxdissect.bench.rendering.row_figures import RowFigures
from jaxdissect.bench.rendering.run_tables import ROOF_NAMES

_LEFT, _TOP, _BOTTOM = 46, 18, 44
_WIDE = 600  # pixels, from which on roofs are named in full
_RADIUS, _SMALL = 5.0, 3.6  # of a point, where there is room for it and where not
_LETTER = 6.6  # width of a digit of its label
_NAMES, _SHORT_NAMES = 256, 70  # for the names of roofs: three on one line, and one word


@dataclass(frozen=True, kw_only=True)
class ChartPoint:
    """A row in the chart.

    Attributes:
        number: In the suite, from 1 on: its label.
        name: Of the row.
        intensity: Operations for each byte.
        rate: Operations in a second, of one device.
        bound: The roof that binds.
        share: Of that roof.
        kind: What is counted on the axes: "products" or "operations".
    """

    number: int
    name: str
    intensity: float
    rate: float
    bound: str
    share: float
    kind: str


def chart_points(rows: Sequence[tuple[int, Row, RowFigures]]) -> list[ChartPoint]:
    """Find the points of the rows that compute and read memory; others are not in the chart."""
    points = []
    for number, row, figures in rows:
        computing = {kind: seconds for kind, seconds in figures.least.items() if kind != "bytes"}
        if row.work is None or not computing or row.work.bytes <= 0 or figures.median <= 0:
            continue
        kind = max(computing, key=lambda name: computing[name])
        amount = getattr(row.work, kind)
        points.append(
            ChartPoint(
                number=number,
                name=row.name,
                intensity=amount / row.work.bytes,
                rate=amount / figures.median / max(row.devices, 1),
                bound=figures.bound,
                share=figures.shares[figures.bound],
                kind=kind,
            )
        )
    return points


def roofline_svg(
    points: Sequence[ChartPoint], roofs: Roofs, *, width: int = 720, height: int = 430
) -> str:
    """Draw the chart as SVG, whose colors are classes of the page.

    Args:
        points: From `chart_points`; at least one.
        roofs: What one device reaches.
        width: In pixels.
        height: In pixels.

    Returns:
        An `svg` element.
    """
    levels = _levels(roofs)
    axes = _Axes.around(points, roofs, levels, width, height)
    label = f"Roofline chart of {len(points)} rows; the table below has the same figures."
    parts = [
        f'<svg class="roofline" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label={quoteattr(label)}>',
        *_grid(axes),
        *_roof_lines(axes, roofs, levels),
        *_point_marks(axes, points),
        "</svg>",
    ]
    return "\n".join(parts)


def marker_svg(bound: str) -> str:
    """Draw the mark of rows that a roof binds, for a legend."""
    return (
        '<svg class="roofline mark-only" viewBox="0 0 14 14" width="14" height="14" '
        f'aria-hidden="true">{_shape(bound, 7.0, 7.0, _RADIUS)}</svg>'
    )


@dataclass(frozen=True, kw_only=True)
class _Axes:
    left: float  # decades
    right: float
    low: float
    high: float
    width: int
    height: int

    @classmethod
    def around(
        cls,
        points: Sequence[ChartPoint],
        roofs: Roofs,
        levels: Sequence[tuple[str, float]],
        width: int,
        height: int,
    ) -> "_Axes":
        rates = [math.log10(point.rate) for point in points]
        places = [math.log10(point.intensity) for point in points]
        top = math.log10(max(rate for _, rate in levels))
        # The ridge, where memory and products meet, is in the picture.
        ridge = top - math.log10(roofs.bytes)
        low, high = min(rates) - 0.3, max(top, *rates) + 0.25
        return cls(
            left=min(*places, ridge - 1) - 0.3,
            right=max(*places, ridge) + 0.6,
            low=min(low, high - 2),
            high=high,
            width=width,
            height=height,
        )

    def x(self, intensity: float) -> float:
        span = self.end - _LEFT
        return _LEFT + span * (math.log10(intensity) - self.left) / (self.right - self.left)

    def y(self, rate: float) -> float:
        span = self.height - _TOP - _BOTTOM
        return _TOP + span * (self.high - math.log10(rate)) / (self.high - self.low)

    @property
    def floor(self) -> float:
        return float(self.height - _BOTTOM)

    @property
    def wide(self) -> bool:
        return self.width >= _WIDE

    @property
    def radius(self) -> float:
        return _RADIUS if self.wide else _SMALL

    @property
    def end(self) -> float:
        """Where the plot ends and the names of the level roofs begin."""
        return float(self.width - (_NAMES if self.wide else _SHORT_NAMES))


def _levels(roofs: Roofs) -> list[tuple[str, float]]:
    """Name the level roofs, from the highest; products that are within 4% share a line."""
    levels: list[tuple[str, float]] = []
    for name, rate in sorted(roofs.products.items(), key=lambda item: -item[1]):
        if rate <= 0:
            continue
        if levels and levels[-1][1] < 1.04 * rate:
            levels[-1] = (f"{levels[-1][0]}, {name}", levels[-1][1])
        else:
            levels.append((name, rate))
    if roofs.operations > 0:
        levels.append(("operations", roofs.operations))
    return sorted(levels, key=lambda level: -level[1])


def _grid(axes: _Axes) -> Iterator[str]:
    for decade in range(math.ceil(axes.left), math.floor(axes.right) + 1):
        x = axes.x(10.0**decade)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{axes.floor}"/>'
        text = f"{10**decade:,}" if decade >= 0 else f"{10.0**decade:g}"
        place = f'x="{x:.1f}" y="{axes.floor + 16}" text-anchor="middle"'
        yield f'<text class="tick" {place}>{text}</text>'
    for decade in range(math.ceil(axes.low), math.floor(axes.high) + 1):
        y = axes.y(10.0**decade)
        yield f'<line class="grid" x1="{_LEFT}" x2="{axes.end}" y1="{y:.1f}" y2="{y:.1f}"/>'
        text = scaled_text(10.0**decade, "").strip()
        yield f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    middle = (_LEFT + axes.end) / 2
    yield (
        f'<text class="axis-name" x="{middle:.1f}" y="{axes.height - 8}" text-anchor="middle">'
        "operations for each byte</text>"
    )
    yield '<text class="axis-name" x="2" y="11">operations a second, of one device</text>'


def _roof_lines(axes: _Axes, roofs: Roofs, levels: Sequence[tuple[str, float]]) -> Iterator[str]:
    top = max(rate for _, rate in levels)
    start = max(10.0**axes.left, 10.0**axes.low / roofs.bytes)
    end = top / roofs.bytes
    x1, y1 = axes.x(start), axes.y(start * roofs.bytes)
    x2, y2 = axes.x(end), axes.y(top)
    yield f'<line class="roof" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
    x, y = x1 + 0.3 * (x2 - x1), y1 + 0.3 * (y2 - y1)
    yield (
        f'<text class="roof-name" transform="translate({x:.1f} {y:.1f}) rotate({angle:.1f})" '
        f'dy="-6">memory {escape(scaled_text(roofs.bytes, "B/s"))}</text>'
    )
    place = -math.inf
    for name, rate in levels:
        y = axes.y(rate)
        kind = "operations" if name == "operations" else "products"
        yield (
            f'<line class="roof {kind}" x1="{axes.x(rate / roofs.bytes):.1f}" x2="{axes.end}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        place = max(place + 13, y + 4)  # the highest comes first; names do not overlap
        unit = "/s" if kind == "operations" else "FLOP/s"
        text = f"{name} {scaled_text(rate, unit)}" if axes.wide else name.split(",")[0]
        yield (f'<text class="roof-name" x="{axes.end + 5}" y="{place:.1f}">{escape(text)}</text>')


def _point_marks(axes: _Axes, points: Sequence[ChartPoint]) -> Iterator[str]:
    marks = [(axes.x(point.intensity), axes.y(point.rate)) for point in points]
    r = axes.radius
    taken = [(x - r, y - r, x + r, y + r) for x, y in marks]
    for point, (x, y) in zip(points, marks, strict=True):
        label = str(point.number)
        tx, ty, far = _label_place(x, y, _LETTER * len(label) / 2 + 1, taken, axes)
        title = (
            f"{point.name}: {scaled_text(point.rate, 'operations/s')}, "
            f"{100 * point.share:.3g}% of the {ROOF_NAMES[point.bound]} roof"
        )
        yield f'<g class="point"><title>{escape(title)}</title>'
        if far:
            yield f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{tx:.1f}" y2="{ty:.1f}"/>'
        yield _shape(point.bound, x, y, r)
        yield (
            f'<text class="number" x="{tx:.1f}" y="{ty + 4:.1f}" text-anchor="middle">'
            f"{label}</text></g>"
        )


def _label_place(
    x: float, y: float, half: float, taken: list[tuple[float, float, float, float]], axes: _Axes
) -> tuple[float, float, bool]:
    """Find a free place near a point for a label of twice the width `half`; then it is `taken`.

    Returns:
        The middle of the label, and whether it is so far away that a line must lead there.
    """
    for distance in (12, 19, 27, 36, 46):
        for turn in (0, 180, 270, 90, 315, 225, 45, 135):
            tx = x + (distance + half - 4) * math.cos(math.radians(turn))
            ty = y + distance * math.sin(math.radians(turn))
            box = (tx - half, ty - 6, tx + half, ty + 6)
            inside = box[0] > _LEFT and box[2] < axes.end and _TOP < box[1] < axes.floor - 12
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                return tx, ty, distance > 12
    return x, y - 12, False


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _shape(bound: str, x: float, y: float, radius: float) -> str:
    if bound == "bytes":
        side = 1.7 * radius
        return (
            f'<rect class="mark-bytes" x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" '
            f'width="{side:.1f}" height="{side:.1f}"/>'
        )
    if bound == "operations":
        r = 1.25 * radius
        return (
            f'<path class="mark-operations" d="M{x:.1f} {y - r:.1f}l{r:.1f} {r:.1f}'
            f'l{-r:.1f} {r:.1f}l{-r:.1f} {-r:.1f}z"/>'
        )
    return f'<circle class="mark-products" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'
