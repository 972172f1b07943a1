"""Run a comparison, and tell it in tables: times with ratios, and what is not the same."""

from typing import Any

from jaxdissect.bench.others.libraries import version_of
from jaxdissect.bench.others.match import Absent, Contender, Match
from jaxdissect.bench.others.turns import Ratio, Times, ratio, take_turns
from jaxdissect.bench.study import Cell, Found, ResultTable


def played(match: Match, *, turns: int, seconds: float) -> Found:
    """Let the contenders of a comparison take turns, and check their answers.

    Args:
        match: The comparison.
        turns: How many turns at most.
        seconds: After which no turn begins, but for the first three.

    Returns:
        Tables of times and of terms; gates of the answers; every repeat.

    Raises:
        RuntimeError: If the first contender, which the others are compared with, cannot run.
    """
    contenders = [each for each in match.contenders if isinstance(each, Contender)]
    times, problems = take_turns(contenders, turns=turns, seconds=seconds)
    ours = contenders[0].name
    if ours in problems:
        raise RuntimeError(f"{match.title}: {ours} could not run: {problems[ours]}")
    ratios = {
        name: ratio(times[ours].seconds, found.seconds)
        for name, found in times.items()
        if name != ours
    }
    gates = match.check({name: found.answer for name, found in times.items()})
    return Found(
        tables=(_times_table(match, times, ratios, problems), _terms_table(match)),
        gates=gates,
        data=_data(match, times, ratios, problems),
    )


def _times_table(
    match: Match, times: dict[str, Times], ratios: dict[str, Ratio], problems: dict[str, str]
) -> ResultTable:
    ours = next(iter(times))
    has_steps = any(found.steps is not None for found in times.values())
    columns = (
        *("contender", "version", f"ms per {match.unit}", "lowest", "highest"),
        *(f"times as long as {ours}", "interval from", "to"),
        *(("steps", "ms per step") if has_steps else ()),
        *("part that was run", "remark"),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in match.contenders:
        version = version_of(each.library)
        steps_unknown: tuple[Cell, ...] = (None, None) if has_steps else ()
        if isinstance(each, Absent):
            none = (None,) * 6
            rows.append((each.name, version or "none", *none, *steps_unknown, None, each.reason))
        elif each.name in problems:
            remark = f"could not run: {problems[each.name]}"
            rows.append((each.name, version, *(None,) * 6, *steps_unknown, each.share, remark))
        else:
            found = times[each.name]
            scale = 1e3 / match.units
            values = (scale * found.median, scale * min(found.seconds), scale * max(found.seconds))
            compared = ratios.get(each.name)
            against = (
                (1.0, None, None)
                if compared is None
                else (compared.value, compared.low, compared.high)
            )
            steps: tuple[Cell, ...] = ()
            if has_steps:
                number = found.steps
                steps = (number, 1e3 * found.median / number) if number else (None, None)
            remark = each.terms.differs
            rows.append((each.name, version, *values, *against, *steps, each.share, remark))
    note = " ".join(filter(None, (match.note, _how(times, ratios))))
    return ResultTable(title=match.title, columns=columns, rows=tuple(rows), note=note)


def _how(times: dict[str, Times], ratios: dict[str, Ratio]) -> str:
    turns = max(len(found.seconds) for found in times.values())
    text = f"Medians of {turns} turns in one process, every second turn in reverse order."
    if ratios:
        chance = min(found.chance for found in ratios.values())
        text += f" An interval holds the true ratio with a chance of {chance:.0%}, if turns do not"
        text += " depend on each other."
    return text


def _terms_table(match: Match) -> ResultTable:
    rows = [
        (each.name, terms.device, terms.threads, terms.precision, terms.layout, terms.exactness)
        for each in match.contenders
        if isinstance(each, Contender)
        for terms in (each.terms,)
    ]
    return ResultTable(
        title=f"What is and is not the same: {match.title}",
        columns=("contender", "device", "threads", "precision", "layout", "answer"),
        rows=tuple(rows),
    )


def _data(
    match: Match, times: dict[str, Times], ratios: dict[str, Ratio], problems: dict[str, str]
) -> dict[str, Any]:
    found = {}
    for each in match.contenders:
        entry: dict[str, Any] = {"library": each.library, "version": version_of(each.library)}
        if isinstance(each, Absent):
            entry["absent"] = each.reason
        elif each.name in problems:
            entry["problem"] = problems[each.name]
        else:
            mine = times[each.name]
            entry |= {
                "first": mine.first,
                "seconds": list(mine.seconds),
                "cpu_seconds": list(mine.cpu_seconds),
                "calls": mine.calls,
                "share": each.share,
                "steps": mine.steps,
                "terms": vars(each.terms),
            }
            if each.name in ratios:
                entry["ratio"] = vars(ratios[each.name])
        found[each.name] = entry
    return {"unit": match.unit, "units": match.units, "contenders": found}
