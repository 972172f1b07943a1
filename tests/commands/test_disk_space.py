"""Disks that are full: refused before the work, or named in one line after it."""

import errno
import shutil
from collections import namedtuple

import pytest
from support import command_line
from support.class_folders import write_class_folders

from jaxdissect.commands.main import main
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output import disk_space

Usage = namedtuple("Usage", "total used free")


def full(number=errno.ENOSPC, file=None):
    return OSError(number, "No space left on device", file)


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch):
    options = TableOptions(out=tmp_path / "new" / "out")
    options.check_free()
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 90, 10))
    with pytest.raises(OSError, match=f"no space is left .* in {tmp_path}, where `out` lies"):
        options.check_free()


def test_a_quota_is_noticed_before_the_work(tmp_path, monkeypatch):
    def refuse(**_):
        raise full(errno.EDQUOT)

    monkeypatch.setattr(disk_space.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match=f"in {tmp_path}, where `checkpoints` lies"):
        disk_space.check_space("checkpoints", tmp_path)


def test_the_folder_is_named_wherever_the_problem_came_from(tmp_path):
    options = TableOptions(out=tmp_path / "out")
    hidden = tmp_path / ".out.1234"

    def explain(problem, options):
        return disk_space.explain_full_disk(problem, options) or ""

    assert f"in {tmp_path}, where `out` lies" in explain(full(file=str(hidden / "a.csv")), options)
    assert "in /elsewhere: free some" in explain(full(file="/elsewhere/a"), options)
    assert "no space is left" in explain(full(), options)  # by a writer that names no file
    wrapped = ValueError("tensorstore: write failed [OS error 28: No space left on device]")
    assert "no space is left" in explain(wrapped, options)
    try:
        try:
            raise full(file=str(hidden / "b"))
        except OSError as problem:
            raise RuntimeError("cannot save") from problem
    except RuntimeError as problem:
        assert f"in {tmp_path}, where" in explain(problem, options)
    assert not explain(OSError(errno.ENOENT, "no such file"), options)
    assert not explain(RuntimeError("RESOURCE_EXHAUSTED: out of memory"), options)


def test_a_command_ends_in_one_line(tmp_path, monkeypatch, capsys):
    write_class_folders(tmp_path)

    def fail(*_, **__):
        raise full()

    monkeypatch.setattr("jaxdissect.commands.options.output.save_figure", fail)
    options = {
        "out": tmp_path / "results",
        "model": f"{tmp_path / 'tiny.py'}:build",
        "layer": "conv",
        "rank_images": tmp_path / "rank",
        "images": tmp_path / "measure",
    }
    assert main(command_line.words("detect", options=options)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("jaxdissect: error: no space is left on the disk")
    assert not [path for path in tmp_path.iterdir() if "results" in path.name]
