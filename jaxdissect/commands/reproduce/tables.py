"""Tables of what was measured beside what was published."""

from collections.abc import Sequence
from typing import Any

from jaxdissect.commands.output.table_files import Rows, aligned, four_digits
from jaxdissect.reproduction.outcome import (
    HEADER,
    MISSING,
    OUTSIDE,
    UNPUBLISHED,
    WITHIN,
    Outcome,
    outcome_rows,
)

_MOST = 40  # lines of a table on a terminal

_SHOWN = ("quantity", "published", "known", "tolerance", "measured", "verdict")


def outcome_table(outcomes: Sequence[Outcome]) -> Rows:
    """One row per quantity of every experiment, those with a published figure first."""
    return HEADER, outcome_rows(outcomes)


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Write outcomes as Markdown: for every experiment what it is, what differs, and its table."""
    lines = ["# Published and measured", ""]
    for outcome in outcomes:
        experiment = outcome.experiment
        lines += [f"## {experiment.name}: {experiment.title}", "", experiment.about, ""]
        if outcome.comparable:
            lines += [f"**{_sentence(outcome.comparable)}.** Measured figures show that every step "
                      "runs, and nothing else.", ""]  # fmt: skip
        if outcome.problem:
            lines += [f"**It did not run to its end:** {outcome.problem}", ""]
        if experiment.differences:
            lines += ["Not as in the published code:", ""]
            lines += [*(f"- {text}" for text in experiment.differences), ""]
        header, rows = outcome_table([outcome])
        places = [header.index(name) for name in ("what", *_SHOWN, "unit")]
        cells = [tuple(row[place] for place in places) for row in rows]
        titles = [header[place] for place in places]
        lines += [_line(titles), _line(["---"] * len(titles))]
        lines += [_line(row) for row in four_digits(cells)]
        lines += [""]
        reasons = dict.fromkeys(figure.reason for figure in _figures(outcome))
        if reasons:
            lines += ["Why these tolerances:", "", *(f"- {reason}" for reason in reasons), ""]
        sources = dict.fromkeys(figure.source for figure in _figures(outcome))
        if sources:
            lines += ["Where the published figures stand:", ""]
            lines += [*(f"- {source}" for source in sources), ""]
    return "\n".join(lines).rstrip() + "\n"


def summary(outcomes: Sequence[Outcome]) -> str:
    """Tell how every experiment compares, and list what is published of it."""
    lines = ["Experiments that have run:", ""]
    header = ("experiment", "measured", "published", "within", "outside", "missing", "")
    rows = [
        (
            outcome.experiment.name,
            sum(row.measured is not None for row in outcome.compared),
            len(outcome.experiment.figures),
            *(_count(outcome, verdict) for verdict in (WITHIN, OUTSIDE, MISSING)),
            f"did not run: {outcome.problem}" if outcome.problem else outcome.comparable,
        )
        for outcome in outcomes
    ]
    lines += aligned([header, *rows])
    compared = [
        row
        for row in outcome_rows([outcome for outcome in outcomes if not outcome.comparable])
        if row[HEADER.index("verdict")] != UNPUBLISHED
    ]
    if compared:
        columns = ("experiment", "what", "published", "tolerance", "measured", "verdict")
        places = [HEADER.index(name) for name in columns]
        cells: list[Any] = [tuple(row[place] for place in places) for row in compared]
        lines += ["", *aligned(four_digits([columns, *cells[:_MOST]]))]
        if len(cells) > _MOST:
            lines += [f"  ... and {len(cells) - _MOST} more in the tables"]
    return "\n".join(lines)


def _count(outcome: Outcome, verdict: str) -> int | str:
    return "-" if outcome.comparable else outcome.number_of(verdict)


def _figures(outcome: Outcome) -> Sequence[Any]:
    return outcome.experiment.figures


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
