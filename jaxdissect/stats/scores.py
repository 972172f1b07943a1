"""Scores of the agreement between units and concepts, all from the same four counts.

Every score is a function of `AgreementCounts` (or of a `ContingencyTable` of counts or
probabilities) and returns a float64 array [C, U]. Where a score is 0/0, because a unit is never
active or a concept never occurs, it is 0 and never NaN.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats.agreement import AgreementCounts

Score = Float[np.ndarray, "C U"]


class ContingencyTable(NamedTuple):
    """Number, or probability, of pixels in each cell of the 2 x 2 table of a unit and a concept."""

    both: Float[np.ndarray, "C U"]
    unit_only: Float[np.ndarray, "C U"]
    concept_only: Float[np.ndarray, "C U"]
    neither: Float[np.ndarray, "C U"]

    __repr__ = short_repr


def contingency_table(counts: AgreementCounts) -> ContingencyTable:
    """Arrange the counts as 2 x 2 tables; that of "none" (row 0) is empty."""
    both = counts.intersection.astype(np.float64)
    unit_only = counts.unit[None] - both
    concept_only = counts.concept[:, None] - both
    neither = counts.total - both - unit_only - concept_only
    cells = both, unit_only, concept_only, neither
    return ContingencyTable(*(_without_none(cell) for cell in cells))


def iou(counts: AgreementCounts | ContingencyTable) -> Score:
    """Intersection over union of active pixels and concept pixels (Bau et al. 2020, IoU_{u,c})."""
    cells = _cells(counts)
    return _ratio(cells.both, cells.both + cells.unit_only + cells.concept_only)


def reference_iou(counts: AgreementCounts) -> Score:
    """IoU as the reference implementation computes it, for parity.

    There row 0 holds the fraction of pixels on which a unit is active and competes with the
    concepts, and dead units with absent concepts give NaN.
    """
    both = counts.intersection.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return both / (counts.unit[None] + counts.concept[:, None] - both)


def precision(counts: AgreementCounts | ContingencyTable) -> Score:
    """Fraction of a unit's active pixels that show the concept."""
    cells = _cells(counts)
    return _ratio(cells.both, cells.both + cells.unit_only)


def recall(counts: AgreementCounts | ContingencyTable) -> Score:
    """Fraction of the concept's pixels on which the unit is active."""
    cells = _cells(counts)
    return _ratio(cells.both, cells.both + cells.concept_only)


def f1(counts: AgreementCounts | ContingencyTable) -> Score:
    """Harmonic mean of precision and recall."""
    cells = _cells(counts)
    return _ratio(2 * cells.both, 2 * cells.both + cells.unit_only + cells.concept_only)


def mutual_information(counts: AgreementCounts | ContingencyTable) -> Score:
    """Mutual information of "unit active" and "concept here", in nats."""
    cells = _cells(counts)
    total = _total(cells)
    unit, concept = cells.both + cells.unit_only, cells.both + cells.concept_only
    information = np.zeros_like(total)
    for cell, of_unit, of_concept in (
        (cells.both, unit, concept),
        (cells.unit_only, unit, total - concept),
        (cells.concept_only, total - unit, concept),
        (cells.neither, total - unit, total - concept),
    ):
        information += _times_log(_ratio(cell, total), _ratio(cell * total, of_unit * of_concept))
    return np.maximum(information, 0)


def information_quality_ratio(counts: AgreementCounts | ContingencyTable) -> Score:
    """IQR: mutual information over joint entropy, in [0, 1]; negative association scores too."""
    cells = _cells(counts)
    total = _total(cells)
    entropy = np.zeros_like(total)
    for cell in cells:
        entropy -= _times_log(_ratio(cell, total), _ratio(cell, total))
    return _ratio(mutual_information(cells), entropy)


def matthews_correlation(counts: AgreementCounts | ContingencyTable) -> Score:
    """Correlation of the two indicators, in [-1, 1]."""
    cells = _cells(counts)
    total = _total(cells)
    # Probabilities, since products of four pixel counts would lose digits.
    both = _ratio(cells.both, total)
    unit = _ratio(cells.both + cells.unit_only, total)
    concept = _ratio(cells.both + cells.concept_only, total)
    spread = np.sqrt(np.maximum(unit * (1 - unit) * concept * (1 - concept), 0))
    return _ratio(both - unit * concept, spread)


def within(counts: AgreementCounts, scope_of: Int[np.ndarray, "C"]) -> ContingencyTable:
    """Arrange the counts of only those pixels that could have carried a concept.

    Where annotation is partial, an unlabelled pixel is no evidence against a concept. Scopes, such
    as "some object is annotated here", are counted as if they were concepts.

    Args:
        counts: Agreement with concepts and scopes.
        scope_of: For each of the first C rows, the row of its scope.
    """
    both = counts.intersection[: len(scope_of)].astype(np.float64)
    unit_only = counts.intersection[scope_of] - both
    concept_only = counts.concept[: len(scope_of), None] - both
    neither = counts.concept[scope_of][:, None] - both - unit_only - concept_only
    cells = both, unit_only, concept_only, neither
    return ContingencyTable(*(_without_none(cell) for cell in cells))


def _cells(counts: AgreementCounts | ContingencyTable) -> ContingencyTable:
    return counts if isinstance(counts, ContingencyTable) else contingency_table(counts)


def _without_none(cells: np.ndarray) -> np.ndarray:
    cells[0] = 0
    return cells


def _total(cells: ContingencyTable) -> Score:
    return cells.both + cells.unit_only + cells.concept_only + cells.neither


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> Score:
    result = np.zeros(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)))
    return np.divide(numerator, denominator, out=result, where=np.asarray(denominator) != 0)


def _times_log(probability: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    logarithm = np.zeros_like(ratio)
    np.log(ratio, out=logarithm, where=ratio > 0)
    return probability * logarithm
