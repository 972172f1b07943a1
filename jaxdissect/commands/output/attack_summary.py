"""What `jaxdissect attack` and `jaxdissect defend` both report of an attack."""

from collections.abc import Sequence
from typing import Any

from jaxdissect.attacks import AttackStudy


def attack_line(study: AttackStudy, names: Sequence[str]) -> str:
    """Sum up in one line how an attack went; `names` are those of all classes."""
    success, median = study.attacked.success, study.median_distance
    return (
        f"{int(success.sum())} of {len(success)} images are misclassified as "
        f"{names[study.target]}; median L2 distance "
        f"{'none' if median is None else f'{median:.3f}'}."
    )


def important_line(study: AttackStudy, names: Sequence[str]) -> str:
    """Say in one line which units are important to the target, and how many damage it at all."""
    target = study.target
    important = study.ranking[study.important[study.ranking, target]].tolist()
    units = f"units {', '.join(map(str, important))}" if important else "none"
    damaging = int((study.damage[:, target] > 0).sum())
    without = int((~study.important[:, study.sources].any(axis=0)).sum())
    images = f" No unit is important to the source of {without} images." if without else ""
    return (
        f"Important to {names[target]}: {units}; the removal of {damaging} of the "
        f"{len(study.damage)} units of {study.layer} damages it.{images}"
    )


def attack_facts(study: AttackStudy, names: Sequence[str]) -> dict[str, Any]:
    """Return figures of an attack over all images as JSON values."""
    found = study.attacked
    return {
        "layer": study.layer,
        "units": study.damage.shape[0],
        "classes": study.damage.shape[1],
        "target": names[study.target],
        "units important to the target": int(study.important[:, study.target].sum()),
        "units that damage the target": int((study.damage[:, study.target] > 0).sum()),
        "attacked images": len(found.success),
        "success": float(found.success.mean()),
        "median L2 distance": study.median_distance,
        "gradient steps": int(found.iterations.sum()),
    }
