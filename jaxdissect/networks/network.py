"""What jaxdissect asks of a network, and how activations become maps.

Letters: B batch, h w layer grid, T tokens, U units.
"""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
from flax import nnx
from jaxtyping import Array, Float, PyTree

from jaxdissect.networks import meshes
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.adapters.other_models import what_to_do
from jaxdissect.networks.adapters.recorder import as_layers
from jaxdissect.networks.adapters.token_network import TokenNetwork
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.forks import refuse_forked
from jaxdissect.networks.token_layout import Shape, TokenLayout, check_cells, lay_out


@runtime_checkable
class Network(Protocol):
    """A pure function of parameters and inputs whose layers can be recorded and edited.

    Both methods have no side effects and work under `jax.jit` (with `layers` static), `jax.grad`,
    and `jax.vmap` over `edits`, which leaves everything upstream of the edited layers unbatched.
    Activations are channels-last: [B, h, w, U] for convolutional layers, [B, T, U] for tokens.

    Attributes:
        params: The network's own parameters, a pytree of arrays; others of the same structure may
            be given to the methods.
    """

    params: PyTree

    def apply(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: tuple[str, ...] = (),
        edits: Mapping[str, Edit] | None = None,
    ) -> tuple[Any, dict[str, Array]]:
        """Run the whole network.

        Args:
            params: Parameters to run with, such as `self.params`.
            inputs: A batch of images or latents.
            layers: Layers to record.
            edits: Edits by layer, applied to the output of the layer before it is passed on.

        Returns:
            The output, and the activations of `layers` before any edit of the same layer.

        Raises:
            ValueError: If a layer does not exist (the message lists those that do), is not called,
                is called more than once though `layers` or `edits` name no call ("relu@2" is the
                second call of "relu"), runs inside a transformation of the network's own, or an
                edit does not fit its layer.
        """
        ...

    def activations(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: tuple[str, ...],
        edits: Mapping[str, Edit] | None = None,
    ) -> dict[str, Array]:
        """Run only until all `layers` are recorded; what follows is not run.

        Arguments, result and errors are those of `apply`. What follows is traced once, only to
        find out that it does not call a layer again; it may fail on such inputs.
        """
        ...


def as_network(
    model: Any,
    *,
    token_grid: Sequence[int] | None = None,
    drop_tokens: int | Sequence[int] | None = None,
    join_heads: str | Sequence[str] = (),
) -> Network:
    """Make a Network of an nnx module, or return what already is one.

    A token layer [B, T, U] has units over the cells of a grid. Its rows and columns follow from the
    image's aspect, with a leading class token or none, where only one grid fits; otherwise they
    must be given.

    Args:
        model: A Network or an nnx.Module.
        token_grid: Rows and columns of token layers; also of a layer [B, h, w, U] whose cells do
            not have the image's aspect.
        drop_tokens: Tokens that are no cells: 2 for the two leading ones, -2 for the two trailing
            ones, or their positions, negative ones from the end. None for a leading class token, if
            there is one.
        join_heads: Layers that give [B, T, heads, d], as attention does. Their units are the
            channels of all heads: ``head * d + channel``.

    Raises:
        ValueError: If `token_grid` or `drop_tokens` are not such integers, or `jax.set_mesh` has
            set a mesh with Explicit axes.
        TypeError: If `model` is anything else; the message says how to make a Network of it.
        RuntimeError: If this process was forked after JAX had run, where JAX would hang.
    """
    refuse_forked()
    if not isinstance(model, Network) or isinstance(model, type):
        if not isinstance(model, nnx.Module):
            name = getattr(model, "__name__", type(model).__name__)
            raise TypeError(
                f"`model` (={name}) must be a Network or an nnx.Module; {what_to_do(model)}"
            )
        model = NnxNetwork(model)
    meshes.refuse_explicit()
    if (params := meshes.moved(model.params)) is not model.params:
        model = copy.copy(model)
        model.params = params
    if token_grid is None and drop_tokens is None and not join_heads:
        return model
    layout = layout_of(model).updated(token_grid, drop_tokens)
    return TokenNetwork(model, layout, as_layers(join_heads))


def layout_of(network: Any) -> TokenLayout:
    """Find what a network knows of its token layers."""
    return getattr(network, "token_layout", TokenLayout())


def layer_shapes(
    network: Network, inputs: Any, layers: str | Sequence[str]
) -> dict[str, jax.ShapeDtypeStruct]:
    """Find shape and dtype of layers without computing them.

    Args:
        network: Any network.
        inputs: A batch, or its `jax.ShapeDtypeStruct`.
        layers: Layers to look at.

    Raises:
        ValueError: If a layer does not exist, does not give [B, h, w, U] or [B, T, U], or has cells
            without the aspect of the inputs, if these are images.
    """
    shapes = _shapes(network, inputs, as_layers(layers))
    for name, struct in shapes.items():
        if len(struct.shape) == 4:
            check_cells(struct.shape, layout_of(network), image_size_of(inputs), _layer(name))
    return shapes


def check_ranks(network: Network, inputs: Any, layers: Sequence[str]) -> None:
    """Check that layers give [B, h, w, U] or [B, T, U], without looking at h and w.

    Raises:
        ValueError: If a layer does not exist, or gives something else.
    """
    _shapes(network, inputs, tuple(layers))


def _shapes(
    network: Network, inputs: Any, layers: tuple[str, ...]
) -> dict[str, jax.ShapeDtypeStruct]:
    shapes = jax.eval_shape(partial(network.activations, layers=layers), network.params, inputs)
    examples = {leaf.shape[0] for leaf in jax.tree.leaves(inputs) if leaf.ndim}
    for name, struct in shapes.items():
        if len(struct.shape) not in (3, 4):
            raise ValueError(
                f"{_layer(name)} gives {struct.shape}, which must be [B, h, w, U] or [B, T, U]"
            )
        if struct.shape[0] not in examples:
            raise ValueError(
                f"{_layer(name)} gives {struct.shape}, whose first axis must be that of the "
                f"{min(examples, default=0)} examples"
            )
    return shapes


def _layer(name: str) -> str:
    return f"`layers`: layer {name!r}"


def image_size_of(inputs: Any) -> Shape | None:
    """Find height and width of images, [B, H, W, C] or [B, C, H, W], among the inputs of a network.

    Args:
        inputs: A batch of inputs, or their `jax.ShapeDtypeStruct`.

    Returns:
        The size; None if there is not exactly one array of four axes.
    """
    images = [leaf.shape for leaf in jax.tree.leaves(inputs) if len(leaf.shape) == 4]
    if len(images) != 1:
        return None
    _, first, second, last = images[0]
    return (second, last) if first <= 4 < last else (first, second)


def layers_as_maps(
    network: Any, activations: Mapping[str, Array], image_size: Shape | None
) -> dict[str, Float[Array, "B h w U"]]:
    """Lay layers out as maps, by what a network knows of its token layers.

    Args:
        network: A Network, or its `Structure`.
        activations: What it gave, by layer.
        image_size: Height and width of the images, if known.

    Raises:
        ValueError: If a layer has no reading, or two.
    """
    layout = layout_of(network)
    return {
        name: lay_out(array, layout, image_size, _layer(name))
        for name, array in activations.items()
    }


def as_maps(
    activations: Float[Array, "B h w U"] | Float[Array, "B T U"],
    *,
    image_size: Shape | None = None,
    token_grid: Sequence[int] | None = None,
    drop_tokens: int | Sequence[int] | None = None,
) -> Float[Array, "B h w U"]:
    """Lay activations out as maps.

    Args:
        activations: Maps, returned unchanged, or tokens in rows of the grid.
        image_size: Height and width of the image, whose aspect the cells have; the grid of tokens
            follows from it where only one fits, with a leading class token or none.
        token_grid: Rows and columns of the token grid.
        drop_tokens: Tokens that are no cells: 2 for the two leading ones, -2 for the two trailing
            ones, or their positions. None for a leading class token, if there is one.

    Returns:
        Activations [B, h, w, U].

    Raises:
        ValueError: If tokens fill no grid, or more than one; the message says what to pass.
    """
    layout = TokenLayout().updated(token_grid, drop_tokens)
    return lay_out(activations, layout, image_size, "`activations`")
