"""Make a site of folders of results, those of older versions included."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdissect.arrays.names import listed, printable
from jaxdissect.dissection.layer_examples import (
    ARRAYS,
    PHOTOS,
    LayerExamples,
    UnitExamples,
    load_unit_examples,
)
from jaxdissect.dissection.result import Dissection, LayerDissection, load_dissection
from jaxdissect.report.command_line import command_line
from jaxdissect.report.page_section import PageSection
from jaxdissect.report.removal_results import removal_effects
from jaxdissect.report.run_facts import run_facts
from jaxdissect.report.sections.result_sections import SECTION_FILES, has_sections, sections_of
from jaxdissect.report.site_run import SiteRun
from jaxdissect.report.site_writer import address, write_site

_DISSECTION, _RUN_FILE = "dissection.json", "run.json"


class _Found(NamedTuple):
    """A folder of results, and what it is called."""

    path: Path
    name: str


def build_report(
    out: Path,
    folders: Sequence[Path],
    *,
    title: str | None = None,
    names: Sequence[str] | None = None,
    lead: Sequence[str] = (),
    sections: Sequence[PageSection] = (),
) -> Path:
    """Write the site of one or several folders of results.

    Removals of single units are shown with the units of a dissection of the same network and layer;
    a dissection of the same network with random weights is shown beside that of the trained one.

    Args:
        out: Where the site is written, made if need be; it may be one of the folders. Photographs
            and pictures that lie in it are shown from there, others are copied.
        folders: Folders that commands have written, or folders of such folders.
        title: Heading of the site; what the results are, when None.
        names: What the folders are called, instead of their own names.
        lead: Paragraphs below the title.
        sections: Parts that come before those of the folders.

    Returns:
        The page to open.

    Raises:
        FileNotFoundError: If a folder is not there.
        ValueError: If a folder holds no results, or a file cannot be read as what it should be.
        OSError: If files cannot be read or written.
    """
    found = [
        result
        for folder, name in zip(
            folders, names or [folder.resolve().name for folder in folders], strict=True
        )
        for result in _results_in(Path(folder), name)
    ]
    out.mkdir(parents=True, exist_ok=True)
    runs = _runs(out, [result for result in found if (result.path / _DISSECTION).is_file()])
    parts = list(sections)
    for path, _ in found:
        read = sections_of(path)
        settings = _settings(path) if read else {}
        for section in read:
            home = _home(settings, runs, section.layer)
            parts.append(section._replace(run=None if home is None else home.id))
        runs = _with_effects(path, runs)
    title = title or _title(found, runs, parts)
    return write_site(out, runs, title=title, lead=lead, sections=parts)


def _title(
    found: Sequence[_Found], runs: Sequence[SiteRun], sections: Sequence[PageSection]
) -> str:
    if len(runs) == 1:
        model = _command(runs[0].dissection.settings).get("model")
        of = f" of {Path(model).name}" if isinstance(model, str) else ""
        return f"What the units{of} detect"
    if len(sections) == 1 and not runs:
        return sections[0].title
    return listed(list(dict.fromkeys(result.name for result in found)), most=3)


def _results_in(folder: Path, name: str) -> Iterator[_Found]:
    """Find results in a folder, and in the folders in it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"`folders`: {folder} is no folder")
    # Hidden folders are those that are being filled.
    inner = sorted(path for path in folder.glob("[!.]*") if path.is_dir())
    found = [_Found(path, path.name) for path in inner if _has_results(path)]
    if _has_results(folder):
        found.insert(0, _Found(folder, name))
    if not found:
        raise ValueError(
            f"`folders`: {folder} holds no results of jaxdissect, nor do the folders in it; give "
            "the folders that commands wrote with --out, not a page made of them"
        )
    yield from found


def _has_results(folder: Path) -> bool:
    return (folder / _DISSECTION).is_file() or has_sections(folder)


def _runs(out: Path, found: Sequence[_Found]) -> list[SiteRun]:
    """Read dissections, and find which are of one network with its own and with random weights."""
    runs: list[SiteRun] = []
    names: list[str] = []
    for path, name in found:
        names.append(_unused(name, names))
        runs.append(_run(out, path, names[-1], [run.id for run in runs]))
    return [run._replace(random_of=_trained(run, runs)) for run in runs]


def _run(out: Path, path: Path, name: str, taken: Sequence[str]) -> SiteRun:
    result = load_dissection(path)
    identity = _unused(re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "run", taken)
    examples = load_unit_examples(path) if (path / ARRAYS).is_file() else None
    notes = []
    if examples is not None and not _are_of(examples, result):
        examples = None
        notes.append("The photographs in its folder are of another dissection, and left out.")
    seed = _command(result.settings).get("random_weights")
    return SiteRun(
        id=identity,
        name=name,
        dissection=result,
        examples=examples,
        photos=None if examples is None else _photos(out, path, identity),
        command=_command_of(result),
        facts=run_facts(result, _read_json(path / _RUN_FILE)),
        random_weights=seed if isinstance(seed, int) else None,
        notes=notes,
    )


def _are_of(examples: UnitExamples, result: Dissection) -> bool:
    """Check that examples of units are of a dissection, and not of one that lay there before."""
    if result.provenance is not None and examples.network != result.provenance.network:
        return False
    return all(
        name in result.layers and _is_of(found, result[name])
        for name, found in examples.layers.items()
    )


def _is_of(found: LayerExamples, layer: LayerDissection) -> bool:
    units, number = found.units, found.examples.shape[1]
    return bool(
        units.max(initial=0) < layer.num_units
        and np.array_equal(found.examples, layer.top_examples[units, :number])
        and np.array_equal(found.concepts, layer.best_concept[units])
        and (found.edges == layer.thresholds[units, None]).any(axis=1).all()
    )


def _unused(name: str, taken: Sequence[str]) -> str:
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(text for text in (name, *numbered) if text not in taken)


def _photos(out: Path, path: Path, identity: str) -> str:
    """Find where in the site the photographs of a run are, and copy them there if need be."""
    place = (path / PHOTOS).resolve()
    if not place.is_relative_to(out.resolve()):
        copies = out.resolve() / PHOTOS / identity
        shutil.rmtree(copies, ignore_errors=True)
        place = Path(shutil.copytree(place, copies))
    return address(place, out.resolve())


def _trained(run: SiteRun, runs: Sequence[SiteRun]) -> str | None:
    """Find the run of the network with its own weights, for one with random weights."""
    if run.random_weights is None:
        return None
    own = run.dissection
    model = _command(own.settings).get("model")
    trained = [
        other
        for other in runs
        if other.random_weights is None
        and set(other.dissection.layers) & set(own.layers)
        and _command(other.dissection.settings).get("model") == model
    ]

    def differences(other: SiteRun) -> int:
        settings = other.dissection.settings
        differ = sum(settings.get(name) != own.settings.get(name) for name in _OF_THE_NUMBERS)
        return differ + (other.dissection.vocabulary != own.vocabulary)

    return min(trained, key=differences).id if trained else None


_OF_THE_NUMBERS = ("preset", "fraction", "scope", "grid", "examples")
"""Settings by which the same network has other numbers."""


def _command(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a command, as its results keep them."""
    found = settings.get("command")
    return found if isinstance(found, Mapping) else {}


def _command_of(result: Dissection) -> str | None:
    """Write the command that made a dissection, as well as it is known."""
    if isinstance(line := result.settings.get("command_line"), str):
        return line
    options = _command(result.settings)
    if "layers" not in options:  # made by the demonstration, or in Python
        return None
    return command_line(
        "generate dissect" if "generator" in result.settings else "dissect", options
    )


def _settings(path: Path) -> Mapping[str, Any]:
    """Read the settings that a folder of other results keeps."""
    return next((_read_json(path / mark) for mark in SECTION_FILES if (path / mark).is_file()), {})


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # what stands there is wanted, but not needed
        return {}
    return found if isinstance(found, Mapping) else {}


def _home(
    settings: Mapping[str, Any], runs: Sequence[SiteRun], layer: str | None
) -> SiteRun | None:
    """Find the dissection of the network that other results are of, of their layer if there is."""
    same = [run for run in runs if _is_same_network(settings, run)]
    with_layer = (run for run in same if layer in run.dissection.layers)
    return next(with_layer, same[0] if same else None)


def _is_same_network(settings: Mapping[str, Any], run: SiteRun) -> bool:
    """Compare networks by the digest of their parameters, or else by the options that name them."""
    known = run.dissection.provenance
    if isinstance(digest := settings.get("network"), str) and known is not None:
        return digest == known.network
    options, own = _command(settings), _command(run.dissection.settings)
    named = "model" in options and "model" in own
    return named and all(options.get(name) == own.get(name) for name in _OF_THE_NETWORK)


_OF_THE_NETWORK = ("model", "weights", "random_weights", "dtype")
"""Options that name a network."""


def _with_effects(path: Path, runs: Sequence[SiteRun]) -> list[SiteRun]:
    """Add what single removals do to the units of the run that they are of."""
    found = removal_effects(path)
    if found is None or not runs:
        return list(runs)
    folder, layer, effects = found
    home = _home(folder.settings, runs, layer)
    if home is not None and layer not in home.dissection.layers:
        return list(runs)  # the section shows them
    if home is None or max(effects.units) >= home.dissection[layer].num_units:
        note = (
            f"What the removal of units of `{printable(layer)}` does, in `{printable(path.name)}`, "
            "was measured in another network, or with other weights: it is shown apart."
        )
        return [
            run._replace(notes=[*run.notes, note]) if layer in run.dissection.layers else run
            for run in runs
        ]
    if layer in home.effects:
        note = f"Removals of units of `{printable(layer)}` are those of the first folder given."
        return [run._replace(notes=[*run.notes, note]) if run is home else run for run in runs]
    return [
        run._replace(effects={**run.effects, layer: effects}) if run is home else run
        for run in runs
    ]
