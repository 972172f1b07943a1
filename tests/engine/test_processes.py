"""Several processes, devices and batch sizes find the same integers, and the same last bits."""

import pytest
from support.processes import run_together


def by_experiment(found):
    """The different results of each experiment."""
    results = {}
    for case, hashed in found["found"].items():
        results.setdefault(case.split(",")[0], set()).add(hashed)
    return results


@pytest.fixture(scope="module")
def alone():
    """Results of one process, by experiment, with all numbers of devices and sizes of batches."""
    (found,) = run_together("support.process_cases", 1, devices=8)
    return by_experiment(found)


@pytest.mark.slow
def test_devices_and_sizes_of_batches_change_nothing(alone):
    assert {len(results) for results in alone.values()} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3])
def test_processes_change_nothing(number, alone):
    for found in run_together("support.process_cases", number, devices=8):
        assert by_experiment(found) == alone
        # What only one of them sees ends all.
        unreadable, infinite, training = found["refusals"]
        assert "image 11 is unreadable" in unreadable
        assert "layer 'conv1' has NaN or infinite activations" in infinite and "11" in infinite
        assert "results would depend on `batch_size`" in training
