"""The demonstration, on fewer pictures: what it writes, and the claims that it makes."""

import csv
import json
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest

from jaxdissect.commands.main import main
from jaxdissect.dissection.result import load_dissection
from jaxdissect.networks.network import as_network
from jaxdissect.scenes import shipped
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.rendering import SCENES
from jaxdissect.scenes.scene_classifier import CONVOLUTIONS
from jaxdissect.scenes.training.train_classifier import evaluate_classifier
from jaxdissect.scenes.training.train_generator import evaluate_generator
from jaxdissect.scenes.training.train_segmenter import evaluate_parser

pytestmark = [pytest.mark.slow, pytest.mark.optimised]

NUM_IMAGES, NUM_LATENTS = 256, 48
LAST = CONVOLUTIONS[-1]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "results"
    sizes = ["--num-images", str(NUM_IMAGES), "--num-latents", str(NUM_LATENTS)]
    assert main(["demo", "--out", str(out), "--quiet", *sizes]) == 0
    return out


def rows_of(file):
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


# --- what it writes -------------------------------------------------------------------------------


class Contents(HTMLParser):
    """Elements of a page by name, and all that it would load."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.loaded = {}, []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.setdefault(tag, []).append(dict(attrs))
        self.loaded += [value for name, value in attrs if name in ("src", "href")]


def test_report_is_one_page_that_loads_nothing(results):
    page = Contents((results / "report.html").read_text(encoding="utf-8"))
    assert len(page.elements["h2"]) == 7
    assert len(page.elements["img"]) == 11
    assert all(image["alt"] for image in page.elements["img"])
    assert len(page.elements["table"]) >= 8
    assert all(address.startswith(("data:image/", "#")) for address in page.loaded)


def test_results_can_be_read_back(results):
    result = load_dissection(results)
    assert tuple(result.layers) == CONVOLUTIONS
    assert result.settings["examples"] == NUM_IMAGES
    assert len(rows_of(results / "units.csv")) == sum(
        result[layer].num_units for layer in CONVOLUTIONS
    )


def test_demo_refuses_what_makes_no_sense(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "new"), "--num-latents", "3"]) == 2
    assert "`num_latents` (=3) must be at least 16" in capsys.readouterr().err
    (tmp_path / "mine.txt").touch()
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert sorted(tmp_path.iterdir()) == [tmp_path / "mine.txt"]


# --- what it claims -------------------------------------------------------------------------------


def test_objects_are_detected_in_the_end_and_colors_first(results):
    result = load_dissection(results)
    last, first = (result[layer].category_counts() for layer in (LAST, CONVOLUTIONS[0]))
    assert last["object"].units + last["part"].units >= 12
    assert last["object"].concepts >= 6
    simple, complex_ = (
        sum(first[category].units for category in categories)
        for categories in (("color", "material"), ("object", "part"))
    )
    assert simple >= complex_ and simple >= 3


def test_some_class_needs_its_units_and_the_others_do_not(results):
    rows = rows_of(results / "removals.csv")
    assert [row["class"] for row in rows] == list(SCENES)
    found = [
        (
            float(row["balanced accuracy before"]) - float(row["balanced accuracy after"]),
            float(row["accuracy over all classes before"])
            - float(row["accuracy over all classes after"]),
        )
        for row in rows
    ]
    assert any(own >= 0.10 and every <= 0.03 for own, every in found), found


def test_trees_go_with_their_units(results):
    rows = rows_of(results / "trees.csv")
    assert [int(row["units removed"]) for row in rows] == list(range(21))
    left = [float(row["fraction left"]) for row in rows]
    assert left[0] == 1 and left[-1] <= 0.5


def test_doors_appear_on_buildings_and_not_in_the_sky(results):
    rows = {
        row["was there"]: row
        for row in rows_of(results / "doors.csv")
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
    assert on_buildings > 3 * abs(added["sky"]) and number["sky"] > 100


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
