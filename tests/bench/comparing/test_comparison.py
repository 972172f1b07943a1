"""Comparisons of runs: how often they are wrong, what they find, and what they refuse."""

import dataclasses
import json

import numpy as np
import pytest
from support.bench_runs import CPU, failed_run, made_up_run, simulated_run

from jaxdissect.bench.comparing.comparison import compare_runs
from jaxdissect.bench.plain_records import from_plain, to_plain
from jaxdissect.bench.record import Run

PAIRS = 40


def verdicts(comparison):
    return {row.name: row.verdict for row in comparison.rows}


def called(pairs, name=""):
    """How often a row was called slower, and how often any other was."""
    found = [{row.name for row in compare_runs(*pair).regressions} for pair in pairs]
    return sum(name in names for names in found), sum(bool(names - {name}) for names in found)


def simulated_pairs(seed, *, spread=0.0, machine=0.0, wander=0.0, slower=(), **noise):
    """Pairs of runs of 15 rows, which follow the machine by 1 - `spread` to 1 + `spread`."""
    random = np.random.default_rng(seed)
    for _ in range(PAIRS):
        follows = random.uniform(1 - spread, 1 + spread, 15)
        states = random.normal([0, machine], wander)
        yield tuple(
            simulated_run(random, machine=state, follows=follows, slower=changes, **noise)
            for state, changes in zip(states, ((), slower), strict=True)
        )


# --- how often it is wrong ------------------------------------------------------------------------


slow = pytest.mark.slow


@pytest.mark.parametrize(
    "noise",
    [
        {},
        pytest.param({"moment": 0.03}, marks=slow),
        pytest.param({"wander": 0.1, "spread": 0.4}, marks=slow),
        pytest.param({"machine": 0.2, "spread": 0.5}, marks=slow),
        pytest.param({"machine": -0.3, "spread": 0.5}, marks=slow),
        pytest.param({"repeats": 3}, marks=slow),
    ],
    ids=["quiet", "unsteady", "other states", "slower machine", "faster machine", "few repeats"],
)
def test_noise_is_no_regression(noise):
    """Of 40 runs of 15 rows in which nothing changed, 2 may fail; 6 have a chance of 1 in 70."""
    assert called(simulated_pairs(0, **noise))[1] <= 5


@pytest.mark.parametrize(
    ("noise", "times"),
    [
        ({}, 1.15),
        pytest.param({"moment": 0.03}, 1.35, marks=slow),
        pytest.param({"machine": 0.2, "spread": 0.3}, 1.6, marks=slow),
        pytest.param({"machine": -0.2, "spread": 0.3}, 1.5, marks=slow),
    ],
    ids=["quiet", "unsteady", "slower machine", "faster machine"],
)
def test_slower_rows_are_found(noise, times):
    found, others = called(simulated_pairs(1, slower=[("overlap", times)], **noise), "overlap")
    assert found >= 0.8 * PAIRS
    assert others <= 5


def test_repeats_alone_would_be_wrong():
    """Had the repeats been taken for all the noise, most runs would fail for nothing."""
    wrong = 0
    for old, new in simulated_pairs(2):
        shifts = []
        for one, other in zip(old.rows, new.rows, strict=True):
            assert one.timing is not None and other.timing is not None
            logs = [np.log(timing.seconds) for timing in (one.timing, other.timing)]
            error = np.hypot(*(1.25 * sample.std(ddof=1) / np.sqrt(20) for sample in logs))
            shifts.append((np.median(logs[1]) - np.median(logs[0])) / error)
        wrong += max(shifts) > 3.0
    assert wrong > 0.2 * PAIRS


def test_everything_slower_is_found():
    """A change of all rows is no noise, as long as the fixed computation stays as it was."""
    names = [row.name for row in made_up_run().rows]
    slower = [(name, 1.3) for name in names]
    comparison = compare_runs(made_up_run(), made_up_run(seed=1, slower=slower))
    assert [row.name for row in comparison.regressions] == names


def test_same_run_is_as_before():
    run = made_up_run()
    comparison = compare_runs(run, run)
    assert set(verdicts(comparison).values()) == {"as before"}
    assert "No regression beyond the measured noise." in comparison.text()
    assert all(row.ratio == 1 and (row.called_from or 9) < 1.15 for row in comparison.rows)


# --- what it says ---------------------------------------------------------------------------------


def test_a_slower_machine_makes_rows_undecided():
    old, new = next(simulated_pairs(3, machine=0.5))
    comparison = compare_runs(old, new)
    assert set(verdicts(comparison).values()) == {"undecided"}
    assert not comparison.regressions
    assert "15 undecided: the machine was too unsteady" in comparison.text()
    assert "% slower)" in comparison.text()
    assert comparison.text().endswith("No row could be judged.")


def test_faster_rows_are_no_regression():
    comparison = compare_runs(made_up_run(slower=[("overlap", 2.0)]), made_up_run(seed=1))
    assert verdicts(comparison)["overlap"] == "faster"
    assert not comparison.regressions


def test_a_single_repeat_decides_nothing():
    comparison = compare_runs(
        made_up_run(repeats=1), made_up_run(repeats=1, slower=[("taylor", 3)])
    )
    assert set(verdicts(comparison).values()) == {"undecided"}
    assert "a single repeat" in comparison.text()


def test_two_repeats_that_differ_a_lot_say_nothing():
    """With one degree of freedom and many rows, what would be called slower has no number."""
    run = made_up_run(repeats=2)
    rows = []
    for row in run.rows:
        assert row.timing is not None
        scattered = dataclasses.replace(row.timing, seconds=(1.0, 9.0))
        for number in range(20):
            name = f"{row.name} {number}"
            rows.append(dataclasses.replace(row, name=name, timing=scattered))
    run = dataclasses.replace(run, rows=tuple(rows))
    comparison = compare_runs(run, run)
    assert set(verdicts(comparison).values()) == {"undecided"}
    assert "over 100  undecided" in comparison.text()


def test_without_probes_the_roofs_remain():
    def bare(run):
        rows = tuple(dataclasses.replace(row, probe=(), work=None) for row in run.rows)
        return dataclasses.replace(run, rows=rows)

    old, new = bare(made_up_run()), bare(made_up_run(seed=1, slower=[("overlap", 1.5)]))
    assert [row.name for row in compare_runs(old, new).regressions] == ["overlap"]


def changed(run, name, **fields):
    rows = tuple(
        dataclasses.replace(row, **fields) if row.name == name else row for row in run.rows
    )
    return dataclasses.replace(run, rows=rows)


def test_another_exact_answer_fails_on_every_machine():
    old = made_up_run()
    gate = old.rows[5].gate
    assert gate is not None
    gate = dataclasses.replace(gate, fingerprint="f" * 64)
    for new in (made_up_run(seed=1), made_up_run(platform="gpu")):
        comparison = compare_runs(old, changed(new, "thresholds", gate=gate))
        assert verdicts(comparison)["thresholds"] == "answer changed"
        assert [row.name for row in comparison.regressions] == ["thresholds"]
        assert "now ffffffffffff" in comparison.text()
    gone = dataclasses.replace(gate, fingerprint="")
    comparison = compare_runs(old, changed(made_up_run(), "thresholds", gate=gone))
    assert "no fingerprint any more" in comparison.regressions[0].reason


def test_other_sizes_are_not_compared():
    old = made_up_run()
    new = changed(
        made_up_run(slower=[("overlap", 9)]), "overlap", sizes={**old.rows[6].sizes, "units": 256}
    )
    comparison = compare_runs(old, new)
    assert verdicts(comparison)["overlap"] == "other sizes"
    assert "units 512, now 256" in comparison.text()
    assert not comparison.regressions


def test_no_row_of_the_same_sizes_is_no_pass():
    """A size that all rows have got since, with a default: nothing can be said of their speed."""
    old, new = made_up_run(), made_up_run(slower=[("overlap", 9)])
    rows = tuple(dataclasses.replace(row, sizes={**row.sizes, "narrower": 1}) for row in new.rows)
    comparison = compare_runs(old, dataclasses.replace(new, rows=rows))
    assert comparison.refused == ("No row has the same sizes in both runs.",)
    assert "narrower None, now 1" in comparison.text()
    assert "No regression" not in comparison.text()


def test_a_compiler_that_makes_slower_programs_is_not_taken_for_a_slower_machine_in_silence():
    old, new = next(simulated_pairs(3, machine=0.2))
    assert "may be theirs" not in compare_runs(old, new).text()
    versions = {**new.machine.versions, "jaxlib": "0.11.0"}
    machine = dataclasses.replace(new.machine, versions=versions)
    assert "may be theirs" in compare_runs(old, dataclasses.replace(new, machine=machine)).text()


def test_rows_that_fail_now():
    comparison = compare_runs(made_up_run(), failed_run(seed=1))
    assert [row.name for row in comparison.regressions] == [
        "forward vgg16",
        "forward vgg16 bfloat16",
        "precision",
    ]
    assert "RESOURCE_EXHAUSTED" in comparison.text()
    assert "3 regressions." in comparison.text()


def test_rows_that_failed_before():
    found = verdicts(compare_runs(failed_run(), made_up_run(seed=1)))
    assert (found["forward vgg16"], found["forward vgg16 bfloat16"]) == ("failed before",) * 2
    again = compare_runs(failed_run(), failed_run(seed=1))
    assert verdicts(again)["forward vgg16"] == "fails still"
    assert not again.regressions


def test_rows_of_one_run_alone():
    comparison = compare_runs(made_up_run(rows=9), made_up_run(seed=1, rows=10))
    assert verdicts(comparison)["dissection files"] == "new"
    comparison = compare_runs(made_up_run(rows=10), made_up_run(seed=1, rows=9))
    assert verdicts(comparison)["dissection files"] == "missing"
    assert "dissection files: missing" in comparison.text()
    assert not comparison.regressions
    nothing = compare_runs(made_up_run(), dataclasses.replace(made_up_run(), rows=()))
    assert nothing.refused == ("No row of one run is in the other.",)


def test_checks_of_studies():
    old = made_up_run()
    (study,) = old.studies
    (gate,) = study.gates.values()
    for other, verdict in (
        (dataclasses.replace(gate, fingerprint="0" * 64), "answer changed"),
        (dataclasses.replace(gate, passed=False), "failed"),
    ):
        gates = dict.fromkeys(study.gates, other)
        studies = (dataclasses.replace(study, gates=gates),)
        (found,) = compare_runs(old, dataclasses.replace(old, studies=studies)).regressions
        assert (found.name, found.verdict) == ("precision: counts of two runs", verdict)


def test_checks_and_studies_that_are_not_made_any_more_are_told():
    old = made_up_run()
    (study,) = old.studies
    without = dataclasses.replace(old, studies=(dataclasses.replace(study, gates={}),))
    found = compare_runs(old, without)
    assert verdicts(found)["precision: counts of two runs"] == "missing"
    assert "precision: counts of two runs: missing (not checked any more)" in found.text()
    found = compare_runs(old, dataclasses.replace(old, studies=()))
    assert verdicts(found)["precision"] == "missing" and not found.regressions


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("processor", "Intel Xeon", "The processor is another: AMD EPYC 9B14, now Intel Xeon."),
        ("cores", 4, "The number of cores is another: 2, now 4."),
        ("devices", 2, "The number of devices is another: 1, now 2."),
        ("matmul_precision", "highest", "products is another: default, now highest."),
    ],
)
def test_other_machines_are_refused(field, value, words):
    machine = dataclasses.replace(CPU, **{field: value})
    new = dataclasses.replace(made_up_run(slower=[("overlap", 2)]), machine=machine)
    comparison = compare_runs(made_up_run(), new)
    assert words in comparison.text()
    assert "Speeds cannot be compared:" in comparison.text()
    assert comparison.refused and not comparison.regressions
    assert set(verdicts(comparison).values()) == {"answer as before"}


def test_what_else_differs_is_said():
    machine = dataclasses.replace(
        CPU, versions={**CPU.versions, "jax": "0.11.0"}, xla_flags="--xla_x", load=2.0
    )
    new = dataclasses.replace(made_up_run(seed=1), machine=machine, commit="fedcba")
    comparison = compare_runs(made_up_run(), new)
    assert not comparison.refused
    text = comparison.text()
    for words in ("jax: 0.10.2, now 0.11.0", "XLA flags: none, now --xla_x", "now 2.0", "fedcba"):
        assert words in text


def test_a_run_from_its_file_is_the_same():
    run = changed(made_up_run(), "overlap", sizes={"shape": (3, 4), "images": 64})
    values = json.loads(json.dumps(to_plain(run)))
    read = from_plain(Run, values, where="a file", strict=False)
    assert set(verdicts(compare_runs(read, run)).values()) == {"as before"}
