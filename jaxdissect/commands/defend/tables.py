"""Tables of defences: accuracy by the number of deactivated units."""

from collections.abc import Mapping, Sequence

from jaxdissect.attacks import AttackStudy, DefenceCurve
from jaxdissect.commands.output import table_files
from jaxdissect.commands.output.attack_summary import attack_line
from jaxdissect.commands.output.table_files import Rows, finite_or_none

_MEASURES = (
    "accuracy",
    "accuracy under transferred attack",
    "success of transferred attack",
    "accuracy under adaptive attack",
    "success of adaptive attack",
    "median L2 distance of adaptive attack",
)


def defence_table(curves: Mapping[str, DefenceCurve]) -> Rows:
    """One row per defence and number of units."""
    header = ("deactivated", "units", *_MEASURES)
    return header, [
        (name, int(row[0]), *(finite_or_none(value) for value in row[1:]))
        for name, curve in curves.items()
        for row in zip(*curve, strict=True)
    ]


def summary(study: AttackStudy, curves: Mapping[str, DefenceCurve], names: Sequence[str]) -> str:
    """How the attack went, and the accuracy of every defence, as text; `names` are those of all
    classes."""
    header, rows = defence_table(curves)
    table = table_files.aligned([header, *table_files.three_decimals(rows)])
    return "\n".join([attack_line(study, names), "", *table])
