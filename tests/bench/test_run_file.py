"""Runs as files: what is written is read, and what is no run is refused."""

import dataclasses
import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
from support.bench_runs import failed_run, made_up_run

from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.plain_records import from_plain, to_plain
from jaxdissect.bench.record import SCHEMA, Row
from jaxdissect.bench.run_file import RUN_FILE, read_run, write_run


@pytest.mark.parametrize("run", [made_up_run(), failed_run()], ids=["right", "failed"])
def test_a_run_is_read_as_it_was(run, tmp_path):
    path = write_run(run, tmp_path)
    assert path == tmp_path / RUN_FILE
    read = read_run(path)
    assert to_plain(read) == to_plain(run) and read.passed == run.passed
    assert read.machine == run.machine and read.roofs == run.roofs
    assert [row.timing for row in read.rows] == [row.timing for row in run.rows]
    assert read_run(tmp_path) == read
    assert to_plain(run) == json.loads(path.read_text())


def test_every_repeat_is_kept_on_one_line(tmp_path):
    text = write_run(made_up_run(), tmp_path).read_text()
    assert all(
        line.rstrip(",").endswith("]") for line in text.splitlines() if '"seconds": [' in line
    )
    assert '"seconds": [' in text


def changed(tmp_path, **values):
    path = write_run(made_up_run(), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return path


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, None, True, "1"])
def test_other_versions_are_refused(schema, tmp_path):
    with pytest.raises(ValueError, match=f"`schema` .* must be from 1 to {SCHEMA}"):
        read_run(changed(tmp_path, schema=schema))


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no detailed.json"):
        read_run(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no run .*elsewhere"):
        read_run(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="`seconds` .='long'. must be a number"):
        read_run(changed(tmp_path, seconds="long"))
    for text in ("{", "[]", "{}", "\0"):
        (tmp_path / RUN_FILE).write_text(text)
        with pytest.raises(ValueError, match="is no run of a benchmark"):
            read_run(tmp_path)


def test_fields_of_later_versions_are_skipped(tmp_path):
    assert read_run(changed(tmp_path, weather="fine")) == read_run(
        write_run(made_up_run(), tmp_path)
    )


def test_numbers_that_json_lacks():
    gate = Gate(passed=False, against="one", difference=math.inf, tolerance=1e-6)
    assert json.loads(json.dumps(to_plain(gate), allow_nan=False))["difference"] == "Infinity"
    assert from_plain(Gate, to_plain(gate), where="gate") == gate
    nan = dataclasses.replace(gate, difference=math.nan)
    read = from_plain(Gate, to_plain(nan), where="gate").difference
    assert read is not None and math.isnan(read)


def test_arrays_become_lists_and_single_values_numbers(tmp_path):
    notes = {
        "array": np.arange(2, dtype=np.int64),
        "single": np.float32(0.5),
        "jax": jnp.asarray([True]),
        "path": tmp_path,
        3: (1, None),
    }
    plain = {"array": [0, 1], "single": 0.5, "jax": [True], "path": str(tmp_path), "3": [1, None]}
    row = dataclasses.replace(made_up_run().rows[0], notes=notes)
    assert to_plain(row)["notes"] == plain
    assert from_plain(Row, to_plain(row), where="row").notes == plain
    with pytest.raises(TypeError, match="object is neither a record nor a plain value"):
        to_plain({"what": object()})
