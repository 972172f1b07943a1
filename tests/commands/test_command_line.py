"""The list of commands: true, complete, and printed before anything heavy is imported."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from jaxdissect.commands.main import COMMANDS, main

MEASURED = """
import atexit, resource, sys
from jaxdissect.commands.main import main

@atexit.register
def tell():
    used = resource.getrusage(resource.RUSAGE_SELF)
    heavy = sorted({"jax", "numpy", "flax", "matplotlib"} & set(sys.modules))
    print(used.ru_utime + used.ru_stime, *heavy, file=sys.stderr)

main(["--help"])
"""


def printed(capsys, *arguments, code=0):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert (stop.value.code or 0) == code
    return capsys.readouterr()


def test_the_list_says_what_commands_say_of_themselves():
    for name, (options, summary) in COMMANDS.items():
        described = getattr(import_module(f"jaxdissect.commands.{name}.command"), options)
        first, *_ = inspect.cleandoc(described.__doc__).split("\n\n")
        assert summary == first.replace("\n", " "), name


def test_the_list_fits_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, _, shown = printed(capsys, "--help").out.partition("\n")  # the usage is one line
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.replace("│", " ").split())
    assert [
        name for name, (_, summary) in COMMANDS.items() if f"{name} {summary}" not in words
    ] == []


def test_the_list_is_printed_at_once():
    run = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True)
    seconds, *heavy = run.stderr.split()
    assert not heavy and float(seconds) < 1.5
    assert all(name in run.stdout for name in COMMANDS)


def test_a_wrong_command_is_told_the_right_ones(capsys):
    refused = printed(capsys, "disect", code=2)
    assert all(name in refused.err for name in COMMANDS)


def test_options_before_the_command_are_named_alone(capsys):
    refused = printed(capsys, "--quiet", "demo", "--out", "results", code=2)
    assert "--quiet" in refused.err and "--out" not in refused.err.split("Unrecognized")[1]


def test_shells_complete_the_options_of_every_command(capsys):
    script = printed(capsys, "--tyro-print-completion", "bash").out
    assert all(name in script for name in COMMANDS)
    assert "--num-latents" in script and "--checkpoints" in script and "artifacts" in script
