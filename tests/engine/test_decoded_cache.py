"""Decoded images on disk: the same bits, written once, whoever is killed or changes what."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from jaxdissect.engine.batching import Joined, Stored, batches
from jaxdissect.engine.data import cached, decoded_cache, image_folder
from jaxdissect.engine.data.decoded_cache import decoded_source
from jaxdissect.engine.identity import content
from jaxdissect.engine.image_bytes import Bytes


@pytest.fixture
def photographs(tmp_path):
    """Seven images with label maps, the last of which has a label beyond bytes."""
    random = np.random.default_rng(0)
    for place in range(7):
        pixels = random.integers(0, 256, (9, 8, 3), dtype=np.uint8)
        labels = random.integers(0, 5, (9, 8), dtype=np.uint16)
        labels[0, 0] = 300 if place == 6 else 4
        for folder, array in (("photographs", pixels), ("masks", labels)):
            file = tmp_path / folder / f"{place}.png"
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(array).save(file)
    return image_folder(tmp_path / "photographs", masks=[tmp_path / "masks"], image_size=(6, 6))


def assert_same(found, expected):
    assert len(found) == len(expected)
    for place in range(len(expected)):
        for name, array in expected[place].items():
            np.testing.assert_array_equal(found[place][name], array, strict=True)


@pytest.mark.parametrize("together", [1, 2**24])
def test_examples_are_the_same_bit_for_bit(photographs, tmp_path, monkeypatch, together):
    monkeypatch.setattr(decoded_cache, "_TOGETHER", together)  # bytes decoded between two writes
    found = cached(photographs, tmp_path / "decoded")
    assert_same(found, photographs)
    assert_same(pickle.loads(pickle.dumps(found)), photographs)
    for own, theirs in zip(batches(found, 3), batches(photographs, 3), strict=True):
        for name in theirs:
            np.testing.assert_array_equal(own[name], theirs[name], strict=True)
    block = found.read_as_bytes(0, 2)
    assert isinstance(block["image"], Bytes) and not isinstance(block["labels"], Bytes)
    assert content(found) == content(photographs) and decoded_source(found) is photographs
    assert content(Joined(found)) == content(Joined(photographs))
    with pytest.raises(IndexError):
        found[7]


def test_all_kinds_of_arrays_are_kept(tmp_path):
    source = [{"x": np.float64(i), "y": np.full((2, 0), i), "z": i > 1, "t": "a"} for i in range(3)]
    found = cached(source, tmp_path)
    assert_same(found, Stored({name: np.array([s[name] for s in source]) for name in "xyz"}))


def test_images_are_decoded_once(photographs, tmp_path, monkeypatch):
    cached(photographs, tmp_path / "decoded")
    monkeypatch.setattr(type(photographs), "item_as_bytes", lambda *_: 1 / 0)
    again = cached(photographs, tmp_path / "decoded")
    assert next(batches(again, 7))["image"].shape == (7, 6, 6, 3)


def test_what_changed_is_decoded_anew(photographs, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    before = cached(photographs, tmp_path / "decoded")
    first = before[0]["image"]
    Image.new("RGB", (8, 9), "red").save(photographs.image_files[0])
    after = cached(photographs, tmp_path / "decoded")
    assert_same(after, photographs)
    np.testing.assert_array_equal(before[0]["image"], first)  # of a process that still reads
    assert "holds what was decoded of other or changed images: renewed" in caplog.text
    assert [path.name for path in (tmp_path / "decoded").iterdir() if path.is_dir()] == [
        after.folder.name
    ]


@pytest.mark.parametrize("damage", ["truncated", "missing", "marker"])
def test_damaged_files_are_decoded_anew(photographs, tmp_path, damage):
    folder = cached(photographs, tmp_path / "decoded").folder
    file = folder / ("complete.json" if damage == "marker" else "0.bin")
    if damage == "missing":
        file.unlink()
    else:
        os.truncate(file, 5)
    assert_same(cached(photographs, tmp_path / "decoded"), photographs)


def test_what_fails_leaves_nothing(photographs, tmp_path, monkeypatch):
    keep = tmp_path / "decoded" / "of the user" / "complete.json"
    keep.parent.mkdir(parents=True)
    keep.write_text("")

    def stop(description, done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(photographs, tmp_path / "decoded", progress=stop)
    assert sorted(path.name for path in (tmp_path / "decoded").iterdir()) == [
        ".lock",
        "of the user",
    ]
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="has 0.0 GiB free, and 7 decoded examples take"):
        cached(photographs, tmp_path / "decoded")
    monkeypatch.undo()
    (tmp_path / "decoded" / ".unfinished-1").mkdir()  # of a process that was killed
    cached(photographs, tmp_path / "decoded")
    assert not (tmp_path / "decoded" / ".unfinished-1").exists() and keep.exists()
    with pytest.raises(ValueError, match="`source` has no examples"):
        cached([], tmp_path / "decoded")


def test_examples_of_other_shapes_are_named(tmp_path):
    sizes = [{"x": np.zeros(2)}, {"x": np.zeros(3)}]
    with pytest.raises(ValueError, match=r"'x' of example 1 has shape \(3,\)"):
        cached(sizes, tmp_path)


KILLED = """
import sys
from jaxdissect.engine.data import cached, decoded_cache, image_folder
print("begins", flush=True)
cached(image_folder(sys.argv[1], image_size=(400, 400)), sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_process_costs_nothing(photographs, tmp_path):
    """Two at a time, killed at several moments; what is found then is whole."""
    folder = str(photographs.image_files[0].parent)
    source = image_folder(folder, image_size=(400, 400))
    for moment in (0.0, 0.01, 0.03, 0.1):
        command = [sys.executable, "-c", KILLED, folder, str(tmp_path / "decoded")]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for process in both:
            assert process.stdout is not None
            process.stdout.readline()
        time.sleep(moment)
        for process in both:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert_same(cached(source, tmp_path / "decoded"), source)
    assert len([p for p in (tmp_path / "decoded").iterdir() if p.is_dir()]) == 1
