"""Configuration files of experiments: those there are, and those that are refused."""

from importlib.resources import files

import pytest
import yaml

from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.reproduction import KNOWN, PROCEDURES, read_experiment, read_experiments
from jaxdissect.reproduction.configuration import experiment_of
from jaxdissect.reproduction.narrow_networks import NARROW
from jaxdissect.reproduction.plan import steps_of
from jaxdissect.reproduction.procedures.procedure import is_measured
from jaxdissect.reproduction.settings import read_settings

EXPERIMENTS = read_experiments("pnas2020")
FOLDER = files("jaxdissect.reproduction") / "experiments" / "pnas2020"
each_experiment = pytest.mark.parametrize("name", EXPERIMENTS)

SMALL = """
title: Nothing of importance
about: What it is.
procedure: remove-from-generator
networks: [proggan_church, unified_parsing, color]
data: []
settings: {layer: layer4, concept: tree, category: object, most: 3}
reduced: {most: 1}
"""
FIGURE = """
figures:
  - quantity: removed/2
    text: share that goes
    value: 50
    unit: "%"
    known: printed
    source: a figure
    tolerance: 1
    reason: rounding
"""


def test_every_file_is_an_experiment_in_the_order():
    there = {path.name for path in FOLDER.iterdir()}
    assert there == {"order.yaml", *(f"{name}.yaml" for name in EXPERIMENTS)}


def test_the_issue_asks_for_these():
    kinds = {experiment.procedure for experiment in EXPERIMENTS.values()}
    assert kinds == set(PROCEDURES)
    studied = {experiment.networks[0] for experiment in EXPERIMENTS.values()}
    classifiers = {"vgg16_places365", "resnet152_places365", "alexnet_places365"}
    assert studied == classifiers | {"proggan_church", "proggan_kitchen"}
    layers = EXPERIMENTS["vgg16-layers"].settings["layers"]
    assert len(layers) == 13 and layers[-1] == "features.relu5_3"


@each_experiment
def test_networks_have_narrow_ones_and_parts_fit(name):
    for network in EXPERIMENTS[name].networks:
        architecture = PUBLISHED[network].architecture
        assert architecture in NARROW and architecture in ARCHITECTURES


@each_experiment
def test_what_differs_is_said(name):
    experiment = EXPERIMENTS[name]
    assert experiment.differences
    assert steps_of(experiment)


def test_figures_are_those_of_the_record():
    """Some numbers, as REFERENCE has them, through lists and tables."""
    value = {
        (name, figure.quantity): (figure.value, figure.known)
        for name, experiment in EXPERIMENTS.items()
        for figure in experiment.figures
    }
    assert value["vgg16-layers", "concepts/features.relu5_3/object"] == (51, "read off")
    assert value["vgg16-conv5_3", "entries"] == (1825, "counted")
    assert value["proggan-kitchen", "concepts/layer5/part"] == (33, "printed")
    assert value["proggan-kitchen", "units/layer5"] == (225, "read off")
    assert value["remove-class-units", "mean balanced accuracy/without 20"] == (53.0, "printed")
    assert value["remove-class-units", "all classes/with alone 20"] == (2.1, "quoted")
    assert value["remove-class-units", "lost/snow/validation"] == (10.9, "printed")
    assert value["remove-class-units", "important to 7/IoU"] == (0.091, "read off")
    assert value["airplane-unit", "threshold"] == (23.4, "quoted")
    assert value["remove-trees", "removed/3"] == (40.5, "read off")
    assert value["insert-doors", "added/building-b"] == (7.65, "read off")


def test_tables_add_up():
    experiment = EXPERIMENTS["remove-class-units"]
    units = {f.quantity: f.value for f in experiment.figures if f.quantity.endswith("/units")}
    assert sum(units.values()) == 512
    # Mean recall over classes of equal size gives the mean balanced accuracy.
    recall = 53.3
    assert abs((recall + 100 - (100 - recall) / 364) / 2 - 76.6) < 0.05


@each_experiment
def test_every_figure_says_how_it_is_known_and_why_its_tolerance(name):
    for figure in EXPERIMENTS[name].figures:
        assert figure.known in KNOWN and figure.known != "unconfirmed"
        assert len(figure.reason.split()) > 4 and figure.source and figure.text


def test_nothing_is_compared_with_what_nothing_measures():
    experiment = EXPERIMENTS["vgg16-layers"]
    procedure = PROCEDURES[experiment.procedure]
    names = procedure.quantities(read_settings(procedure.settings, experiment.settings))
    assert is_measured("concepts/features.relu5_3/object", names)
    assert not is_measured("concepts/features.relu6_1/object", names)
    assert not is_measured("units/features.relu5_3/object/airplane", names)  # not counted there


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL + FIGURE)
    experiment = read_experiment(path)
    assert experiment.name == "mine" and experiment.figures[0].value == 50
    assert experiment.settings_of(is_reduced=True)["most"] == 1
    assert experiment.settings_of(is_reduced=False)["most"] == 3


def changed(**fields):
    found = yaml.safe_load(SMALL + FIGURE)
    for name, value in fields.items():
        if value is None:
            del found[name]
        else:
            found[name] = value
    return yaml.safe_dump(found)


def with_figure(**fields):
    (figure,) = yaml.safe_load(FIGURE)["figures"]
    return changed(figures=[{**figure, **fields}])


@pytest.mark.parametrize(
    "text, message",
    [
        (": :", "no YAML"),
        ("- 1", "must have fields"),
        (changed(title=None), "lacks title; its fields are: title, about"),
        (changed(colour=1), "unknown fields colour"),
        (changed(procedure="guess"), "guess must be of: dissect-classifier"),
        (changed(networks=["vgg17"]), "vgg17 must be of"),
        (changed(data=["places"]), "places must be of: places-val"),
        (changed(settings={"layer": "layer4"}), "settings concept, category, most are missing"),
        (changed(reduced={"mast": 1}), "unknown settings mast"),
        (changed(reduced={"most": "1"}), "`most` \\(='1'\\) must be of type int"),
        (with_figure(quantity="removed/9"), "nothing measures 'removed/9'"),
        (with_figure(known="guessed"), "`known` \\(='guessed'\\)"),
        (with_figure(tolerance=-1), "`tolerance` \\(=-1.0\\)"),
        (with_figure(reason=" "), "`reason` of figure"),
        (changed(figures=2 * yaml.safe_load(FIGURE)["figures"]), "given twice: removed/2"),
    ],
)
def test_other_files_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        experiment_of("mine", text)


def test_a_row_of_a_table_has_a_number_for_every_column():
    (figure,) = yaml.safe_load(FIGURE)["figures"]
    del figure["value"]
    table = {**figure, "quantity": "removed/{row}", "columns": ["share"], "rows": {1: [1, 2]}}
    with pytest.raises(ValueError, match="row 1 of a table .* has 2 numbers for 1 columns"):
        experiment_of("mine", changed(tables=[table], figures=[]))
    table["rows"] = {1: [None], 2: [5]}
    found = experiment_of("mine", changed(tables=[table], figures=[])).figures
    assert [(one.quantity, one.value) for one in found] == [("removed/2", 5)]


def test_a_paper_that_is_not_there():
    with pytest.raises(ValueError, match="`paper` .* must be one of: pnas2020"):
        read_experiments("pnas2021")
