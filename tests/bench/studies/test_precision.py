"""What precision changes: figures of made-up results, and a small ladder to the end."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.studies import precision, subjects
from jaxdissect.bench.studies.precision import (
    PRECISION,
    PrecisionSizes,
    check_highest,
    compare_decisions,
    compare_names,
    products_in,
)
from jaxdissect.bench.studies.subjects import LITE0, is_at_hand, make_subject

ROOFS = Roofs(products={"default": 1.0}, operations=1.0, bytes=1.0)  # which it does not need


def dissection(thresholds, concepts, iou):
    layer = SimpleNamespace(
        thresholds=np.array(thresholds, np.float32),
        best_concept=np.array(concepts),
        best_iou=np.array(iou),
    )
    return SimpleNamespace(layers={"layer": layer}, settings={"min_iou": 0.04})


def ablation(predictions, damage, margins):
    lost, margin_lost = np.array(damage, np.float64), np.array(margins, np.float64)
    return SimpleNamespace(
        predictions=np.array(predictions),
        baseline=SimpleNamespace(true=np.array([2, 2, 0])),
        damage=lambda: lost,
        margin_lost=lambda: margin_lost,
    )


# The functions read a few attributes of results; made-up ones have only these.
names: Any = getattr(compare_names, "__wrapped__", compare_names)
decisions: Any = getattr(compare_decisions, "__wrapped__", compare_decisions)


def test_changes_of_names_are_counted():
    exact = dissection([1.0, 2.0, 4.0, 0.0], [1, 2, 3, 0], [0.10, 0.05, 0.03, 0.0])
    found = dissection([1.0, 2.2, 4.0, 0.0], [1, 3, 3, 0], [0.10, 0.03, 0.05, 0.0])
    figures = names(found, exact)
    assert figures["threshold"] == 0 and figures["threshold_most"] == pytest.approx(10, rel=1e-5)
    assert figures["iou"] == pytest.approx(0.01) and figures["iou_most"] == pytest.approx(0.02)
    assert figures["concepts"] == 25 and figures["concepts_of_detectors"] == 50
    assert figures["detectors"] == 50
    assert not any(names(exact, exact).values())


def test_changes_of_decisions_are_counted():
    damage = [[0.5, 0.0, 0.0], [0.0, 0.3, 0.0]]
    exact = ablation([[0, 1, 1, 0], [0, 1, 1, 1], [0, 1, 1, 0]], damage, damage)
    changed = [[0.5, 0.0, 0.0], [0.1, 0.0, 0.0]]
    found = ablation([[0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 0]], changed, changed)
    figures = decisions(found, exact, same_images=True, has_classes=True)
    assert figures["predictions"] == 0
    assert figures["predictions_without"] == 25
    assert figures["turned"] == 100  # one image in each alone
    assert figures["important"] == 50  # of two, the second is no longer
    assert figures["damage"] == pytest.approx(100 * 0.4 / 4)
    other = decisions(found, exact, same_images=False, has_classes=True)
    assert other.keys() == {"important", "damage"}
    assert not decisions(found, exact, same_images=False, has_classes=False)


def test_precision_of_products_is_set_back():
    before = jax.config.values["jax_default_matmul_precision"]
    with pytest.raises(KeyError), products_in("highest"):
        assert jax.config.values["jax_default_matmul_precision"] == "highest"
        raise KeyError
    assert jax.config.values["jax_default_matmul_precision"] == before


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"networks": ("resnet",)}, "`networks` (=('resnet',)) must be different ones of"),
        ({"networks": ()}, "`networks` (=()) must be"),
        ({"images": 1}, "`images` (=1) must be at least 2"),
        ({"removals": 0}, "`removals` (=0) must be at least 1"),
        ({"photographs": "nowhere"}, "`photographs` (=nowhere) is no folder"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes, words):
    with pytest.raises(ValueError) as refused:
        PrecisionSizes(**sizes)
    assert words in str(refused.value)


def test_networks_that_are_not_installed_are_said_not_failed(monkeypatch):
    monkeypatch.setattr(subjects, "find_installed", lambda file: None)
    assert not is_at_hand(LITE0)
    found = PRECISION.measure(PrecisionSizes(networks=(LITE0,)), ROOFS)
    assert not found.gates and all(not table.rows for table in found.tables)
    assert "efficientnet_lite0, whose weights are not installed" in found.tables[0].note


@pytest.mark.slow
def test_a_small_ladder_is_climbed_to_the_end():
    sizes = PrecisionSizes(networks=("classifier",), images=10, removals=4, batch_size=10, rounds=1)
    found = PRECISION.measure(sizes, ROOFS)
    assert all(gate.passed for gate in found.gates.values()), found.gates
    named, decided = found.tables
    assert [row[1] for row in named.rows] == [
        "float32, full products",
        "float32 as the device does it",
        "bfloat16",
        "float32, full products, other images",
    ]
    assert len(decided.rows) == 4
    rungs = found.data["classifier"]["rungs"]
    assert rungs["bfloat16"]["names"]["threshold"] > 0
    if jax.default_backend() == "cpu":
        assert not any(rungs["default"]["names"].values())


@pytest.mark.slow
def test_a_network_of_lower_precision_is_not_called_full_float32(monkeypatch):
    subject = make_subject("classifier", 4, photographs=None)
    assert check_highest(subject).passed
    rounded = precision.in_precision(subject.network, jax.numpy.bfloat16)

    def in_full(run, params, images):
        inputs = subject.inputs({"image": images})
        return subject.network.activations(subject.network.params, inputs, layers=subject.layers)

    monkeypatch.setattr(precision, "in_float64", in_full)
    assert not check_highest(dataclasses.replace(subject, network=rounded)).passed
