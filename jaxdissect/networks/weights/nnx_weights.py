"""Load a file of weights into any nnx module."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
from flax import nnx

from jaxdissect.networks.forks import refuse_forked
from jaxdissect.networks.weights.files import FilePath, open_weights
from jaxdissect.networks.weights.filling import FileOptions, Layouts
from jaxdissect.networks.weights.flattening import Maps
from jaxdissect.networks.weights.mapping import filled
from jaxdissect.networks.weights.renaming import Names


def load_weights(
    module: Any,
    path: FilePath,
    *,
    names: Names = None,
    unused: Sequence[str] = (),
    flattened: Maps | None = None,
    unflattened: Maps | None = None,
    layouts: Layouts | None = None,
    dtype: Any = None,
) -> Any:
    """Copy an nnx module, with the weights of a file.

    Modules are found in the file by their paths, such as "layer1.0.conv1", and their arrays by what
    PyTorch calls them; a prefix of all names is taken off, and the `layers` of an `nnx.Sequential`
    are left out. Kernels are transposed by the kind of their layer: convolutions, transposed,
    grouped and depthwise ones too, linear maps, embeddings, attention (whose query, key and value
    may be one array in the file), and in modules of your own every `kernel` [..., I, O]; of a
    `weight` of your own with several axes, `layouts` must say what they are. Files that
    jaxdissect has written are read as they are. Weights do not say how a network computes: paddings
    and the epsilon of normalisation must be those of the original (PyTorch's is 1e-5 by default,
    that of flax's LayerNorm and GroupNorm 1e-6).

    Args:
        module: An nnx.Module, of which nothing is changed; it may be abstract, as
            ``nnx.eval_shape(build)`` makes it without computing random weights.
        path: File that `read_weights` reads: .pth, .pt, .bin, .safetensors, .npz.
        names: Where names differ: by the path of a module (with all that is in it) or of an array
            here, its name in the file, the longest path first, "" for all; or a function from the
            path of a module to its name.
        unused: Names in the file, of modules or arrays, that are not to be loaded.
        flattened: Layers that read maps in a row, by path, with their channels, rows and columns:
            PyTorch lays them as [C, h, w], channels-last networks as [h, w, C], which no shape
            tells apart. You are asked wherever sizes, and the order in which layers are defined,
            suggest it, but not about a row of maps beside other numbers; None says that it is not
            so, for a module or "" (all) too.
        unflattened: Layers whose outputs are maps in a row, in the same way.
        layouts: For arrays that the kind of layer does not decide, by path: a function from the
            array of the file to that of the module.
        dtype: Floating dtype of all parameters; by default each has that of the module.

    Returns:
        A new module of the same type, in evaluation mode. Variables that are neither parameters nor
        batch statistics keep their values if the file has none.

    Raises:
        ValueError: If arrays are missing, unexpected, misshapen, or no floats: one message lists
            all, with the nearest names, before any number is read. If a layer may read or make maps
            in a row and `flattened` or `unflattened` does not say so, an option names what does not
            exist, or the file is damaged.
        TypeError: If `module` is no nnx module, or an option is of a wrong type.
        OSError: If the file cannot be opened.
        RuntimeError: If this process was forked after JAX had run, where JAX would hang.
    """
    refuse_forked()
    if not isinstance(module, nnx.Module):
        kind = type(module).__name__
        way = "build one, or describe it by nnx.eval_shape(build)"
        if isinstance(module, nn.Module):
            way = "for a linen module, there is `load_linen_weights`"
        raise TypeError(f"`module` (={kind}) must be an nnx.Module: {way}")
    options = FileOptions(names, unused, flattened, unflattened, layouts)
    with open_weights(path) as arrays:
        return filled(module, arrays, source=str(path), dtype=dtype, options=options)
