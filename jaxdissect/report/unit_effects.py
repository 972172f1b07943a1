"""What the removal of single units does: to the classes of a classifier, to generated images."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxdissect.report.page_section import Estimate


class ClassChange(NamedTuple):
    """What becomes of a class without a unit.

    Attributes:
        name: The class.
        change: Change of its score, negative where the class is worse off without the unit.
    """

    name: str
    change: Estimate


class UnitEffect(NamedTuple):
    """What the removal of one unit does.

    Attributes:
        importance: What the class that needs the unit most loses without it; None if no class
            needs it.
        needed_by: This class.
        classes: Changes of classes, the greatest loss first.
        facts: Other findings, as (label, value).
    """

    importance: float | None = None
    needed_by: str | None = None
    classes: Sequence[ClassChange] = ()
    facts: Sequence[tuple[str, str]] = ()


class LayerEffects(NamedTuple):
    """What the removal of single units of a layer does.

    Attributes:
        units: By unit; units may be missing.
        label: What `importance` measures, the heading of a column; None without classes.
        class_caption: What the changes of classes are.
        facts_caption: What the other findings are of.
    """

    units: dict[int, UnitEffect]
    label: str | None
    class_caption: str
    facts_caption: str
