"""Interrupted commands end, with the code of the signal and one line; killed ones are swept up."""

import signal
import subprocess
import sys

import pytest

from jaxdissect.commands import interruption, main
from jaxdissect.commands.output.folder import new_folder, remove_unfinished

# The module alone, without the seconds that importing the package takes.
LOAD = f"""
import importlib.util, os, signal, sys, time
found = importlib.util.spec_from_file_location("interruption", {interruption.__file__!r})
module = importlib.util.module_from_spec(found)
found.loader.exec_module(module)
module.GRACE = 0.1
"""
IN_IMPORTS = f"""{LOAD}
module.end_when_interrupted()
try:
    os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(20)
except BaseException:
    pass  # as where Python loses an exception
print("went on")
"""
IN_WORK = f"""{LOAD}
module.raise_when_interrupted(lambda: print("cleaned", flush=True))
while True:
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(20)
    except module.Interrupted as problem:
        assert problem.number == int(sys.argv[1])
        print("raised", flush=True)
        {{}}
"""

LOST = f"""{LOAD}
module.GRACE = 50
class Losing:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(20)
module.raise_when_interrupted(lambda: print("cleaned", flush=True))
try:
    losing = Losing()
    del losing
    time.sleep(20)
except module.Interrupted as problem:
    print("raised", flush=True)
    time.sleep(0.3)
    module.end(problem.number)
"""


HELD = f"""{LOAD}
module.raise_when_interrupted(lambda: print("cleaned", flush=True))
try:
    with module.until_saved() as is_asked:
        assert not is_asked()
        os.kill(os.getpid(), int(sys.argv[1]))
        if {{}}:
            os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(0.5)  # longer than commands that save nothing have
        print("saved", is_asked(), module.held_signal(), flush=True)
except module.Interrupted as problem:
    time.sleep({{}})
    module.end(problem.number, more=module.RESUMES)
"""


@pytest.mark.parametrize(("number", "word"), interruption.SIGNALS.items())
def test_signals_wait_until_all_is_saved(number, word):
    run = started(HELD.format(False, 0), number)
    assert run.returncode == 128 + number
    assert run.stderr == f"jaxdissect: {word}; the same command resumes\n"
    assert run.stdout == f"saved True {int(number)}\n"


def test_the_second_signal_does_not_wait():
    run = started(HELD.format(True, 20), signal.SIGTERM)
    assert run.returncode == 143 and run.stderr == "jaxdissect: terminated\n"
    assert run.stdout == "cleaned\n"


def started(code, number):
    command = [sys.executable, "-c", code, str(int(number))]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("number", "word"), interruption.SIGNALS.items())
@pytest.mark.parametrize(
    ("code", "output"),
    [
        (IN_IMPORTS, ""),
        (IN_WORK.format("time.sleep(20)"), "raised\ncleaned\n"),
        (IN_WORK.format("module.end(problem.number)"), "raised\n"),
        pytest.param(LOST, "raised\n", marks=pytest.mark.slow),
    ],
    ids=["imports", "swallowed", "raised", "lost"],
)
def test_signals_end_the_process(number, word, code, output):
    run = started(code, number)
    assert run.returncode == 128 + number
    assert run.stderr == f"jaxdissect: {word}\n" and run.stdout == output


def test_interrupted_commands_return_the_code(monkeypatch, capsys):
    class Options:
        def run(self):
            raise raised

    monkeypatch.setattr(main, "_parse", lambda arguments: Options())
    raised = KeyboardInterrupt()
    assert main.main(["convert"]) == 130
    assert capsys.readouterr().err == "jaxdissect: interrupted\n"
    raised = interruption.Interrupted(signal.SIGTERM)
    assert main.main(["convert"]) == 143


def test_missing_devices_are_named(monkeypatch, capsys):
    class Options:
        def run(self):
            raise AssertionError

    monkeypatch.setattr(main, "_parse", lambda arguments: Options())
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with pytest.raises(AssertionError):
        main.main(["convert"])
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")

    def no_devices():
        raise RuntimeError("Unable to initialize backend 'cuda'")

    monkeypatch.setattr("jax.devices", no_devices)
    assert main.main(["convert"]) == 2
    message = capsys.readouterr().err
    assert "`JAX_PLATFORMS` (='cuda'): JAX finds no such device (Unable to" in message
    assert message.count("\n") == 1


def test_folders_of_killed_runs_are_removed_by_the_next(tmp_path):
    out = tmp_path / "out"
    left, other, strange = (
        tmp_path / name for name in (".out.0123abcd", ".others.0123abcd", ".out.notes")
    )
    for folder in (left, other, strange):
        folder.mkdir()
        (folder / "file").touch()
    with new_folder(out, overwrite=False) as folder:
        assert not left.exists() and other.exists() and strange.exists()
        with new_folder(out, overwrite=False) as second:  # at the same time: neither disturbs
            assert folder.is_dir() and second != folder
            second.joinpath("dissection.json").touch()
        (folder / "dissection.json").touch()
        assert (out / "dissection.json").is_file()
        out.rename(tmp_path / "first")
    assert (out / "dissection.json").is_file()

    # Killed between the two renames that replace results.
    out.rename(tmp_path / ".out.89abcdef.old")
    (tmp_path / ".out.89abcdef").mkdir()
    with pytest.raises(KeyboardInterrupt), new_folder(out, overwrite=True):
        assert (out / "dissection.json").is_file()
        raise KeyboardInterrupt
    assert (out / "dissection.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {
        *("out", "first", ".others.0123abcd", ".out.notes")
    }
    with pytest.raises(FileNotFoundError), new_folder(out, overwrite=True) as folder:
        remove_unfinished()
        assert not folder.exists() and out.exists()
    assert (out / "dissection.json").is_file()
