"""Read experiments from their configuration files, YAML, and refuse what they cannot mean.

A file holds the fields of `Experiment`. Figures are a list of single ones (`figures`) and of tables
of like ones (`tables`): a table has `columns`, `rows` of numbers by name, and a `quantity` and a
`text` with "{row}" and "{column}" in them; an empty cell (~) is no figure.
"""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.reproduction.data_sets import DATA_SETS
from jaxdissect.reproduction.experiment import Experiment, PublishedFigure
from jaxdissect.reproduction.procedures.catalog import PROCEDURES
from jaxdissect.reproduction.procedures.procedure import is_measured
from jaxdissect.reproduction.settings import read_settings

_FIELDS = ("title", "about", "procedure", "networks", "data", "settings", "reduced")
_OPTIONAL = {"differences": (), "figures": (), "tables": ()}
_OF_FIGURE = ("quantity", "text", "value", "unit", "known", "source", "tolerance", "reason")
_OF_TABLE = tuple(name for name in _OF_FIGURE if name != "value") + ("columns", "rows")

PAPERS = ("pnas2020",)
"""Papers whose experiments there are, by the names of their folders."""


def read_experiments(paper: str) -> dict[str, Experiment]:
    """Read all experiments of a paper.

    Args:
        paper: One of `PAPERS`.

    Returns:
        The experiments by name, in the order of the paper's list.

    Raises:
        ValueError: If there is no such paper, or a file is not as it should be.
    """
    if paper not in PAPERS:
        raise ValueError(f"`paper` (={paper!r}) must be one of: {', '.join(PAPERS)}")
    folder = files("jaxdissect.reproduction") / "experiments" / paper
    order = _loaded((folder / "order.yaml").read_text(encoding="utf-8"))
    return {
        name: experiment_of(name, (folder / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in order
    }


def read_experiment(path: Path) -> Experiment:
    """Read the experiment of a configuration file.

    Args:
        path: The file, named like the experiment.

    Raises:
        ValueError: If it is no YAML, or lacks or has fields that it must (not) have; the message
            says which.
        OSError: If the file cannot be opened.
    """
    return experiment_of(path.stem, path.read_text(encoding="utf-8"))


def experiment_of(name: str, text: str) -> Experiment:
    """Make an experiment of the text of its configuration file; for errors see `read_experiment`.

    Args:
        name: Its name.
        text: YAML.
    """
    where = f"experiment {name!r}"
    try:
        found = _loaded(text)
    except yaml.YAMLError as problem:
        raise ValueError(f"{where} is no YAML: {' '.join(str(problem).split())}") from None
    _check_fields(where, found, _FIELDS, optional=tuple(_OPTIONAL))
    found = {**_OPTIONAL, **found}
    _check_known(where, "procedure", (found["procedure"],), PROCEDURES)
    _check_known(where, "networks", found["networks"], PUBLISHED)
    _check_known(where, "data", found["data"], DATA_SETS)
    figures = [_figure(where, entry) for entry in found["figures"]]
    figures += [figure for table in found["tables"] for figure in _figures_of(where, table)]
    quantities = [figure.quantity for figure in figures]
    twice = sorted({quantity for quantity in quantities if quantities.count(quantity) > 1})
    if twice:
        raise ValueError(f"{where}: figures are given twice: {', '.join(twice)}")
    experiment = Experiment(
        name=name,
        title=found["title"],
        about=" ".join(found["about"].split()),
        procedure=found["procedure"],
        networks=tuple(found["networks"]),
        data=tuple(found["data"]),
        settings=found["settings"] or {},
        reduced=found["reduced"] or {},
        differences=tuple(" ".join(text.split()) for text in found["differences"]),
        figures=tuple(figures),
    )
    procedure = PROCEDURES[experiment.procedure]
    try:
        settings, _ = (
            read_settings(procedure.settings, experiment.settings_of(is_reduced=is_reduced))
            for is_reduced in (False, True)
        )
    except ValueError as problem:
        raise ValueError(f"{where}: {problem}") from None
    names = procedure.quantities(settings)
    wrong = [quantity for quantity in quantities if not is_measured(quantity, names)]
    if wrong:
        raise ValueError(
            f"{where}: nothing measures {', '.join(map(repr, wrong))}; {experiment.procedure} "
            f"measures: {', '.join(names)}"
        )
    return experiment


def _loaded(text: str) -> Any:
    """Read YAML; ten times as fast where PyYAML was built with libyaml."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _figure(where: str, entry: Mapping[str, Any]) -> PublishedFigure:
    _check_fields(f"a figure of {where}", entry, _OF_FIGURE)
    return PublishedFigure(
        **{
            **{name: " ".join(str(entry[name]).split()) for name in _OF_FIGURE},
            "value": float(entry["value"]),
            "tolerance": float(entry["tolerance"]),
        }
    )


def _figures_of(where: str, table: Mapping[str, Any]) -> Iterator[PublishedFigure]:
    """Make the single figures of a table."""
    _check_fields(f"a table of {where}", table, _OF_TABLE)
    shared = {name: table[name] for name in _OF_FIGURE if name in table}
    for row, numbers in table["rows"].items():
        if len(numbers) != len(table["columns"]):
            raise ValueError(
                f"row {row!r} of a table of {where} has {len(numbers)} numbers for "
                f"{len(table['columns'])} columns"
            )
        for column, value in zip(table["columns"], numbers, strict=True):
            if value is None:
                continue
            names = {"row": row, "column": column}
            texts = {name: str(table[name]).format(**names) for name in ("quantity", "text")}
            yield _figure(where, {**shared, **texts, "value": value})


def _check_fields(
    where: str, found: Any, wanted: tuple[str, ...], *, optional: tuple[str, ...] = ()
) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"{where} must have fields, and is {type(found).__name__}")
    missing = [name for name in wanted if name not in found]
    unknown = [str(name) for name in found if name not in (*wanted, *optional)]
    if missing or unknown:
        faults = [f"lacks {', '.join(missing)}"] * bool(missing)
        faults += [f"has unknown fields {', '.join(unknown)}"] * bool(unknown)
        possible = ", ".join((*wanted, *optional))
        raise ValueError(f"{where} {' and '.join(faults)}; its fields are: {possible}")


def _check_known(where: str, field: str, names: Any, known: Mapping[str, Any]) -> None:
    unknown = [str(name) for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"`{field}` of {where}: {', '.join(unknown)} must be of: {', '.join(known)}"
        )
