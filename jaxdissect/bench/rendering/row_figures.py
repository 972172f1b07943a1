"""What follows from the repeats of a row: its speed, and its share of each roof."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.record import Row, Run
from jaxdissect.bench.workload import Work

KINDS = ("products", "operations", "bytes")
"""The three roofs."""


@dataclass(frozen=True, kw_only=True)
class RowFigures:
    """The figures of a row that was measured.

    Attributes:
        median: Seconds of one run, half of the repeats took longer.
        low: Seconds that a tenth of the repeats undercut: the 10th percentile.
        high: Seconds that a tenth of the repeats exceeded: the 90th percentile.
        images_per_second: Of one device, by the median; None where no images are taken.
        precision: Of the matrix products: "highest", "default" or "bfloat16".
        least: Seconds that the work takes at least, by each roof that it touches, when it is
            shared equally by the row's devices.
        shares: `least` over `median`: 1 is a row at that roof.
        bound: Which roof binds: the one by which it takes longest; empty where no work is counted.
    """

    median: float
    low: float
    high: float
    images_per_second: float | None
    precision: str
    least: dict[str, float]
    shares: dict[str, float]
    bound: str

    @property
    def share(self) -> float | None:
        """Share of the roof that binds; None where no work is counted."""
        return self.shares[self.bound] if self.bound else None


def row_figures(row: Row, roofs: Roofs) -> RowFigures | None:
    """Tell the figures of a row.

    Args:
        row: Of a run.
        roofs: What one device reaches, from `best_roofs`.

    Returns:
        The figures, or None where the row was not timed.
    """
    if row.timing is None or not row.timing.seconds:
        return None
    low, median, high = (float(q) for q in np.percentile(row.timing.seconds, (10, 50, 90)))
    devices = max(row.devices, 1)
    precision = row_precision(row, roofs)
    least = {} if row.work is None else _least(row.work, roofs, precision, devices)
    shares = {kind: _over(seconds, median) for kind, seconds in least.items()}
    return RowFigures(
        median=median,
        low=low,
        high=high,
        images_per_second=_over(float(row.images), median) / devices if row.images else None,
        precision=precision,
        least=least,
        shares=shares,
        bound=max(least, key=lambda kind: least[kind]) if least else "",
    )


def row_precision(row: Row, roofs: Roofs) -> str:
    """Tell with which roof of products a row is compared."""
    precision = str(row.sizes.get("precision", "default"))
    return precision if precision in roofs.products else "default"


def best_roofs(run: Run) -> Roofs:
    """Take the better of the roofs before and after the rows: what the device does reach."""
    before, after = run.roofs, run.roofs_after
    names = {**before.products, **after.products}
    return replace(
        before,
        products={
            name: max(before.products.get(name, 0.0), after.products.get(name, 0.0))
            for name in names
        },
        operations=max(before.operations, after.operations),
        bytes=max(before.bytes, after.bytes),
    )


def is_right(row: Row) -> bool:
    """Whether a row was measured and its answer is right: others have no speed."""
    return not row.problem and row.gate is not None and row.gate.passed


def measured_rows(run: Run) -> list[tuple[int, Row, RowFigures]]:
    """List the rows that were timed and are right, each with its number in the suite, from 1 on."""
    roofs = best_roofs(run)
    rows = [(number, row) for number, row in enumerate(run.rows, 1) if is_right(row)]
    found = ((number, row, row_figures(row, roofs)) for number, row in rows)
    return [(number, row, figures) for number, row, figures in found if figures is not None]


def furthest(
    rows: Sequence[tuple[int, Row, RowFigures]], *, most: int = 10
) -> list[tuple[int, Row, RowFigures]]:
    """List the rows furthest from the roof that binds them, the furthest first."""
    counted = [item for item in rows if item[2].bound]
    return sorted(counted, key=lambda item: item[2].shares[item[2].bound])[:most]


def _least(work: Work, roofs: Roofs, precision: str, devices: int) -> dict[str, float]:
    rates = {
        "products": roofs.products.get(precision, 0.0),
        "operations": roofs.operations,
        "bytes": roofs.bytes,
    }
    amounts = {"products": work.products, "operations": work.operations, "bytes": work.bytes}
    return {
        kind: amounts[kind] / rates[kind] / devices
        for kind in KINDS
        if amounts[kind] > 0 and rates[kind] > 0
    }


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.inf
