"""Write files as PyTorch does, from the description of the format, without PyTorch."""

import collections
import io
import pickle
import struct
import zipfile
from typing import Any

import ml_dtypes
import numpy as np

STORAGES = {
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.int64): "LongStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype(np.uint8): "ByteStorage",
}


class Named:
    """Pickled as a reference to a global of another package, without that package."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call(Named):
    """Pickled as a call of that global."""

    def __init__(self, module, name, *arguments):
        super().__init__(module, name)
        self.arguments = arguments


# The one in Python, whose `save` can be overridden.
PurePickler: Any = vars(pickle)["_Pickler"]


class Pickler(PurePickler):
    """Writes files as PyTorch does, from the description of the format, without PyTorch."""

    def __init__(self, file, storages, tail=()):
        super().__init__(file, protocol=2)
        self.storages, self.tail = storages, tail

    def persistent_id(self, obj):
        if isinstance(obj, np.ndarray):
            key = str(len(self.storages))
            self.storages[key] = obj
            kind = Named("torch", STORAGES[obj.dtype])
            return ("storage", kind, key, "cpu", obj.size, *self.tail)
        return None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
            if isinstance(obj, Call):
                self.save(obj.arguments)
                self.write(pickle.REDUCE)
            return
        super().save(obj, save_persistent_id)


def tensor(array):
    """The record of a tensor that fills its storage."""
    array = np.array(array, order="C")
    strides = tuple(stride // array.itemsize for stride in array.strides)
    arguments = (0, array.shape, strides, False, collections.OrderedDict())
    return Call("torch._utils", "_rebuild_tensor_v2", array, *arguments)


def state_dict(arrays, prefix=""):
    """The dictionary that a model saves, with names that begin with `prefix`."""
    return collections.OrderedDict((prefix + name, tensor(a)) for name, a in arrays.items())


def write_zip(path, content, *, order=b"little", compression=zipfile.ZIP_STORED):
    """Write the archive that PyTorch writes since 1.6."""
    buffer, storages = io.BytesIO(), {}
    Pickler(buffer, storages).dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/byteorder", order)
        for key, array in storages.items():
            swapped = array.byteswap() if order == b"big" else array
            archive.writestr(f"archive/data/{key}", swapped.tobytes())


def write_legacy(path, content, *, little_endian=True):
    """Write the stream of pickles and bytes that PyTorch wrote before."""
    storages = {}
    with open(path, "wb") as file:
        for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": little_endian}):
            pickle.dump(header, file, protocol=2)
        Pickler(file, storages, tail=(None,)).dump(content)
        pickle.dump(list(storages), file, protocol=2)
        for array in storages.values():
            file.write(struct.pack("<q", array.size) + array.tobytes())
