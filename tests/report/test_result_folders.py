"""Sites of folders of results: what is found in them, joined and copied, and what is refused."""

import csv
import json
import shlex
from dataclasses import replace

import pytest
from support import dissected
from support.site_data import read_details, read_site, read_units

from jaxdissect.commands.main import _parse
from jaxdissect.commands.output.folder import SETTINGS_FILES
from jaxdissect.commands.output.settings import provenance
from jaxdissect.dissection.example_search import unit_examples
from jaxdissect.engine.labelers import annotated
from jaxdissect.report.command_line import command_line
from jaxdissect.report.result_folders import build_report
from jaxdissect.report.run_facts import run_facts
from jaxdissect.report.sections.result_sections import SECTION_FILES

COMMAND = {"model": "tiny", "weights": None, "random_weights": None, "layers": ["early", "late"]}


OTHER_PRESET = replace(dissected.PRESET, fraction=0.05)


def write_dissection(
    folder,
    *,
    scale=1.0,
    photos=False,
    only=(),
    seed=0,
    number=6,
    preset=dissected.PRESET,
    **command,
):
    result = dissected.dissected(scale=scale, seed=seed, number=number, preset=preset)
    result = result.only(*only) if only else result
    result = replace(result, settings={**result.settings, "command": COMMAND | command})
    result.save(folder)
    if photos:
        labeler = annotated(dissected.CONCEPTS)
        network = dissected.network(scale)
        unit_examples(result, network, dissected.source(), labeler).save(folder)
    return result


LOST = {(0, "a"): (0.5, 0.2), (0, "b"): (0.1, 0.4), (1, "a"): (-0.1, 0.3), (1, "b"): (0.0, -0.2)}
"""What classes lose without units: on the images that rank them, and on the others."""


def write_ablation(folder, *, layer="late", **settings):
    folder.mkdir()
    ends = ("", "_low", "_high")
    columns = [f"balanced_accuracy_lost{end}" for end in ends]
    with open(folder / "units.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["unit", "class", "balanced_accuracy_lost_when_ranked", *columns])
        for (unit, name), (ranked, lost) in LOST.items():
            writer.writerow([unit, name, ranked, lost, lost - 0.25, lost + 0.5])
    found = {"layer": layer, "images": {"measured": 40}, "command": COMMAND} | settings
    (folder / "ablation.json").write_text(json.dumps(found))


def test_a_command_s_own_folder_holds_all(tmp_path):
    write_dissection(tmp_path / "run", photos=True)
    page = build_report(tmp_path / "run", [tmp_path / "run"])
    assert page == tmp_path / "run" / "index.html" and page.is_file()
    site = read_site(tmp_path / "run")
    (run,) = site["runs"]
    assert site["title"] == "What the units of tiny detect" and run["name"] == "run"
    assert run["photos"]["directory"] == "photos"
    assert run["command"] == "jaxdissect dissect --model tiny --layers early late"
    assert dict(run["facts"])["Layers"] == "2, with 6 units in all"


def test_photographs_of_other_folders_are_copied(tmp_path):
    write_dissection(tmp_path / "A b", photos=True)
    write_dissection(tmp_path / "a-B", scale=2.0, photos=True)
    out = tmp_path / "out"
    build_report(out, [tmp_path / "A b", tmp_path / "a-B"], title="Two")
    site = read_site(out)
    assert [run["id"] for run in site["runs"]] == ["a-b", "a-b-2"]
    for run, name in zip(site["runs"], ("A b", "a-B"), strict=True):
        copies = {
            path.name: path.read_bytes() for path in (out / run["photos"]["directory"]).iterdir()
        }
        own = (tmp_path / name / "photos").iterdir()
        assert copies == {path.name: path.read_bytes() for path in own}
    assert site["comparisons"] == [["a-b", "a-b-2"]]


def test_results_are_found_in_folders_in_a_folder(tmp_path):
    write_dissection(tmp_path / "all" / "one #1", photos=True)
    write_ablation(tmp_path / "all" / "two")
    (tmp_path / "all" / ".hidden").mkdir()
    build_report(tmp_path / "all", [tmp_path / "all"])
    site = read_site(tmp_path / "all")
    assert site["runs"][0]["photos"]["directory"] == "one%20%231/photos"
    assert len(site["sections"]) == 1 and site["sections"][0]["run"] == site["runs"][0]["id"]


@pytest.mark.parametrize("version", [1, 2])
def test_results_of_older_versions_have_a_page(tmp_path, version):
    write_dissection(tmp_path / "old")
    path = tmp_path / "old" / "dissection.json"
    description = json.loads(path.read_text())
    del description["sha256"], description["arrays"], description["settings"]["command"]
    if version == 1:
        del description["provenance"], description["on_grid"]
    path.write_text(json.dumps({**description, "format": version}))
    build_report(tmp_path / "out", [tmp_path / "old"])
    (run,) = read_site(tmp_path / "out")["runs"]
    assert run["command"] is None and run["photos"] is None and run["photos_missing"]
    assert len(read_units(tmp_path / "out", "old")["unit"]) == 6


def test_removals_stand_with_the_units(tmp_path):
    result = write_dissection(tmp_path / "run")
    assert result.provenance is not None
    write_ablation(tmp_path / "removed", network=result.provenance.network)
    build_report(tmp_path / "out", [tmp_path / "run", tmp_path / "removed"])
    columns = read_units(tmp_path / "out", "run")
    # Chosen on the images that rank; unit 1 costs no class anything there.
    assert columns["importance"] == [None] * 4 + [0.2, None]
    assert columns["importance_class"] == [None] * 4 + ["a", None]
    first, second = read_details(tmp_path / "out", "run", 1, 0)["units"]
    assert first["importance"]["rows"] == [["b", -0.4, -0.9, -0.15], ["a", -0.2, -0.7, 0.05]]
    assert second["importance"]["rows"][0][0] == "a"
    assert read_site(tmp_path / "out")["sections"][0]["run"] == "run"


@pytest.mark.parametrize(
    ("settings", "joined"),
    [
        ({}, True),  # no digest, but the options name the same network
        ({"network": "0123456789abcdef"}, False),
        ({"command": COMMAND | {"weights": "others"}}, False),
        ({"command": {}}, False),
        ({"layer": "elsewhere"}, False),
    ],
)
def test_removals_in_another_network_are_shown_apart(tmp_path, settings, joined):
    write_dissection(tmp_path / "run")
    write_ablation(tmp_path / "removed", **settings)
    build_report(tmp_path / "out", [tmp_path / "run", tmp_path / "removed"])
    site = read_site(tmp_path / "out")
    (run,) = site["runs"]
    assert run["has_importance"] == joined and len(site["sections"]) == 1
    told = not joined and "layer" not in settings
    assert ["shown apart" in note for note in run["notes"]] == [True] * told


def test_random_weights_stand_beside(tmp_path):
    write_dissection(tmp_path / "random", scale=3.0, random_weights=7)
    write_dissection(tmp_path / "other", model="other")
    write_dissection(tmp_path / "run")
    build_report(tmp_path / "out", [tmp_path / n for n in ("random", "other", "run")])
    runs = {run["id"]: run for run in read_site(tmp_path / "out")["runs"]}
    assert {name: run["random_of"] for name, run in runs.items()} == {
        **dict.fromkeys(("run", "other")),
        "random": "run",
    }
    assert runs["random"]["random_weights"] == 7


def test_random_weights_stand_beside_the_run_on_the_same_data(tmp_path):
    write_dissection(tmp_path / "fewer", number=4)
    write_dissection(tmp_path / "same")
    write_dissection(tmp_path / "random", scale=3.0, random_weights=7)
    build_report(tmp_path / "out", [tmp_path / n for n in ("fewer", "same", "random")])
    runs = {run["id"]: run for run in read_site(tmp_path / "out")["runs"]}
    assert runs["random"]["random_of"] == "same"


def test_removals_stand_with_the_run_that_has_their_layer(tmp_path):
    write_dissection(tmp_path / "first", only=["early"])
    write_dissection(tmp_path / "second", only=["late"])
    write_ablation(tmp_path / "removed")
    build_report(tmp_path / "out", [tmp_path / n for n in ("first", "second", "removed")])
    site = read_site(tmp_path / "out")
    assert [run["has_importance"] for run in site["runs"]] == [False, True]
    assert site["sections"][0]["run"] == "second"
    assert read_units(tmp_path / "out", "second")["importance"] == [0.2, None]


@pytest.mark.parametrize("options", [{"scale": 2.0}, {"seed": 1}, {"preset": OTHER_PRESET}])
def test_photographs_of_another_dissection_are_left_out(tmp_path, options):
    write_dissection(tmp_path / "run", photos=True)
    write_dissection(tmp_path / "run", **options)
    build_report(tmp_path / "run", [tmp_path / "run"])
    (run,) = read_site(tmp_path / "run")["runs"]
    assert run["photos"] is None and run["photos_missing"]
    assert ["another dissection" in note for note in run["notes"]] == [True]
    detail = read_details(tmp_path / "run", "run", 0, 0)["units"][0]
    assert detail["histogram"] is None and detail["top"][0]["mask"] is None


ACTIVE = {
    "order statistics": "on at most 10% of all pixels, above an exact threshold of each unit",
    "interpolated": "on 10% of all pixels, above an interpolated threshold of each unit",
    "given": "above thresholds that were given",
    None: "on at most 10% of all pixels",
}


@pytest.mark.parametrize("kind", ACTIVE)
def test_facts_say_where_thresholds_come_from(kind):
    result = dissected.dissected()
    facts = run_facts(replace(result, settings={**result.settings, "thresholds": kind}), {})
    assert dict(facts)["Active"] == ACTIVE[kind]


def test_what_holds_no_results_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no results"):
        build_report(tmp_path / "out", [tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match="no folder"):
        build_report(tmp_path / "out", [tmp_path / "nothing"])
    write_dissection(tmp_path / "damaged")
    (tmp_path / "damaged" / "arrays.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"arrays\.npz"):
        build_report(tmp_path / "out", [tmp_path / "damaged"])
    assert not (tmp_path / "out" / "index.html").exists()


def test_every_kind_of_results_has_a_page():
    others = {"dissection.json", "report.json", "detailed.json", "reproduction.json"}
    assert {*SECTION_FILES, *others} == set(SETTINGS_FILES)


LINES = (
    "dissect --sample scenes --model 'my file.py:b' --out x --layers a 'b c' --no-colors --dtype "
    "bfloat16 --grid 3 4 --token-grid 3 4",
    "generate remove --model scenes --layer layer6 --concept tree --out x --no-singles --seed -1",
    "ablate --sample scenes --model scenes --layer a --out x --sizes 1 2 --replace mean",
)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split()[0])
def test_the_command_line_of_results_makes_them_again(line):
    options = _parse(shlex.split(line))
    options = getattr(options, "subcommand", options)
    written = provenance(options)
    again = _parse(shlex.split(written["command_line"])[1:])
    assert getattr(again, "subcommand", again) == options
    assert len(written["command_line"]) < len(line) + 30  # what is as always is left out
    words = written["command_line"].split(" --")[0].removeprefix("jaxdissect ")
    known = {name: value for name, value in written["command"].items() if value is not False}
    of_older = _parse(shlex.split(command_line(words, known))[1:])
    assert getattr(of_older, "subcommand", of_older).out == options.out
