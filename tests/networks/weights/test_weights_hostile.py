"""A few hundred bytes must neither hang nor fill memory, nor reach the terminal as they are."""

import json
import os
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
from support.pytorch_files import Call, state_dict, tensor, write_legacy, write_zip

from jaxdissect.networks.loading import load_network
from jaxdissect.networks.models.residual import RESNET50, sizes_in
from jaxdissect.networks.weights import files
from jaxdissect.networks.weights.files import open_weights, read_weights

WEIGHT = np.arange(4, dtype=np.float32)
CONTAINERS = (write_zip, write_legacy)


def refused(path):
    with pytest.raises(ValueError, match=path.name) as problem:
        read_weights(path)
    message = str(problem.value)
    assert len(message) < 1000 and message.isprintable()
    return message


def doubled(levels=60):
    """A tuple that is short in a file, and endless for whoever goes through all of it."""
    nested = ("a",)
    for _ in range(levels):
        nested = (nested, nested)
    return nested


def as_pickled(value):
    """A value whose parts are shared in the file as they are here."""
    return pickle.dumps(value, 2)[2:-1]


def write_records(path, body):
    """Write the archive whose records are some bytes of pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")


def test_endless_tuples_are_neither_hashed_nor_printed(tmp_path):
    path, endless = tmp_path / "a.pth", as_pickled(doubled())
    write_records(path, b"}" + endless + b"K\x01s")  # a key
    assert "a key [tuple, tuple]: keys must be texts" in refused(path)
    write_records(path, endless + b"Q")  # a description of a storage
    assert "a record [tuple, tuple] that is no storage" in refused(path)
    write_records(path, b"}X\x01\x00\x00\x00a" + endless + b"s")
    assert "no arrays are: a" in refused(path)
    write_records(path, b"ccollections\nOrderedDict\n(](" + endless + b"K\x01\x86etR")
    assert "keys must be texts" in refused(path)
    for write in CONTAINERS:
        for place in range(3):
            arguments = [0, (4,), (1,)]
            arguments[place] = doubled()
            write(path, {"a": Call("torch._utils", "_rebuild_tensor", WEIGHT, *arguments)})
            assert "damaged: a tensor of shape" in refused(path)


@pytest.mark.parametrize(
    "shape", [(2**59,) * 60, (2**62,), (1,) * 1000, (10**400,), (True, 4), (4.0,)]
)
def test_shapes_are_few_small_plain_integers(shape, tmp_path):
    for write in CONTAINERS:
        call = Call("torch._utils", "_rebuild_tensor", WEIGHT, 0, shape, (0,) * len(shape))
        write(tmp_path / "a.pth", {"a": call})
        refused(tmp_path / "a.pth")


def test_names_are_texts(tmp_path):
    for key in (1, None, 1.5, b"a", ("a",), 10**400):
        write_zip(tmp_path / "a.pth", {key: tensor(WEIGHT)})
        refused(tmp_path / "a.pth")
    # Numbers name parameters in what optimisers keep beside the weights.
    optimizer = {"state": {0: {"step": 3}}, "param_groups": [{"params": [0]}]}
    write_zip(tmp_path / "a.pth", {"model": state_dict({"a": WEIGHT}), "optimizer": optimizer})
    assert list(read_weights(tmp_path / "a.pth")) == ["a"]


@pytest.mark.parametrize("write", CONTAINERS)
def test_one_storage_viewed_many_times_is_not_copied_as_often(write, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "_MOST_BEYOND", 0)
    block = np.arange(10_000, dtype=np.float32)
    record = tensor(block)
    write(tmp_path / "a.pth", {"a": record, "b": record})  # as tied weights are
    tied = read_weights(tmp_path / "a.pth")
    np.testing.assert_array_equal(tied["a"], block)
    tied["a"][:] = 0
    np.testing.assert_array_equal(tied["b"], block)
    write(tmp_path / "a.pth", {f"{i}": record for i in range(500)})
    assert "its 500 arrays take 19 MiB" in refused(tmp_path / "a.pth")
    with pytest.raises(ValueError, match="500 unexpected") as problem:
        load_network("alexnet", tmp_path / "a.pth")
    assert "  ... and 460 more" in str(problem.value) and len(str(problem.value)) < 10_000


def test_compressed_arrays_are_unpacked_up_to_a_bound(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "_MOST_BEYOND", 0)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(3_000_000, np.float32))
    assert "take 11 MiB" in refused(path)
    np.savez(path, a=np.zeros(3000, np.float32))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"(3000,), }   ", b"(3000000000,)"[:13]))
    refused(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", b"")
    assert "compressed in a way" in refused(path)


def safetensors(path, header, *, numbers=b"\0" * 16, size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + numbers)


def entry(kind="F32", shape=(4,), begin=0, end=16):
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(), "b": entry()},
        {"a": entry(shape=(2**31, 2**31, 2**31))},
        {"a": entry(shape=(10**12,))},
        {"a": entry(end=2**63)},
        {"a": entry(kind="F4", shape=(32,))},
        b'{"a": %b, "a": %b}' % ((json.dumps(entry()).encode(),) * 2),
        b"[" * 100_000,
    ],
)
def test_headers_of_safetensors_that_lie_are_refused(header, tmp_path):
    safetensors(tmp_path / "a.safetensors", header)
    refused(tmp_path / "a.safetensors")
    safetensors(tmp_path / "a.safetensors", {"a": entry()}, size=2**60)
    refused(tmp_path / "a.safetensors")


def test_parts_of_archives_that_overlap_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    write_zip(path, state_dict({"a": np.zeros(5000, np.float32)}))
    with zipfile.ZipFile(path, "a") as archive:
        place = archive.getinfo("archive/data/0")
        for number in range(1, 50):
            copy = zipfile.ZipInfo(f"archive/data/{number}")
            copy.header_offset, copy.CRC = place.header_offset, place.CRC
            copy.file_size = copy.compress_size = place.file_size
            archive.filelist.append(copy)
        archive.comment = b"changed"  # so that the list of parts is written again
    assert "parts overlap" in refused(path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "npz"])
def test_only_regular_files_are_read(suffix, tmp_path):
    fifo, device, folder = (tmp_path / f"{name}.{suffix}" for name in ("fifo", "device", "folder"))
    os.mkfifo(fifo)
    device.symlink_to("/dev/zero")
    folder.mkdir()
    for path, kind in ((fifo, "a FIFO"), (device, "a device"), (folder, "a folder")):
        assert f"is {kind}, and must be a file of weights" in refused(path)


def test_names_of_a_file_do_not_reach_the_terminal_as_they_are(tmp_path):
    name = "\x1b[2J\r\u202eevil" * 100
    write_zip(tmp_path / "a.pth", {name: 1})
    assert r"no arrays are: \x1b[2J\r\u202eevil" in refused(tmp_path / "a.pth")
    write_zip(tmp_path / "a.pth", {"a": Call("\x1b[2J", "evil")})
    assert r"it refers to \x1b[2J.evil" in refused(tmp_path / "a.pth")
    arrays: Any = {name: WEIGHT, "b.c": WEIGHT}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError) as problem:
        load_network("vgg16", tmp_path / "a.npz")
    assert all(line.isprintable() for line in str(problem.value).splitlines())


def test_many_names_do_not_build_a_deep_network(tmp_path):
    names = [f"encoder.layer1.{number}.x.weight" for number in range(5000)] + [
        "encoder.layer4.1.bias"
    ]
    shapes = {name: (1,) for name in names}
    assert sizes_in(shapes, RESNET50).depths == (50, 4, 6, 1)
    names = ["features.0.conv.weight", "features.99999999.x"]
    arrays: Any = dict.fromkeys(names, WEIGHT)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match="progressive GAN"):
        load_network("proggan", tmp_path / "a.npz")


def test_nothing_is_read_before_it_is_used(tmp_path):
    path = tmp_path / "a.safetensors"
    header = {"a": entry(shape=(1 << 16,), end=4 << 16)}
    safetensors(path, header, numbers=bytes(4 << 16))
    with open_weights(path) as stored:
        assert stored["a"].shape == (1 << 16,) and stored["a"].dtype == np.float32
        assert stored["a"].nbytes == 4 << 16 and stored["a"].ndim == 1
        os.truncate(path, os.stat(path).st_size - 1)
        with pytest.raises(ValueError, match="a.safetensors is truncated"):
            np.asarray(stored["a"])
