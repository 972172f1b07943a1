"""The demonstration: what it writes and prints, and the claims that it makes."""

import contextlib
import csv
import io
import json
from importlib import resources

import numpy as np
import pytest
from support.site_page import CHROMIUM, DRIVER, chromium, walk

from jaxdissect.commands.main import main
from jaxdissect.dissection.layer_examples import load_unit_examples
from jaxdissect.dissection.result import load_dissection
from jaxdissect.networks.network import as_network
from jaxdissect.report.sections.result_sections import sections_of
from jaxdissect.scenes import shipped
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.rendering import SCENES
from jaxdissect.scenes.scene_classifier import CONVOLUTIONS
from jaxdissect.scenes.training.train_classifier import evaluate_classifier
from jaxdissect.scenes.training.train_generator import evaluate_generator
from jaxdissect.scenes.training.train_segmenter import evaluate_parser

pytestmark = [pytest.mark.slow, pytest.mark.optimised]

NUM_IMAGES = 384
LAST = CONVOLUTIONS[-1]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of results, and what was printed."""
    out = tmp_path_factory.mktemp("demo") / "results"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["demo", "--out", str(out)]) == 0
    return out, printed.getvalue()


@pytest.fixture
def results(ran):
    return ran[0]


@pytest.fixture
def printed(ran):
    return ran[1]


def rows_of(file):
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


# --- what it writes -------------------------------------------------------------------------------


def test_one_folder_of_results_for_each_part(results):
    parts = {path.name for path in results.iterdir() if path.is_dir()}
    assert parts == {"classifier", "classes", "generator", "trees", "doors", "world", "page"}
    for name in ("classifier", "generator"):
        result, examples = load_dissection(results / name), load_unit_examples(results / name)
        assert tuple(examples.layers) == tuple(result.layers)
        units = sum(layer.num_units for layer in result.layers.values())
        assert len(rows_of(results / name / "units.csv")) == units
    assert tuple(load_dissection(results / "classifier").layers) == CONVOLUTIONS
    assert load_dissection(results / "classifier").settings["examples"] == NUM_IMAGES
    assert json.loads((results / "report.json").read_text())["sizes"]["ranking"] == 2 * NUM_IMAGES


def test_the_page_has_both_networks_and_every_part(results):
    page = (results / "index.html").read_text(encoding="utf-8")
    assert "What the units of a network do" in page
    folders = [results / part for part in ("classes", "trees", "doors")]
    titles = [section.title for folder in folders for section in sections_of(folder)]
    assert len(titles) == 3 and "tree" in titles[1] and "door" in titles[2]
    site = (results / "page" / "data" / "site.js").read_text(encoding="utf-8")
    assert all(title in site for title in (*titles, "A small world"))


@pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs Chromium")
def test_a_browser_shows_every_view(results, tmp_path):
    with chromium(tmp_path) as browser:
        walk(browser, results)


def test_what_is_found_is_printed_when_it_is_found(printed):
    found = ("The most interpretable units:", "loses", "tree pixels", "at one cell", "Open ")
    in_one_line = " ".join(printed.split())
    positions = [in_one_line.index(words) for words in found]
    assert positions == sorted(positions)
    assert max(map(len, printed[: printed.index("Open ")].splitlines())) <= 80
    assert len(printed.split("interpretable units:\n\n")[1].split("\n\n")[0].splitlines()) == 11


def test_demo_refuses_what_makes_no_sense(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "new"), "--num-latents", "3"]) == 2
    assert "`num_latents` (=3) must be at least 16" in capsys.readouterr().err
    (tmp_path / "mine.txt").touch()
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert sorted(tmp_path.iterdir()) == [tmp_path / "mine.txt"]


# --- what it claims -------------------------------------------------------------------------------


def test_objects_are_detected_in_the_end_and_colors_first(results):
    result = load_dissection(results / "classifier")
    last, first = (result[layer].category_counts() for layer in (LAST, CONVOLUTIONS[0]))
    assert last["object"].units + last["part"].units >= 12
    assert last["object"].concepts >= 6
    simple, complex_ = (
        sum(first[category].units for category in categories)
        for categories in (("color", "material"), ("object", "part"))
    )
    assert simple >= complex_ and simple >= 3


def test_some_class_needs_its_units_and_the_others_do_not(results):
    rows = [
        row
        for row in rows_of(results / "classes" / "sets.csv")
        if row["removed_or_alone"] == "removed"
    ]
    assert {row["class"] for row in rows} == set(SCENES)
    found = [(float(row["change"]), float(row["overall_change"])) for row in rows]
    assert any(own <= -0.10 and every >= -0.05 for own, every in found), found


def test_trees_go_with_their_units(results):
    rows = rows_of(results / "trees" / "sets.csv")
    assert [int(row["units removed"]) for row in rows] == [0, 5, 10, 20]
    left = [float(row["fraction left"]) for row in rows]
    assert left[0] == 1 and min(left) <= 0.5 and left[-1] <= 0.65


def test_doors_appear_on_buildings_and_not_in_the_sky(results):
    rows = {
        row["was there"]: row
        for row in rows_of(results / "doors" / "contexts.csv")
        if row["category"] == "object"
    }
    added, number = (
        {name: float(row[column]) for name, row in rows.items()}
        for column in ("pixels added", "samples")
    )
    buildings = [name for name in ("barn", "house") if name in rows]
    on_buildings = sum(added[name] * number[name] for name in buildings) / sum(
        number[name] for name in buildings
    )
    assert on_buildings > 3 * abs(added["sky"]) and number["sky"] > 50


# --- the networks ---------------------------------------------------------------------------------


def test_cards_tell_how_the_networks_were_made():
    for name in shipped.NAMES:
        card = shipped.read_card(name)
        assert card["network"] == name and card["minutes"] > 1 and card["hardware"]
        assert card["command"].startswith(f"python -m jaxdissect.scenes.train {name} --steps")
    with pytest.raises(ValueError, match="must be one of: classifier, generator, segmenter, vit"):
        shipped.read_card("painter")


def test_weights_are_small():
    folder = resources.files("jaxdissect.scenes").joinpath("weights")
    sizes = [len(file.read_bytes()) for file in folder.iterdir()]
    assert len(sizes) == 8 and sum(sizes) < 6e6


@pytest.mark.parametrize(
    ("name", "load", "least"),
    [("classifier", shipped.load_classifier, 0.95), ("vit", shipped.load_vit, 0.8)],
)
def test_classifiers_know_scenes_that_they_have_not_seen(name, load, least):
    held_out = scenes_dataset(1000, seed=5_000_003)
    measured = evaluate_classifier(load(), held_out)
    assert measured["accuracy"] >= least
    assert measured["accuracy"] == pytest.approx(shipped.read_card(name)["accuracy"], abs=0.03)


def test_segmenter_knows_objects_that_it_has_not_seen():
    held_out = scenes_dataset(300, seed=5_000_003)
    measured = evaluate_parser(shipped.load_parser(), held_out)
    assert measured["mean_iou_object"] >= 0.6


def test_generator_makes_pictures_like_the_drawn_ones():
    held_out = scenes_dataset(300, seed=5_000_003, scenes=shipped.GENERATOR_SCENES)
    measured = evaluate_generator(shipped.load_generator(), held_out)
    distance, noise = measured["frechet_distance"], measured["frechet_distance_of_noise"]
    assert measured["frechet_distance_of_other_drawn_pictures"] < distance < noise / 20
    network = as_network(shipped.load_generator())
    images, _ = network.apply(network.params, np.zeros((2, 128), np.float32))
    assert images.shape == (2, 64, 64, 3)
    assert json.dumps(measured)
