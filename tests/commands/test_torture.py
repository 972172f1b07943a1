"""Commands that are killed wherever they are resume, on other devices, to the same results."""

import csv
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from support.class_folders import write_class_folders

TESTS = pathlib.Path(__file__).resolve().parents[1]
KILLS = 20

ROUNDED = ("log_probability_lost_estimated", "correlation_of_peak_and_probability")
"""What the number of devices changes by rounding; all else is exact."""

COMMANDS = {
    "ablate": {
        "words": [
            *("ablate", "--layer", "conv", "--sizes", "1", "2"),
            *("--rank-images", "{place}/rank", "--images", "{place}/measure"),
        ],
        "files": ["units.csv", "sets.csv", "classes.csv", "rates.csv"],
    },
    "dissect": {
        "words": ["dissect", "--layers", "conv", "--images", "{place}/measure", "--grid", "8"],
        "files": ["units.csv", "concepts.csv", "layers.csv"],
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_commands_resume(command, tmp_path):
    write_class_folders(tmp_path)
    words = [word.format(place=tmp_path) for word in COMMANDS[command]["words"]]
    words += ["--model", f"{tmp_path / 'tiny.py'}:build", "--batch-size", "1", "--quiet"]
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs"),
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS))),
    }

    def run(*arguments):
        given = [sys.executable, "-m", "support.tortured", *map(json.dumps, arguments)]
        ended = subprocess.run(
            given, env=environment, capture_output=True, text=True, timeout=1200, check=False
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        return json.loads(ended.stdout.splitlines()[-1])

    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    whole = run(words, str(tmp_path / "whole"), 0)
    killed = run(words, str(tmp_path / "killed"), KILLS)
    assert len(killed["saved"]) == KILLS
    assert len(set(map(tuple, killed["saved"]))) > 2  # at different moments
    (expected,) = map(pathlib.Path, whole["results"])
    for found in map(pathlib.Path, killed["results"]):
        for name in COMMANDS[command]["files"]:
            rows, others = (table(folder / name) for folder in (found, expected))
            assert rows.keys() == others.keys()
            for column, values in rows.items():
                if column in ROUNDED:
                    close = pytest.approx(np.array(others[column], float), rel=1e-4, abs=1e-6)
                    assert np.array(values, float) == close
                else:
                    assert values == others[column]


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}
