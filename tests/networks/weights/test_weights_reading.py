"""Files of weights: every layout read equal, and everything else refused with nothing executed."""

import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
from real.paths import real_folder
from safetensors.numpy import save_file
from support.pytorch_files import Call, Named, state_dict, tensor, write_legacy, write_zip

from jaxdissect.networks.weights.files import read_weights, sha256, write_weights

ARRAYS = {
    "features.conv1.weight": np.random.RandomState(0).standard_normal((4, 3, 3, 3)).astype("f4"),
    "features.conv1.bias": np.arange(4, dtype=np.float32),
    "bn.num_batches_tracked": np.array(7),
    "half": np.linspace(0, 1, 5).astype(np.float16),
    "brain": np.linspace(-2, 2, 6).reshape(2, 3).astype(ml_dtypes.bfloat16),
    "empty": np.zeros((0, 3), np.float32),
}


def checkpoint():
    return {"epoch": 90, "arch": "vgg16", "best": 0.5, "state_dict": state_dict(ARRAYS, "module.")}


LAYOUTS = {
    "zip.pth": lambda path: write_zip(path, state_dict(ARRAYS)),
    "big_endian.pth": lambda path: write_zip(path, state_dict(ARRAYS), order=b"big"),
    "legacy.pth": lambda path: write_legacy(path, state_dict(ARRAYS)),
    "checkpoint.pth.tar": lambda path: write_legacy(path, checkpoint()),
    "zip_checkpoint.pth.tar": lambda path: write_zip(path, checkpoint()),
    "native.safetensors": lambda path: write_weights(path, ARRAYS, metadata={}),
    "numpy.npz": lambda path: np.savez(
        path, **{name: array for name, array in ARRAYS.items() if name != "brain"}
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_weights_of_every_layout_are_read_equal(name, tmp_path):
    LAYOUTS[name](tmp_path / name)
    found = read_weights(tmp_path / name)
    expected = {k: a for k, a in ARRAYS.items() if not (k == "brain" and name.endswith("npz"))}
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert found[key].dtype == array.dtype and found[key].shape == array.shape
        assert found[key].tobytes() == array.tobytes(), key


def test_weights_written_by_torch_are_read_equal(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(a.astype(np.float32)) for name, a in ARRAYS.items()}
    tensors["transposed"] = torch.randn(4, 5).t()
    tensors["slice"] = torch.randn(10)[3:6]
    tensors["shared"] = tensors["slice"][1:]
    tensors["parameter"] = torch.nn.Parameter(torch.randn(3))
    for name, options in {
        "zip.pth": {},
        "legacy.pth": {"_use_new_zipfile_serialization": False},
    }.items():
        torch.save(tensors, tmp_path / name, **options)
        found = read_weights(tmp_path / name)
        assert found.keys() == tensors.keys()
        for key, value in tensors.items():
            np.testing.assert_array_equal(found[key], value.detach().numpy(), err_msg=key)


def test_real_weights_equal_their_npz():
    folder = real_folder("segmenter_espnetv2_voc")
    pth, npz = (
        read_weights(folder / f"espnetv2_s_2.0_pascal_384x384{suffix}")
        for suffix in (".pth", ".npz")
    )
    assert pth.keys() == npz.keys() and len(pth) > 500
    for name, array in npz.items():
        np.testing.assert_array_equal(pth[name], array, err_msg=name)


def test_weights_round_trip_through_safetensors(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"a.kernel": ARRAYS["half"]}, metadata={"source": "x.pth"})
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(read_weights(path)["a.kernel"], ARRAYS["half"])
    assert b'"source":"x.pth"' in path.read_bytes()
    with pytest.raises(ValueError, match="must end in .safetensors"):
        write_weights(tmp_path / "weights.npz", {}, metadata={})
    assert len(sha256(path)) == 64


def test_what_programs_wrap_around_names_is_taken_off(tmp_path):
    plain = {"conv.weight": ARRAYS["features.conv1.weight"], "conv.bias": np.ones(4, np.float32)}

    def prefixed(prefix):
        return {prefix + name: array for name, array in plain.items()}

    def check(path):
        found = read_weights(path)
        assert list(found) == list(plain)
        for name, array in plain.items():
            np.testing.assert_array_equal(found[name], array)

    prefixes = ("module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "model.")
    for prefix in (*prefixes, "state_dict.", "model_state_dict.module.", "model/"):
        np.savez(tmp_path / "a.npz", **prefixed(prefix))
        save_file(prefixed(prefix), tmp_path / "a.safetensors")
        write_zip(tmp_path / "a.pth", state_dict(plain, prefix))
        for suffix in ("npz", "pth"):
            check(tmp_path / f"a.{suffix}")
        assert read_weights(tmp_path / "a.safetensors").keys() == plain.keys()
    for write in (write_zip, write_legacy):
        for wrapper in ("model", "state_dict", "model_state_dict"):
            inner = state_dict(plain, "module.")
            write(
                tmp_path / "a.pth", {"epoch": 3, wrapper: inner, "best": tensor(np.ones(1, "f4"))}
            )
            check(tmp_path / "a.pth")
            write(tmp_path / "a.pth", {"model": {wrapper: inner}})
            check(tmp_path / "a.pth")
    write_zip(tmp_path / "a.pth", {"state_dict": inner, "model": {"classes": 3}, "ema": inner})
    check(tmp_path / "a.pth")
    write_zip(tmp_path / "a.pth", {"state_dict": inner, "model": state_dict(plain)})
    with pytest.raises(ValueError, match="several dictionaries of weights, state_dict and model"):
        read_weights(tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", **prefixed("state_dict."), epoch=np.array(3))
    check(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **prefixed("model."), fc=np.ones(1))  # a part called "model"
    assert set(read_weights(tmp_path / "a.npz")) == {"model.conv.weight", "model.conv.bias", "fc"}


def test_numbers_of_eight_bits_are_read_or_named(tmp_path):
    numbers = np.arange(8, dtype=np.float32) / 4
    for kind, name in (("float8_e4m3fn", "F8_E4M3"), ("float8_e5m2", "F8_E5M2")):
        array = numbers.astype(getattr(ml_dtypes, kind))
        header = {"a": {"dtype": name, "shape": [2, 4], "data_offsets": [0, 8]}}
        text = json.dumps(header).encode()
        content = struct.pack("<Q", len(text)) + text + array.tobytes()
        (tmp_path / "a.safetensors").write_bytes(content)
        found = read_weights(tmp_path / "a.safetensors")["a"]
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found.astype(np.float32), numbers.reshape(2, 4))

        # PyTorch keeps them as bytes without a type, and names the type with the tensor.
        bytes_of = array.view(np.uint8)
        call = Call(
            "torch._utils", "_rebuild_tensor_v3", bytes_of, 2, (3, 2), (2, 1), False, (),
            Named("torch", kind),
        )  # fmt: skip
        write_zip(tmp_path / "a.pth", {"a": call})
        found = read_weights(tmp_path / "a.pth")["a"]
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found.astype(np.float32), numbers[2:].reshape(3, 2))


# --- hostile and broken files ---------------------------------------------------------------------

MALICE = {
    "system": ("posix", "system"),
    "eval": ("builtins", "eval"),
    "getattr": ("builtins", "getattr"),
    "import": ("importlib", "import_module"),
    "dotted": ("collections", "OrderedDict.fromkeys"),
    "whole model": ("torch.nn.modules.conv", "Conv2d"),
    "torch load": ("torch", "load"),
    "numpy": ("numpy.core.multiarray", "_reconstruct"),
}


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("module, name", MALICE.values(), ids=MALICE)
def test_weights_with_a_malicious_record_are_refused(module, name, write, tmp_path):
    touched = tmp_path / "touched"
    command = f"touch {touched}" if name == "system" else f"open({str(touched)!r}, 'w')"
    write(tmp_path / "evil.pth", {"a": Call(module, name, command)})
    with pytest.raises(ValueError, match=f"refused, because it refers to {module}"):
        read_weights(tmp_path / "evil.pth")
    assert not touched.exists()


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_weights_with_a_malicious_reduce_of_pythons_own_pickle_are_refused(write, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'touched'}",)

    write(tmp_path / "evil.pth", {"a": Evil()})
    with pytest.raises(ValueError, match="refused, because it refers to posix.system"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "touched").exists()


WEIGHT = ARRAYS["features.conv1.bias"]


def test_weights_that_would_take_all_memory_or_time_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    numbered = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT
    numbered += pickle.LONG_BINPUT + struct.pack("<I", 2**31) + pickle.STOP
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + numbered)
    with pytest.raises(ValueError, match="numbers an object 2147483648 without so many"):
        read_weights(path)

    nested = [tensor(WEIGHT)]
    for _ in range(60):
        nested = [nested, nested]
    write_zip(path, {"a": nested})
    with pytest.raises(ValueError, match="no arrays are: a"):
        read_weights(path)

    record = tensor(WEIGHT)
    write_zip(path, {"a": record, "b": record})
    tied = read_weights(path)
    np.testing.assert_array_equal(tied["a"], tied["b"])


def test_records_of_weights_cannot_be_written_to(tmp_path):
    for state in ({"__name__": "x"}, (None, {"__name__": "x"}), (None, {"_function": 1})):
        body = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
        body += pickle.dumps(state, 2)[2:-1] + pickle.BUILD + pickle.STOP
        header = b"".join(
            pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        )
        (tmp_path / "a.pth").write_bytes(header + body)
        with pytest.raises(ValueError, match="refused, because it sets attributes of a record"):
            read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((1, (4,), (1,)), "outside its storage"),
        ((0, (3,), (2,)), "outside its storage"),
        ((0, (2, 4), (0, 1)), r"repeats 4 numbers; save it after `.contiguous\(\)`"),
        ((0, (10**12,), (0,)), "repeats 4 numbers"),
        ((-1, (2,), (1,)), "damaged"),
        ((3, (2,), (-1,)), "damaged"),
        ((0, (-4,), (1,)), "damaged"),
        ((0, (4, 1), (1,)), "damaged"),
        ((0, ("4",), (1,)), "damaged"),
        ((0, 4, 1), "truncated or no file"),
    ],
)
def test_tensors_that_reach_outside_their_weights_are_refused(arguments, message, tmp_path):
    for write in (write_zip, write_legacy):
        write(
            tmp_path / "a.pth", {"a": Call("torch._utils", "_rebuild_tensor", WEIGHT, *arguments)}
        )
        with pytest.raises(ValueError, match=message):
            read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("name", LAYOUTS)
def test_truncated_weights_are_refused(name, tmp_path):
    LAYOUTS[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for size in [0, 1, 2, 3, 40, 200, len(whole) // 2, len(whole) - 1]:
        (tmp_path / name).write_bytes(whole[:size])
        with pytest.raises(ValueError, match=name):
            read_weights(tmp_path / name)


@pytest.mark.slow
def test_flipped_bytes_of_weights_never_escape_as_another_error(tmp_path):
    random = np.random.RandomState(0)
    for name in ("zip.pth", "legacy.pth", "numpy.npz", "native.safetensors"):
        LAYOUTS[name](tmp_path / name)
        whole = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        for _ in range(300):
            broken = whole.copy()
            broken[random.randint(len(whole))] = random.randint(256)
            (tmp_path / name).write_bytes(broken.tobytes())
            try:
                read_weights(tmp_path / name)
            except ValueError as problem:
                assert name in str(problem)


@pytest.mark.parametrize(
    "content, message",
    [
        ({}, "no dictionary of weights, but dict"),
        ([1, 2], "no dictionary of weights, but list"),
        ({"a": tensor(WEIGHT), "lr": 0.1, "name": "x"}, "no arrays are: lr, name"),
        ({"epoch": 3, "state_dict": {}}, "no dictionary of weights"),
    ],
)
def test_files_without_weights_are_refused(content, message, tmp_path):
    write_zip(tmp_path / "a.pth", content)
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path / "a.pth")


def test_other_containers_of_weights_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    write_zip(path, state_dict(ARRAYS), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        read_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="it has 0 data.pkl"):
        read_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
        archive.writestr("archive/constants.pkl", b"")
    with pytest.raises(ValueError, match="TorchScript"):
        read_weights(path)
    write_legacy(path, state_dict(ARRAYS), little_endian=False)
    with pytest.raises(ValueError, match="big-endian"):
        read_weights(path)
    pathlib.Path(path).write_text("hello")
    with pytest.raises(ValueError, match="truncated or no file of PyTorch weights"):
        read_weights(path)
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="no arrays are: readme.txt"):
        read_weights(tmp_path / "text.npz")
    with pytest.raises(OSError, match="there is no folder"):
        write_weights(tmp_path / "absent" / "a.safetensors", {}, metadata={})
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    with pytest.raises(ValueError, match="no npz file of arrays"):
        read_weights(tmp_path / "objects.npz")
    with pytest.raises(ValueError, match="must end in one of"):
        read_weights(tmp_path / "a.h5")
    for suffix in ("pth", "safetensors", "npz"):
        with pytest.raises(FileNotFoundError):
            read_weights(tmp_path / f"absent.{suffix}")


def test_every_byte_of_a_written_file_counts(tmp_path):
    path = tmp_path / "a.safetensors"
    arrays = {"a.kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(2, np.int8)}
    write_weights(path, arrays, metadata={"source": "x.pth"})
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 2]) + content[place + 1 :])
        try:
            found = read_weights(path)
        except ValueError as problem:
            assert str(problem).startswith(str(path))
            continue
        # Without its name there is no checksum, and all else is as it was.
        assert place in range(*(content.index(b"jaxdissect_sha256") + end for end in (0, 17)))
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    path.write_bytes(content[:-1] + b"\x07")
    with pytest.raises(ValueError, match="a.safetensors is damaged: its checksum does not match"):
        read_weights(path)


def test_what_killed_processes_left_is_removed(tmp_path):
    path = tmp_path / "a.safetensors"
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], text=True,
                          capture_output=True, check=True).stdout.strip()  # fmt: skip
    left, running, other = (
        tmp_path / f".{name}.part"
        for name in (f"a.safetensors.{gone}", f"a.safetensors.{os.getppid()}", f"b.{gone}")
    )
    for file in (left, running, other):
        file.touch()
    write_weights(path, {"a": np.zeros(2)}, metadata={})
    assert {file.name for file in tmp_path.iterdir()} == {path.name, running.name, other.name}
