"""Find the model that a user names on the command line.

A name is `BUILT_IN`, a published network of images such as `vgg16_places365`, a kind of
network such as `vgg16` whose weights are in a file of the user's, or says where a function is:
`FILE.py:FUNCTION` or `package.module:FUNCTION`. The function takes no arguments and returns an
nnx.Module, a Network, or whatever `as_network` takes, whose input is float images [B, H, W, 3] in
[0, 1].

Whatever the user's own code raises becomes one ValueError that says where in it.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdissect.networks.adapters.linen_network import LinenNetwork
from jaxdissect.networks.adapters.prepared_network import PreparedNetwork
from jaxdissect.networks.loading import load_network, pretrained
from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.network import Network, as_network, layer_shapes
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.scenes.scene_classifier import CONVOLUTIONS
from jaxdissect.scenes.shipped import load_classifier

BUILT_IN = "scenes"
"""Name of the model that needs no file, the classifier of the built-in scenes."""


class FoundModel(NamedTuple):
    """A network that was found.

    Attributes:
        name: As the user gave it.
        network: The network.
        home: Folder of the code that the user wrote.
        default_layers: Layers to dissect if the user names none.
    """

    name: str
    network: Network
    home: Path
    default_layers: tuple[str, ...] = ()


def find_model(name: str, weights: Path | None = None) -> FoundModel:
    """Import and build the model of a name.

    The folder of a model file, or for a module the current folder, becomes importable and stays
    so: a network may import more while it runs.

    Args:
        name: See above.
        weights: The file of weights, for a kind of network.

    Raises:
        OSError: If there is no such file, or published weights cannot be downloaded.
        ValueError: If the name is malformed, nothing has it, weights are missing, unwanted or do
            not fit, or the user's code fails.
    """
    if name in ARCHITECTURES and weights is None:
        raise ValueError(f"`model` (={name!r}) is a kind of network, and needs `weights`")
    if weights is not None and name not in ARCHITECTURES:
        kinds = ", ".join(kind for kind, known in ARCHITECTURES.items() if known.prepare)
        raise ValueError(f"`weights` go with a kind of network as `model`, which are: {kinds}")
    if weights is not None:
        return _known(name, name, lambda: load_network(name, weights))
    if name in PUBLISHED:
        return _known(name, PUBLISHED[name].architecture, lambda: pretrained(name))
    if name == BUILT_IN:
        network = as_network(load_classifier())
        return FoundModel(name, network, Path(__file__).parent, CONVOLUTIONS)
    build, home = find_function(name, "model", [BUILT_IN, *PUBLISHED])
    with user_code(f"`model` (={name!r}) cannot be built by {name.rpartition(':')[2]}()", home):
        return FoundModel(name, as_network(build()), home)


def find_function(
    name: str, argument: str, others: Sequence[str]
) -> tuple[Callable[[], Any], Path]:
    """Import the function of a name, FILE.py:FUNCTION or package.module:FUNCTION.

    Args:
        name: What the user gave.
        argument: What it was given as, for messages.
        others: Names that need no code, for messages.

    Returns:
        The function, and the folder of its code.

    Raises:
        OSError: If there is no such file.
        ValueError: If the name is malformed, nothing has it, or the user's code fails.
    """
    where, colon, function_name = name.rpartition(":")
    if not (colon and where and function_name):
        raise ValueError(
            f"`{argument}` (={name!r}) must be FILE.py:FUNCTION, package.module:FUNCTION, "
            f"or one of: {', '.join(others)}"
        )
    path = Path(where).resolve() if where.endswith(".py") else None
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"`{argument}` (={name!r}): there is no file {where}")
    home = Path.cwd() if path is None else path.parent
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    with user_code(f"`{argument}` (={name!r}) cannot be imported", home):
        module = importlib.import_module(where) if path is None else _import_file(path)
    build = getattr(module, function_name, None)
    if not callable(build):
        functions = [key for key, value in vars(module).items() if _is_own_function(value, module)]
        raise ValueError(
            f"`{argument}` (={name!r}): {where} has no function {function_name!r}; "
            f"its functions: {', '.join(functions) or 'none'}"
        )
    return build, home


def _known(name: str, architecture: str, load: Callable[[], nnx.Module]) -> FoundModel:
    """Load a network of the catalog, and let it take images as they come."""
    known = ARCHITECTURES[architecture]
    if known.prepare is None:
        raise ValueError(f"`model` (={name!r}) is no network that images can be shown to")
    network = PreparedNetwork(load(), known.prepare)
    return FoundModel(name, network, Path(__file__).parent, known.layers)


def choose_layers(
    model: FoundModel, layers: Sequence[str], image_size: tuple[int, int]
) -> tuple[str, ...]:
    """Check that a network takes images, and has the layers that the user asks for.

    Nothing is computed: the network is only traced.

    Args:
        model: The network.
        layers: What the user asks for; empty for the model's own choice.
        image_size: Height and width of the images.

    Returns:
        The layers to dissect, each once.

    Raises:
        ValueError: If a layer is missing or unknown (the message lists the valid names), or the
            network cannot take images of this size.
    """
    height, width = image_size
    failure = (
        f"`model` (={model.name!r}) fails on images of {height} x {width} pixels (H x W; "
        "`--image-size` resizes them)"
    )
    images = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
    return checked_layers(model, layers, images, failure)


def checked_layers(
    model: FoundModel, layers: Sequence[str], inputs: jax.ShapeDtypeStruct, failure: str
) -> tuple[str, ...]:
    """Check that a network takes inputs of a shape, as `choose_layers` does for images.

    Args:
        model: The network.
        layers: What the user asks for; empty for the model's own choice.
        inputs: Shape of a batch of inputs.
        failure: What to say if the network does not take them.
    """
    chosen = tuple(dict.fromkeys(layers)) or model.default_layers
    with user_code(failure, model.home):
        if not chosen:
            names = ", ".join(_layer_names(model.network, inputs)) or "see the network's code"
            raise ValueError(f"`layers` must name at least one layer; valid names: {names}")
        layer_shapes(model.network, inputs, chosen)
    return chosen


def raised_by(package: str, problem: BaseException) -> bool:
    """Whether an exception was raised by a package's own code, not by something it called."""
    frames = [frame for frame, _ in traceback.walk_tb(problem.__traceback__)]
    module = frames[-1].f_globals.get("__name__", "") if frames else ""
    return module.partition(".")[0] == package


def _layer_names(network: Network, images: jax.ShapeDtypeStruct) -> tuple[str, ...]:
    """Layers of a network, where it can tell; linen modules must see images first."""
    if isinstance(network, LinenNetwork):
        return network.layer_names(images)
    return tuple(getattr(network, "layer_names", ()))


def _import_file(path: Path) -> ModuleType:
    # Under a name of its own, so that a file called `jax.py` does no harm.
    name = f"_jaxdissect_model_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


def _is_own_function(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


@contextmanager
def user_code(failure: str, home: Path) -> Iterator[None]:
    """Turn what the user's code raises into one ValueError with the place in that code."""
    try:
        yield
    except Exception as problem:
        if isinstance(problem, ValueError) and raised_by("jaxdissect", problem):
            raise
        message = f"{failure}: {type(problem).__name__}: {problem}"
        raise ValueError(message + _place(problem, home)) from problem


def _place(problem: Exception, home: Path) -> str:
    """Say where the user's own code was when a problem arose, if it was involved."""
    frames = [
        frame
        for frame in traceback.extract_tb(problem.__traceback__)
        if Path(frame.filename).is_relative_to(home) and "site-packages" not in frame.filename
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
