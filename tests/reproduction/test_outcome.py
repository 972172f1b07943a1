"""What was measured beside what was published: verdicts, and what is never compared."""

import pytest

from jaxdissect.reproduction.experiment import Experiment, PublishedFigure
from jaxdissect.reproduction.outcome import (
    HEADER,
    MISSING,
    OUTSIDE,
    UNCONFIRMED,
    UNPUBLISHED,
    WITHIN,
    compare_with_published,
    outcome_rows,
)


def figure(quantity, value, *, known="printed", tolerance=0.3):
    reason = "of rounding alone"
    return PublishedFigure(quantity, "a share", value, "%", known, "a plot", tolerance, reason)


def experiment(*figures):
    return Experiment("one", "One", "About.", "style", (), (), {}, {}, (), figures)


@pytest.mark.parametrize(
    "measured, verdict",
    [
        (76.6, WITHIN),
        (76.9, WITHIN),  # as decimals, by the tolerance exactly
        (76.3, WITHIN),
        (76.901, OUTSIDE),
        (76.29, OUTSIDE),
        (float("nan"), MISSING),
        (float("inf"), MISSING),
        (None, MISSING),
    ],
)
def test_verdicts(measured, verdict):
    found = {} if measured is None else {"share": measured}
    outcome = compare_with_published(experiment(figure("share", 76.6)), {}, found, "")
    assert [row.verdict for row in outcome.compared] == [verdict]
    assert outcome.is_reproduced == (verdict == WITHIN)


def test_a_tolerance_of_nothing():
    exact = experiment(figure("entries", 1825.0, tolerance=0.0))
    for measured, verdict in ((1825.0, WITHIN), (1824.0, OUTSIDE)):
        (row,) = compare_with_published(exact, {}, {"entries": measured}, "").compared
        assert row.verdict == verdict


def test_what_is_from_memory_is_not_compared():
    outcome = compare_with_published(
        experiment(figure("share", 78.2, known="unconfirmed")), {}, {"share": 10.0}, ""
    )
    assert outcome.compared[0].verdict == UNCONFIRMED and outcome.is_reproduced


@pytest.mark.parametrize("measured", [76.6, 10.0, None])
def test_nothing_is_compared_where_nothing_can_be(measured):
    found = {} if measured is None else {"share": measured}
    why = "not comparable: random weights"
    outcome = compare_with_published(experiment(figure("share", 76.6)), {}, found, why)
    assert outcome.compared[0].verdict == why
    assert outcome.compared[0].measured == measured  # and never the published one
    assert outcome.is_reproduced
    outcome = compare_with_published(experiment(), {}, {"other": 1.0}, why)
    assert [row.verdict for row in outcome.compared] == [why]  # without a published figure too


def test_what_has_no_figure_is_listed_after_the_others():
    outcome = compare_with_published(
        experiment(figure("b", 1.0)), {"most": 3}, {"a": 5.0, "b": 1.0}, ""
    )
    assert [(row.quantity, row.verdict) for row in outcome.compared] == [
        ("b", WITHIN),
        ("a", UNPUBLISHED),
    ]
    rows = [dict(zip(HEADER, row, strict=True)) for row in outcome_rows([outcome])]
    assert rows[0]["published"] == 1.0 and rows[0]["reason of tolerance"] == "of rounding alone"
    assert rows[1]["published"] is None and rows[1]["measured"] == 5.0
    assert outcome.number_of(WITHIN) == 1
