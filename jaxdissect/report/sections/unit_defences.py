"""The section of `jaxdissect defend`: whether deactivating units defends against attacks."""

from collections.abc import Iterator, Mapping, Sequence

from jaxdissect.report.page_section import KeyFigure, PageSection, PageTable
from jaxdissect.report.sections.attacked_units import ATTACKS, attack_facts
from jaxdissect.report.sections.columns import Column, number_of, page_table, text
from jaxdissect.report.sections.pictures import Picture, figures_there
from jaxdissect.report.sections.result_folder import ResultFolder, Row
from jaxdissect.report.sections.wording import images, percent

_TEXTS = frozenset(("deactivated", "attack"))
_CLEAN, _SUCCESS = "accuracy", "success of adaptive attack"
_TRANSFERRED, _ADAPTIVE = "accuracy under transferred attack", "accuracy under adaptive attack"
_DISTANCE = "median L2 distance of adaptive attack"

_CHOICES = {
    "important": "those most important to the target",
    "response": "those that the attack changes most",
    "random": "random ones",
    "random-important": "random ones of those most important to the target",
}

_Defences = Mapping[tuple[str, str], Sequence[Row]]
"""Rows by number of units, by what attacks want and which units are deactivated."""


def unit_defence_sections(folder: ResultFolder) -> list[PageSection]:
    """Say whether deactivating units defends, also when the attacker knows it.

    Args:
        folder: What `jaxdissect defend` has written.
    """
    layer, target = folder.text("layer"), folder.text("target", default="another class")
    defences: dict[tuple[str, str], list[Row]] = {}
    for row in folder.rows(_table(folder), texts=_TEXTS, needs=("attack", "deactivated", "units")):
        key = (str(row["attack"]), str(row["deactivated"]))
        defences.setdefault(key, []).append(row)
    kind = ATTACKS.get(str(folder.option("attack")), "an attack")
    section = PageSection(
        title=f"Deactivating units of {layer} against attacks",
        question=(
            f"Does it defend a network to deactivate units of `{layer}`? "
            f"{images(folder.number('attacked images')).capitalize()} are attacked by {kind}: "
            "first the undefended network, whose adversarial images the defended one is then shown "
            "(the transferred attack), then the defended network itself, by somebody who knows the "
            "defence (the adaptive attack)."
        ),
        facts=list(_facts(folder, defences, target)),
        found=list(_findings(defences)),
        content=[*figures_there(folder, _pictures(defences)), *_tables(folder)],
        limits=[
            "A defence that stands only against attackers who do not know it is none. And that one "
            "adaptive attack fails would not prove a defence either: a stronger one may succeed.",
            "99% intervals are for other images, and other draws where units are random; each is "
            "for itself. With few images hardly any difference between two defences is certain.",
        ],
        layer=layer,
    )
    return [section]


def _table(folder: ResultFolder) -> str:
    """Name the table, which older versions called as they did the settings."""
    return "defences" if folder.has_table("defences") else "defence"


def _facts(folder: ResultFolder, defences: _Defences, target: str) -> Iterator[KeyFigure]:
    yield from attack_facts(folder, target)
    for goal in list(dict.fromkeys(goal for goal, _ in defences))[:1]:
        best = _best(defences, goal)
        for name, label in ((_TRANSFERRED, "does not know"), (_ADAPTIVE, "knows")):
            value = None if best is None else number_of(best, name)
            if best is not None and value is not None:
                yield KeyFigure(
                    f"classified correctly without {best.get('units')} units, if the attacker "
                    f"{label} of the defence",
                    percent(value),
                    _interval(best, name),
                )


def _best(defences: _Defences, goal: str) -> Row | None:
    """Find the defence of a goal under which most images of an unknowing attacker are correct."""
    rows = [
        row
        for (mine, _), rows in defences.items()
        for row in rows
        if mine == goal and number_of(row, "units") and number_of(row, _TRANSFERRED) is not None
    ]
    return max(rows, key=lambda row: number_of(row, _TRANSFERRED) or 0.0, default=None)


def _interval(row: Row, name: str) -> str | None:
    low, high = (number_of(row, f"{name} ({end})") for end in ("low", "high"))
    return (
        None
        if low is None or high is None
        else f"99% interval {percent(max(low, 0.0))} to {percent(min(high, 1.0))}"
    )


def _findings(defences: _Defences) -> Iterator[str]:
    for goal in dict.fromkeys(goal for goal, _ in defences):
        every = [row for (mine, _), rows in defences.items() if mine == goal for row in rows]
        whole = next((row for row in every if number_of(row, "units") == 0), None)
        if whole is not None:
            yield (
                f"Under {goal} attacks, with all units, {_sure(whole, _TRANSFERRED)} of the images "
                f"are classified correctly, and {_sure(whole, _CLEAN)} before they were attacked."
            )
        row = _best(defences, goal)
        if row is not None:
            kind = str(row["deactivated"])
            yield (
                f"What helps most against an attacker who does not know the defence is to "
                f"deactivate {number_of(row, 'units'):,} units, {_CHOICES.get(kind, kind)}: "
                f"{_sure(row, _TRANSFERRED)} are then classified correctly. When this defence "
                f"itself is attacked, {_sure(row, _ADAPTIVE)} are. As the best of "
                f"{len(every) - sum(not number_of(each, 'units') for each in every):,} it was "
                "chosen on the same images, which makes the first number too good."
            )


def _sure(row: Row, name: str) -> str:
    value, interval = number_of(row, name), _interval(row, name)
    said = "unknown" if value is None else percent(value)
    return said if interval is None else f"{said} ({interval})"


def _pictures(defences: _Defences) -> Iterator[Picture]:
    said = []
    for (goal, choice), rows in defences.items():
        last = rows[-1]
        values = [number_of(last, name) for name in (_CLEAN, _TRANSFERRED, _ADAPTIVE)]
        if None not in values:
            percents = ", ".join(percent(value) for value in values if value is not None)
            said.append(f"{choice}, {goal}, without {last.get('units')}: {percents}")
    yield Picture(
        "defence",
        "Accuracy by the number of deactivated units: without an attack, under the transferred, "
        "and under the adaptive attack, with 99% intervals.",
        "A panel for each kind of units and attack, with a curve for each of the three. At the "
        f"greatest number of units: {'; '.join(said)}.",
    )


def _tables(folder: ResultFolder) -> Iterator[PageTable]:
    measures = (_CLEAN, _TRANSFERRED, _ADAPTIVE, "success of transferred attack", _SUCCESS)
    changes = [f"change of {name} by the defence" for name in (_CLEAN, _TRANSFERRED, _ADAPTIVE)]
    ends = ("(low)", "(high)")

    def measured(name: str) -> Column:
        return Column(name, name, ends=(f"{name} {ends[0]}", f"{name} {ends[1]}"))

    first = (text("deactivated"), text("attack"), Column("units", "units"))
    yield from page_table(
        folder,
        _table(folder),
        "Accuracy and success of attacks by the number of deactivated units, with 99% intervals.",
        (
            *first,
            Column("of them damage the target", "units that damage the target"),
            *map(measured, measures),
            Column(_DISTANCE, _DISTANCE),
        ),
    )
    yield from page_table(
        folder,
        _table(folder),
        "What the defence changes, against the network with all units, with 99% intervals.",
        (*first, *map(measured, changes)),
    )
