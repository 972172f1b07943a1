"""The section of `jaxdissect attack`: what adversarial images do to units."""

from collections.abc import Iterator, Sequence

from jaxdissect.report.page_section import KeyFigure, PageSection, PageTable
from jaxdissect.report.sections.columns import Column, number_of, page_table, text, unit
from jaxdissect.report.sections.pictures import Picture, figures_there
from jaxdissect.report.sections.result_folder import ResultFolder, Row
from jaxdissect.report.sections.wording import change, count, decimal, images, percent

_TEXTS = frozenset(("important to",))
_MEAN, _BY_IMAGE = "mean change of peaks", "99% ±, by image"
_BY_PAIR = "99% ±, pairs as independent"
_CHANGE, _RISE = "mean change of peak", "mean rise of peak"

ATTACKS = {
    "carlini-wagner": "Carlini and Wagner's L2 attack, which looks for the nearest image that is "
    "classified so",
    "pgd-l2": "projected gradients of the margin of scores within an L2 distance",
    "pgd-linf": "projected gradients of the margin of scores within a greatest change of any pixel",
}
"""What the attacks of the commands are, by their option."""

_GROUPS = {
    "target": "units important to the target",
    "source": "units important to the class of the image",
    "other": "all other units",
}


def attacked_unit_sections(folder: ResultFolder) -> list[PageSection]:
    """Say what an attack changes in the units of a layer.

    Args:
        folder: What `jaxdissect attack` has written.
    """
    layer, target = folder.text("layer"), folder.text("target", default="another class")
    groups = list(folder.rows("groups", texts=_TEXTS, needs=("important to",)))
    kind = ATTACKS.get(str(folder.option("attack")), "an attack")
    section = PageSection(
        title=f"What an attack does to units of {layer}",
        question=(
            f"Which units change when images are changed just enough to be classified as {target}? "
            f"{images(folder.number('attacked images')).capitalize()} are attacked by {kind}. "
            f"Units of `{layer}` are ranked by what their removal costs each class on other "
            "images; then it is measured how far the peaks of units change."
        ),
        facts=list(_facts(folder, groups, target)),
        found=list(_findings(folder, groups, target)),
        content=[
            *figures_there(folder, _pictures(folder, groups, target)),
            *_tables(folder, layer),
        ],
        limits=[
            "All of this is about the images whose attack succeeded, one network, and one attack: "
            "another may reach the same class through other units.",
            "Of the two intervals the one by image is to be judged by: changes of several units in "
            "one image are not independent, though the paper takes them so.",
            "That units important to a class change most is what one expects of any change that "
            "alters the decision: it does not show that attacks could be found by them.",
        ],
        layer=layer,
    )
    return [section]


def attack_facts(folder: ResultFolder, target: str) -> Iterator[KeyFigure]:
    """Return the numbers that sum up how an attack on the undefended network went.

    Args:
        folder: What `jaxdissect attack` or `jaxdissect defend` has written.
        target: Name of the class that images should be classified as.
    """
    success, number = folder.number("success"), folder.number("attacked images")
    if success is not None:
        note = None if number is None else f"of {images(number)}"
        yield KeyFigure(f"are misclassified as {target}", percent(success), note)
    distance = folder.number("median L2 distance")
    if distance is not None:
        yield KeyFigure("median L2 distance of those", decimal(distance, digits=2))


def _facts(folder: ResultFolder, groups: Sequence[Row], target: str) -> Iterator[KeyFigure]:
    yield from attack_facts(folder, target)
    for row in groups:
        mean, half = number_of(row, _MEAN), number_of(row, _BY_IMAGE)
        if mean is not None:
            name = _GROUPS.get(str(row.get("important to")), str(row.get("important to")))
            note = None if half is None else f"± {decimal(half, digits=2)}, 99% by image"
            label = f"mean change of the peaks of {name}"
            yield KeyFigure(label, decimal(mean, digits=2), note)


def _findings(folder: ResultFolder, groups: Sequence[Row], target: str) -> Iterator[str]:
    important, damaging, num_units = (
        folder.number(name)
        for name in ("units important to the target", "units that damage the target", "units")
    )
    if important is not None and damaging is not None and num_units is not None:
        verb = "is" if important == 1 else "are"
        yield (
            f"{count(important, 'unit')} of {num_units:,} {verb} important to {target}; the "
            f"removal of {damaging:,} damages it at all."
        )
    means = {str(row.get("important to")): row for row in groups}
    other = means.get("other")
    base = None if other is None else number_of(other, _MEAN)
    for name in ("target", "source"):
        mean = None if name not in means else number_of(means[name], _MEAN)
        if mean is not None and base:
            half, other_half = (number_of(means[group], _BY_IMAGE) for group in (name, "other"))
            apart = (
                half is not None and other_half is not None and abs(mean - base) > half + other_half
            )
            sure = "; the 99% intervals do not overlap" if apart else "; the 99% intervals overlap"
            if half is None or other_half is None:
                sure = "; how sure this is, so few images do not tell"
            yield (
                f"Peaks of {_GROUPS[name]} change {mean / base:.1f} times as much as those "
                f"of all other units{sure}."
            )
    for row in list(folder.rows("units", needs=("unit",)))[:1]:
        moved, rise, before = (
            number_of(row, name) for name in (_CHANGE, _RISE, "mean peak before")
        )
        if moved is not None and rise is not None and before is not None:
            yield (
                f"Unit {row.get('unit')} changes most: its peaks, {decimal(before, digits=2)} on "
                f"average before, change by {decimal(moved, digits=2)}, on average "
                f"{'upwards' if rise > 0 else 'downwards'} ({change(rise, digits=2)})."
            )


def _pictures(folder: ResultFolder, groups: Sequence[Row], target: str) -> Iterator[Picture]:
    said = []
    for row in groups:
        mean, half = number_of(row, _MEAN), number_of(row, _BY_IMAGE)
        if mean is not None:
            sure = "" if half is None else f" ± {decimal(half, digits=2)}"
            name = _GROUPS.get(str(row.get("important to")), str(row.get("important to")))
            said.append(f"{name} {decimal(mean, digits=2)}{sure}")
    yield Picture(
        "groups",
        "Mean change of the peaks of units by what they are important to, with 99% intervals by "
        "image.",
        f"Bars with error bars: {'; '.join(said)}.",
    )
    most = [
        f"{row.get('unit')}: {decimal(moved, digits=2)}"
        for row in list(folder.rows("units", needs=("unit",)))[:8]
        if (moved := number_of(row, _CHANGE)) is not None
    ]
    yield Picture(
        "units",
        "The units that the attack changes most, with 99% intervals.",
        f"Bars of the mean change of the peak by unit: {'; '.join(most)}; and others.",
    )
    factor = folder.number("command", "amplify")
    times = "amplified" if factor is None else f"amplified {factor:g} times"
    yield Picture(
        "examples",
        f"Attacked images, what was added ({times}), and where the unit that changes most in each "
        "becomes more or less active.",
        f"Rows of images: before and after the attack towards {target} they look alike; the "
        "difference is a faint pattern; colored regions show where the unit changes.",
    )


def _tables(folder: ResultFolder, layer: str) -> Iterator[PageTable]:
    yield from page_table(
        folder,
        "groups",
        "How far the peaks of groups of units change, with 99% intervals.",
        (
            text("important to"),
            Column("pairs of an image and a unit", "pairs"),
            Column("mean change of peaks, by image", _MEAN, half_width=_BY_IMAGE),
            Column("± if pairs were independent", _BY_PAIR),
        ),
    )
    yield from page_table(
        folder,
        "units",
        "The units, those first whose peaks change most.",
        (
            unit(),
            *(Column(name, name) for name in (_CHANGE, _RISE, "mean peak before")),
            *(Column(name, name) for name in ("rank for the target", "important to the target")),
            Column("damage to the target", "damage to the target"),
        ),
        layer=layer,
    )
    yield from page_table(
        folder,
        "images",
        "The attacked images.",
        (
            Column("example", "example"),
            *(text(name) for name in ("class", "classified as", "target")),
            Column("success", "success"),
            Column("L2 distance", "L2 distance"),
            Column("iterations", "iterations"),
        ),
    )
