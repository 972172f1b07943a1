"""Damaged checkpoints, and those of other computations, end in one line with the way out."""

import errno
import json
import os
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from support.damaged_files import DAMAGE, flipped

from jaxdissect.engine import checkpoints
from jaxdissect.engine.checkpoint_folder import claim
from jaxdissect.engine.checkpoints import Checkpoints
from jaxdissect.engine.saved_files import read_json, write_json

SETTINGS = {"layer": "conv1", "replacement": "sha256:01", "computation": "sha256:02"}
STATE = {
    "a": jnp.arange(50),
    "b": jnp.ones((2, 3)),
    "c": jnp.ones(4, jnp.bfloat16),
    "d": np.zeros(0),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints") / "folder"
    with Checkpoints(folder, SETTINGS) as saved:
        for step in (2, 4):
            saved.save(step, STATE)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "folder")


def refusal(folder, settings=SETTINGS):
    with pytest.raises(ValueError) as caught:
        Checkpoints(folder, settings)
    message = str(caught.value)
    assert "\n" not in message and f"delete {folder} to begin again" in message
    return message


def test_two_runs_in_one_folder_are_refused(folder):
    with Checkpoints(folder, SETTINGS), pytest.raises(ValueError, match="in use by another run"):
        Checkpoints(folder, SETTINGS)
    with Checkpoints(folder, SETTINGS) as saved:
        assert saved.latest == 4


@pytest.fixture
def last_alone(folder):
    """The folder without the state before the last one."""
    (folder / "checksums" / "2.json").unlink()
    shutil.rmtree(folder / "states" / "2")
    return folder


def files_of(folder, step):
    state = folder / "states" / str(step)
    files = [path for path in state.rglob("*") if path.is_file() and path.stat().st_size]
    assert files
    return *files, folder / "checksums" / f"{step}.json"


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_named(last_alone, damage):
    for path in (*files_of(last_alone, 4), last_alone / "identity.json"):
        content = path.read_bytes()
        path.write_bytes(damage(content))
        assert f"{path} is damaged" in refusal(last_alone)
        path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_state_before_a_damaged_one_counts(folder, damage):
    path = files_of(folder, 4)[list(DAMAGE).index(damage) % 2]
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.warns(UserWarning) as caught, Checkpoints(folder, SETTINGS) as saved:
        assert saved.latest == 2
        np.testing.assert_array_equal(saved.load(2, STATE)["a"], STATE["a"])
        saved.save(4, STATE)
    (warned,) = caught
    assert str(warned.message).startswith(f"{path} is damaged (")
    assert str(warned.message).endswith("): resuming from step 2 before it")
    with Checkpoints(folder, SETTINGS) as saved:
        assert saved.latest == 4


def test_every_byte_of_the_identity_counts(folder):
    path = folder / "identity.json"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(flipped(content, place))
        assert str(path) in refusal(folder)


def test_missing_files_are_named(last_alone):
    path = next((last_alone / "states" / "4").rglob("arrays.npz"))
    path.unlink()
    assert f"{path} is damaged (it is missing)" in refusal(last_alone)


@pytest.mark.parametrize("name", ["states/4/arrays.npz", "identity.json"])
def test_folders_in_the_place_of_files_are_named(last_alone, name):
    (last_alone / name).unlink()
    (last_alone / name).mkdir()
    assert f"{last_alone / name} is damaged (it is " in refusal(last_alone)


def test_states_without_an_identity_are_refused(folder):
    (folder / "identity.json").unlink()
    assert f"{folder / 'identity.json'} is damaged (it is missing)" in refusal(folder)
    (folder / "settings.json").write_text("{}")
    assert "an earlier version of jaxdissect" in refusal(folder)


class Ended(BaseException):
    """The process has ended, or the disk is full."""


WRITES = {
    "before": (checkpoints, "_write_arrays", lambda path: None),
    "arrays": (np, "savez", lambda path: path.write_bytes(b"PK")),
    "sync": (os, "fsync", lambda path: None),
    "checksums": (checkpoints, "write_json", lambda path: path.write_text("{")),
    "rename": (os, "replace", lambda path: None),
    "removal": (Path, "unlink", lambda path: None),
    "removal of a state": (shutil, "rmtree", lambda path: (path / "arrays.npz").unlink()),
}
"""What writes, and what it may leave behind."""


@pytest.mark.parametrize("error", [Ended, OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("place", WRITES)
def test_a_save_may_end_anywhere(folder, place, error, monkeypatch):
    owner, name, leave = WRITES[place]

    def stop(first, *arguments, **options):
        states = folder / "states"
        left = {
            "arrays": states / "6" / "arrays.npz",
            "checksums": folder / "checksums" / ".6.json.123.part",
            "removal of a state": states / "2",
        }
        leave(left.get(place))
        raise error

    with monkeypatch.context() as patch, Checkpoints(folder, SETTINGS) as saved:
        patch.setattr(owner, name, stop)
        with pytest.raises(type(error) if isinstance(error, OSError) else error):
            saved.save(6, {**STATE, "a": -STATE["a"]})
    with Checkpoints(folder, SETTINGS) as saved:
        complete = place.startswith("removal")
        assert saved.latest == (6 if complete else 4)
        assert saved.latest is not None
        found = saved.load(saved.latest, STATE)["a"]
        np.testing.assert_array_equal(found, -STATE["a"] if complete else STATE["a"])
        saved.save(8, STATE)
    with Checkpoints(folder, SETTINGS) as saved:
        assert saved.latest == 8
    assert len(list((folder / "states").iterdir())) == 2


def test_what_differs_is_named(folder):
    def differing(**changes):
        message = refusal(folder, {**SETTINGS, **changes})
        return message.removeprefix(f"{folder} holds a computation with other settings: ")

    given = differing(layer="conv2", computation="sha256:03")
    assert given.startswith("layer is 'conv1' there and 'conv2' here; give another folder, or")
    given = differing(replacement="sha256:03", computation="sha256:03")
    assert given.startswith("replacement is not the same; give")
    assert differing(computation="sha256:03").startswith("computation is not the same; give")
    assert differing(inputs="sha256:04").startswith("inputs is None there and 'sha256:04' here")


def test_a_folder_without_a_state_is_free(tmp_path):
    for settings in (SETTINGS, {**SETTINGS, "layer": "conv2"}):
        with Checkpoints(tmp_path, settings) as saved:
            assert saved.latest is None
    with Checkpoints(tmp_path, settings) as saved:
        saved.save(1, STATE)
    assert "layer is 'conv2' there and 'conv1' here" in refusal(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(ValueError, match=f"{path} is no folder"):
        claim(path, SETTINGS)


def test_json_with_a_checksum(tmp_path):
    path = tmp_path / "a.json"
    content = {"a": [1, 2.5, None, "é"], "b": {"c": float("inf")}, "format": 2}
    write_json(path, content)
    assert read_json(path, way_out="") == content
    plain = json.loads(path.read_text())
    path.write_text(json.dumps(plain, sort_keys=True))
    assert read_json(path, way_out="") == content
    plain.pop("sha256")
    path.write_text(json.dumps(plain))
    assert read_json(path, way_out="", without_checksum=(1, 2)) == content
    with pytest.raises(ValueError, match=r"a.json is damaged \(its checksum .* match\): read on"):
        read_json(path, way_out="read on")
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="it is no JSON"):
        read_json(path, way_out="")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
