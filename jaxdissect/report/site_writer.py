"""Write a site: a page that a browser opens from disk, with nothing to load from elsewhere."""

import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.resources import as_file, files
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jaxdissect.plots.palette import category_colors
from jaxdissect.report.compared_runs import comparison_data
from jaxdissect.report.data_files import write_data
from jaxdissect.report.page_section import (
    Cell,
    Estimate,
    PageFigure,
    PageSection,
    PageTable,
    UnitCell,
)
from jaxdissect.report.site_run import SiteRun
from jaxdissect.report.unit_details import details, strips
from jaxdissect.report.unit_tables import layer_summaries, unit_columns

INDEX, PAGE = "index.html", "page"
"""The page itself, and the folder of its scripts and data."""

_APP, _TEMPLATE = "site", "index.html.jinja"
_MOST_COMPARED = 6
"""Runs of which every two are compared."""

_WAY_TO_PHOTOS = (
    "These results were made without photographs: run the command again, with `--overwrite`, to "
    "see where units are active."
)


def write_site(
    folder: Path,
    runs: Sequence[SiteRun],
    *,
    title: str,
    lead: Sequence[str] = (),
    sections: Sequence[PageSection] = (),
) -> Path:
    """Write a site of dissections and of other results; what an older one left is removed.

    Args:
        folder: Where to write `index.html` and the folder `page`, made if need be. Pictures of
            sections and photographs that lie in it are shown from where they are, other pictures
            are copied.
        runs: The dissections.
        title: Heading of the site.
        lead: Paragraphs below it.
        sections: Other results, in order.

    Returns:
        The page to open.

    Raises:
        OSError: If files cannot be written, or pictures not be read.
    """
    from jinja2 import Environment, StrictUndefined

    shutil.rmtree(folder / PAGE, ignore_errors=True)
    _copy_app(folder / PAGE)
    data = folder / PAGE / "data"
    for run in runs:
        write_data(data / run.id / "units.js", "units", run.id, unit_columns(run))
        for index, name in enumerate(run.dissection.layers):
            place, key = data / run.id / str(index), f"{run.id}/{index}"
            write_data(place / "strips.js", "strips", key, strips(run, name))
            for block, units in enumerate(details(run, name)):
                write_data(place / f"{block}.js", "details", f"{key}/{block}", units)
    pairs = list(combinations(runs, 2)) if len(runs) <= _MOST_COMPARED else []
    for a, b in pairs:
        path = data / "comparisons" / f"{a.id}_{b.id}.js"
        write_data(path, "comparison", f"{a.id}/{b.id}", comparison_data(a, b))
    site = {
        "title": title,
        "version": version("jaxdissect"),
        "lead": list(lead),
        "runs": [_run_data(run) for run in runs],
        "sections": [
            _section_data(section, f"section-{number}", folder, runs)
            for number, section in enumerate(sections, 1)
        ],
        "categories": _categories(runs),
        "comparisons": [[a.id, b.id] for a, b in pairs],
    }
    write_data(data / "site.js", "site", "", site)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    template = environment.from_string(_app().joinpath(_TEMPLATE).read_text("utf-8"))
    page = template.render(title=title, version=site["version"])
    (folder / INDEX).write_text(page, encoding="utf-8")
    return folder / INDEX


def address(path: Path, folder: Path) -> str:
    """Write where a file or folder lies within the folder of a site, as pages name it."""
    return quote(path.relative_to(folder).as_posix())


def _app() -> Any:
    return files("jaxdissect.report").joinpath(_APP)


def _copy_app(folder: Path) -> None:
    folder.mkdir(parents=True)
    with as_file(_app()) as app:
        for file in sorted(app.iterdir()):
            if file.name != _TEMPLATE and file.is_file():
                shutil.copyfile(file, folder / file.name)


def _categories(runs: Sequence[SiteRun]) -> list[dict[str, str]]:
    names = dict.fromkeys(name for run in runs for name in run.dissection.vocabulary.category_names)
    return [{"name": name, "color": color} for name, color in category_colors(list(names)).items()]


def _run_data(run: SiteRun) -> dict[str, Any]:
    result = run.dissection
    label = next((effects.label for effects in run.effects.values() if effects.label), None)
    return {
        "id": run.id,
        "name": run.name,
        "kind": "dissection",
        "command": run.command,
        "facts": [list(fact) for fact in run.facts],
        "min_iou": next(iter(result.layers.values())).min_iou,
        # Runs in which these differ have numbers that cannot be compared.
        "preset": {name: result.settings.get(name) for name in ("fraction", "scope")},
        "vocabulary": {
            "names": list(result.vocabulary.names),
            "categories": list(result.vocabulary.categories),
        },
        "layers": layer_summaries(run),
        "photos": _photo_data(run),
        "photos_missing": _WAY_TO_PHOTOS if run.photos is None else None,
        "random_of": run.random_of,
        "random_weights": run.random_weights,
        "has_importance": bool(run.effects),
        "importance_label": label,
        "notes": list(run.notes),
    }


def _photo_data(run: SiteRun) -> dict[str, Any] | None:
    if run.examples is None or run.photos is None:
        return None
    height, width = run.examples.image_size
    return {
        "directory": run.photos,
        "count": len(run.examples.photos),
        "width": width,
        "height": height,
        "mask": list(run.examples.mask_size),
    }


def _section_data(
    section: PageSection, name: str, folder: Path, runs: Sequence[SiteRun]
) -> dict[str, Any]:
    home = next((run for run in runs if run.id == section.run), None)
    return {
        "id": name,
        "run": section.run,
        "title": section.title,
        "question": section.question,
        "facts": [list(fact) for fact in section.facts],
        "found": list(section.found),
        "content": list(_content_data(section, folder / PAGE / "sections" / name, folder, home)),
        "limits": list(section.limits),
        "command": section.command,
        "layer": section.layer,
    }


def _content_data(
    section: PageSection, copies: Path, folder: Path, home: SiteRun | None
) -> Iterator[dict[str, Any]]:
    for item in section.content:
        if isinstance(item, PageTable):
            yield {
                "kind": "table",
                "caption": item.caption,
                "header": list(item.header),
                "rows": [[_cell_data(cell, home) for cell in row] for row in item.rows],
                "note": item.note,
            }
        else:
            yield _figure_data(item, copies, folder)


def _figure_data(figure: PageFigure, copies: Path, folder: Path) -> dict[str, Any]:
    path = figure.file
    if not path.resolve().is_relative_to(folder.resolve()):
        copies.mkdir(parents=True, exist_ok=True)
        path = copies / figure.file.name
        shutil.copyfile(figure.file, path)
    width, height = _size(path)
    return {
        "kind": "figure",
        "caption": figure.caption,
        "alt": figure.alt,
        "file": address(path.resolve(), folder.resolve()),
        "width": width,
        "height": height,
    }


def _size(path: Path) -> tuple[int | None, int | None]:
    """Width and height of a picture in pixels, so that the page leaves room for it."""
    if path.suffix.lower() != ".png":
        return None, None
    from PIL import Image

    with Image.open(path) as picture:
        return picture.size


def _cell_data(cell: Cell, home: SiteRun | None) -> Any:
    """Return a cell as JSON values; a unit leads to its page if the site has one."""
    if isinstance(cell, Estimate):
        return cell._asdict()
    if isinstance(cell, UnitCell):
        layer = None if home is None else home.dissection.layers.get(cell.layer)
        known = layer is not None and 0 <= cell.unit < layer.num_units
        return {**cell._asdict(), "run": home.id if home is not None and known else None}
    return cell
