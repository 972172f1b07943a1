"""Damaged checkpoints, and those of other computations, end in one line with the way out."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from support.damaged_files import DAMAGE, flipped

from jaxdissect.engine.checkpoint_folder import claim
from jaxdissect.engine.checkpoints import Checkpoints
from jaxdissect.engine.saved_files import read_json, write_json

SETTINGS = {"layer": "conv1", "replacement": "sha256:01", "computation": "sha256:02"}
STATE = {"a": jnp.arange(50), "b": jnp.ones((2, 3))}


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


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_named(folder, damage):
    files = [path for path in (folder / "states" / "4").rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in (*files, folder / "checksums" / "4.json", folder / "identity.json"):
        content = path.read_bytes()
        path.write_bytes(damage(content))
        assert f"{path} is damaged" in refusal(folder)
        path.write_bytes(content)


def test_every_byte_of_the_identity_counts(folder):
    path = folder / "identity.json"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(flipped(content, place))
        assert str(path) in refusal(folder)


@pytest.mark.parametrize("name", ["states/4/state/manifest.ocdbt", "checksums/2.json"])
def test_missing_files_are_named(folder, name):
    (folder / name).unlink()
    assert f"{folder / name} is damaged (it is missing)" in refusal(folder)


@pytest.mark.parametrize("name", ["states/4/_CHECKPOINT_METADATA", "identity.json"])
def test_folders_in_the_place_of_files_are_named(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    assert f"{folder / name} is damaged (it is " in refusal(folder)


def test_states_without_an_identity_are_refused(folder):
    (folder / "identity.json").unlink()
    assert f"{folder / 'identity.json'} is damaged (it is missing)" in refusal(folder)
    (folder / "settings.json").write_text("{}")
    assert "an earlier version of jaxdissect" in refusal(folder)


def test_the_state_before_a_damaged_one_is_offered(folder):
    path = folder / "states" / "4" / "_CHECKPOINT_METADATA"
    path.write_bytes(b"")
    assert f"delete {path.parent} to resume from step 2, or" in refusal(folder)
    shutil.rmtree(path.parent)
    with Checkpoints(folder, SETTINGS) as saved:
        assert saved.latest == 2
        found = saved.load(2, STATE)
        saved.save(4, found)
        assert saved.latest == 4
    np.testing.assert_array_equal(found["a"], STATE["a"])


def test_a_state_that_was_never_complete_does_not_count(folder):
    (folder / "checksums" / "4.json").unlink()
    with Checkpoints(folder, SETTINGS) as saved:
        assert saved.latest == 2
        saved.save(4, STATE)
    with Checkpoints(folder, SETTINGS) as saved:
        assert saved.latest == 4


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
