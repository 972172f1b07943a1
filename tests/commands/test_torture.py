"""Commands that are killed wherever they are resume, on other devices, to the same results."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from support.class_folders import write_class_folders

TESTS = pathlib.Path(__file__).resolve().parents[1]
KILLS = 20

COMMANDS = {
    "ablate": {
        "words": [
            *("ablate", "--layer", "conv", "--sizes", "1", "2"),
            *("--rank-images", "{place}/rank", "--images", "{place}/measure"),
        ],
        "files": ["units.csv", "sets.csv", "classes.csv", "rates.csv"],
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_commands_resume(command, tmp_path):
    write_class_folders(tmp_path)
    words = [word.format(place=tmp_path) for word in COMMANDS[command]["words"]]
    words += ["--model", f"{tmp_path / 'tiny.py'}:build", "--batch-size", "3", "--quiet"]
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
    assert len(set(killed["saved"])) > 3  # in different parts
    (expected,) = map(pathlib.Path, whole["results"])
    for found in map(pathlib.Path, killed["results"]):
        for name in COMMANDS[command]["files"]:
            assert (found / name).read_bytes() == (expected / name).read_bytes()
