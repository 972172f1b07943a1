"""The suites that come with jaxdissect: they can be read, and measure all that there is."""

import dataclasses
import re
from pathlib import Path

import pytest

from jaxdissect.bench.catalog import STUDIES, WORKLOADS
from jaxdissect.bench.plain_records import from_plain, to_plain
from jaxdissect.bench.suite import SUITES, read_suite

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "benchmark.md").read_text()


@pytest.mark.parametrize("name", SUITES)
def test_suites_can_be_read(name):
    suite = read_suite(name)
    assert suite.rows and suite.studies and suite.title.endswith(".")


def test_the_full_suite_measures_everything():
    suite = read_suite("full")
    assert {row.workload.name for row in suite.rows} == set(WORKLOADS)
    assert {study.study.name for study in suite.studies} == set(STUDIES)


@pytest.mark.parametrize(
    ("name", "left_out"), [("cpu", set()), ("gpu", {"convolution", "intervals"})]
)
def test_the_suites_of_devices_time_all_that_runs_there(name, left_out):
    assert {row.workload.name for row in read_suite(name).rows} == set(WORKLOADS) - left_out


def test_the_smoke_suite_leaves_out_only_what_compiles_too_long():
    left_out = {"attack", "insertion"}
    assert {row.workload.name for row in read_suite("smoke").rows} == set(WORKLOADS) - left_out


@pytest.mark.parametrize("known", [WORKLOADS, STUDIES], ids=["workloads", "studies"])
def test_everything_has_a_line_on_the_page(known):
    listed = re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)
    assert set(known) <= set(listed)
    assert set(listed) <= {*WORKLOADS, *STUDIES, *SUITES, "detailed"}


@pytest.mark.parametrize(
    "kind", [*WORKLOADS.values(), *STUDIES.values()], ids=lambda kind: kind.name
)
def test_sizes_are_records_that_a_file_can_hold(kind):
    assert kind.summary and kind.sizes.__doc__
    sizes = kind.sizes()  # all have usual values
    assert from_plain(kind.sizes, to_plain(sizes), where=kind.name) == sizes
    with pytest.raises(dataclasses.FrozenInstanceError):
        sizes.anything = 1
