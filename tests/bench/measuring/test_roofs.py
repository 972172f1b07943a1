import jax.numpy as jnp
import pytest

from jaxdissect.bench.measuring import roofs
from jaxdissect.bench.measuring.repeats import Repeats
from jaxdissect.bench.measuring.roofs import Roofs, measure_roofs
from jaxdissect.bench.workload import Work


def test_every_roof_is_the_best_of_what_was_tried():
    measured = measure_roofs(seconds=0.01)
    tried = measured.forms
    for precision, found in measured.products.items():
        forms = [rate for name, rate in tried.items() if name.startswith(f"product {precision},")]
        assert forms and found >= max(forms) > 0
    assert measured.products["default"] >= measured.products["highest"]
    assert set(measured.products) == {"highest", "default", "bfloat16"}
    assert measured.operations == max(v for k, v in tried.items() if "comparisons" in k) > 0
    assert measured.bytes == max(v for k, v in tried.items() if "MiB" in k) > 0


@pytest.fixture
def _a_tenth_of_a_second(monkeypatch):
    """Every run takes a tenth of a second."""

    def repeat(run, **_):
        return Repeats((0.1, 0.2), 1, run())

    monkeypatch.setattr(roofs, "repeat", repeat)


def form(name, amount):
    return roofs._Form(name, amount, lambda x: x + 1.0, lambda: (jnp.zeros(8),), True)


@pytest.mark.usefixtures("_a_tenth_of_a_second")
def test_of_the_forms_the_best_counts_and_those_that_take_too_long_are_left_out():
    found = {}
    forms = iter([form("a", 1.0), form("b", 1000.0), form("too large", 1e30), form("c", 1.0)])
    best = roofs._best(forms, 1e6, found)
    assert found == {"a": pytest.approx(10.0), "b": pytest.approx(1e4), "c": pytest.approx(10.0)}
    assert best == found["b"]


@pytest.mark.usefixtures("_a_tenth_of_a_second")
def test_one_form_is_measured_however_long_it_takes():
    found = {}
    roofs._best(iter([form("a", 1.0), form("b", 1.0)]), 1e-9, found)
    assert set(found) == {"a"}


@pytest.mark.usefixtures("_a_tenth_of_a_second")
def test_compiling_takes_nothing_of_the_time_for_measuring(monkeypatch):
    """Or a device that compiles slowly would have the roof of its smallest form."""
    passed = [0.0]

    def slowly(form, runs=roofs._runs):
        passed[0] += 3.0
        return runs(form)

    monkeypatch.setattr(roofs, "_runs", slowly)
    monkeypatch.setattr(roofs.time, "perf_counter", lambda: passed[0])
    found = {}
    roofs._best(iter([form(name, 1.0) for name in "abc"]), 1.0, found)
    assert set(found) == {"a", "b"}  # until four times as long is over


def test_no_time_is_refused():
    with pytest.raises(ValueError, match=r"`seconds` \(=0.0\) must be above 0"):
        measure_roofs(seconds=0.0)


def test_least_seconds_are_those_of_each_roof():
    reached = Roofs(
        products={"highest": 1e12, "default": 4e12, "bfloat16": 8e12}, operations=1e10, bytes=1e9
    )
    work = Work(products=8e12, operations=0.0, bytes=5e8, counted="")
    assert reached.least_seconds(work) == {"products": 2.0, "operations": 0.0, "bytes": 0.5}
    assert reached.least_seconds(work, precision="bfloat16")["products"] == 1.0
