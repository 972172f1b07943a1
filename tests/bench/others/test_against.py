"""Each comparison as a suite runs it, in small sizes, with whatever is installed."""

import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.bench.catalog import STUDIES
from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.others import (
    foolbox_attack,
    pytorch,
    three_passes,
    torchvision_forward,
    unit_removals,
)
from jaxdissect.bench.others.match import Contender
from jaxdissect.bench.studies.against import AGAINST

RATES = {"highest": 1.0, "default": 1.0, "bfloat16": 1.0}
ROOFS = Roofs(products=RATES, operations=1.0, bytes=1.0)
NARROW: dict[str, Any] = {"image_size": 64, "narrower": 16}
SMALL = {
    "against-pytorch": {"images": 2, "batch": 2, "grid": 8, "concepts": 40, **NARROW},
    "against-torchvision": {"network": "resnet50", "batch": 2, **NARROW},
    "against-captum": {"images": 2, "sampled": 3, "narrower": 16},
    "against-foolbox": {"images": 2, "constants": 2, "steps": 10},
    "against-resampling": {"images": 1, "units": 2},
    "against-components": {"maps": 1, "side": 16},
    "against-quantiles": {"images": 1, "units": 2},
    "against-accuracy": {"images": 64, "classes": 4},
    "against-overlap": {"images": 1, "units": 2, "concepts": 2, "sampled": 2},
}
QUICK = ("against-components", "against-overlap")


def test_every_comparison_is_in_the_catalog():
    assert set(SMALL) == {study.name for study in AGAINST} <= set(STUDIES)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in SMALL]
)
def test_comparisons_run(name):
    study = STUDIES[name]
    found = study.measure(study.sizes(**SMALL[name], turns=2, seconds=1.0), ROOFS)
    times, terms = found.tables
    first: Any = times.rows[0]
    assert first[0].startswith("jaxdissect") and first[2] > 0
    assert not [row for row in times.rows if "could not run" in str(row[-1])]
    assert "cannot run here" not in str(times.rows)
    assert len(terms.rows) <= len(times.rows)
    assert all(gate.passed for gate in found.gates.values()), found.gates
    assert set(found.data["contenders"]) == {row[0] for row in times.rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pytorch", "torchvision", "captum", "foolbox"])
def test_comparisons_run_without_any_other_library(name, monkeypatch):
    for library in ("torch", "torchvision", "captum", "foolbox"):
        monkeypatch.setitem(sys.modules, library, None)
    study = STUDIES[f"against-{name}"]
    found = study.measure(study.sizes(**SMALL[study.name], turns=1), ROOFS)
    remarks = [str(row[-1]) for row in found.tables[0].rows]
    assert any("is not installed: pip install" in remark for remark in remarks)
    assert all(gate.passed for gate in found.gates.values())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["highest", "bfloat16"])
def test_forward_passes_are_torchvisions_in_every_precision(precision):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    study = STUDIES["against-torchvision"]
    sizes = study.sizes(network="vgg16", batch=2, precision=precision, turns=1, **NARROW)
    found = study.measure(sizes, ROOFS)
    assert len(found.gates) == 5 and all(gate.passed for gate in found.gates.values()), found.gates


@pytest.mark.slow
def test_vit_has_the_weights_of_torchvision():
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    study = STUDIES["against-torchvision"]
    found = study.measure(study.sizes(network="vit_b_16", batch=1, turns=1), ROOFS)
    assert len(found.gates) == 5 and all(gate.passed for gate in found.gates.values()), found.gates


@pytest.mark.slow
def test_wrong_falls_of_scores_are_noticed():
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    match = unit_removals.removals_match(unit_removals.Sizes(images=2, sampled=32, narrower=16))
    answers = {each.name: each.run() for each in match.contenders if isinstance(each, Contender)}
    assert all(gate.passed for gate in match.check(answers).values())
    ours = match.contenders[0].name
    wrong = np.array(answers[ours])
    wrong[-1, -1] += 1e-2 * np.abs(wrong).max()
    gates = match.check(answers | {ours: jnp.asarray(wrong)})
    assert [gate.passed for gate in gates.values()].count(False) >= 2


def test_precision_and_threads_of_pytorch_are_given_back():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def state():
        return (
            torch.get_num_threads(),
            *(getattr(owner, name) for owner, name, _ in pytorch._precision_switches(torch)),
        )

    before = state()
    with pytorch.same_terms("highest"):
        assert state()[1:] == ("ieee", "ieee")
    with pytorch.same_terms("default"):
        assert state()[1:] == ("tf32", "tf32")
    assert state() == before


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        (torchvision_forward.Sizes, {"network": "vit_b_16", "narrower": 2}, "1 for vit_b_16"),
        (three_passes.Sizes, {"image_size": 40}, "`image_size` .=40. must be a multiple of 16"),
        (three_passes.Sizes, {"concepts": 1}, "`concepts` .=1. must be at least 2"),
        (unit_removals.Sizes, {"sampled": 513}, "`sampled` .=513. must be in"),
        (foolbox_attack.Sizes, {"steps": 5}, "`steps` .=5. at least 10"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes, options, message):
    with pytest.raises(ValueError, match=message):
        sizes(**options)
