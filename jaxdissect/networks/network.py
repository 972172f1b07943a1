"""What jaxdissect asks of a network, and how activations become maps.

Letters: B batch, h w layer grid, T tokens, U units.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
from flax import nnx
from jaxtyping import Array, Float, PyTree

from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.adapters.recorder import as_layers
from jaxdissect.networks.edits import Edit


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


def as_network(model: Any) -> Network:
    """Make a Network of an nnx module, or return what already is one.

    Raises:
        TypeError: If `model` is anything else; the message names the adapters.
    """
    if isinstance(model, Network):
        return model
    if isinstance(model, nnx.Module):
        return NnxNetwork(model)
    raise TypeError(
        f"`model` (={type(model).__name__}) must be a Network or an nnx.Module; wrap a linen "
        "module with its variables as LinenNetwork(module, variables), plain functions as "
        "StagedNetwork(stages, params)"
    )


def layer_shapes(
    network: Network, inputs: Any, layers: str | Sequence[str]
) -> dict[str, jax.ShapeDtypeStruct]:
    """Find shape and dtype of layers without computing them.

    Args:
        network: Any network.
        inputs: A batch, or its `jax.ShapeDtypeStruct`.
        layers: Layers to look at.

    Raises:
        ValueError: If a layer does not exist, or does not give [B, h, w, U] or [B, T, U].
    """
    shapes = jax.eval_shape(
        partial(network.activations, layers=as_layers(layers)),
        network.params,
        inputs,
    )
    for name, struct in shapes.items():
        if len(struct.shape) not in (3, 4):
            raise ValueError(
                f"`layers`: layer {name!r} gives {struct.shape}, which must be [B, h, w, U] or "
                "[B, T, U]"
            )
    return shapes


def as_maps(
    activations: Float[Array, "B h w U"] | Float[Array, "B T U"],
    *,
    token_grid: tuple[int, int] | None = None,
) -> Float[Array, "B h w U"]:
    """Lay activations out as maps.

    Args:
        activations: Maps, returned unchanged, or tokens in rows of the grid; one leading class
            token is dropped.
        token_grid: Rows and columns of the token grid; a square when None.

    Returns:
        Activations [B, h, w, U].

    Raises:
        ValueError: If the tokens do not fill the grid, with or without a class token.
    """
    if activations.ndim == 4:
        return activations
    batch, tokens, units = activations.shape
    for grid_tokens in (tokens, max(tokens - 1, 0)):
        side = math.isqrt(grid_tokens)
        height, width = token_grid or (side, side)
        if height * width == grid_tokens > 0:
            return activations[:, tokens - grid_tokens :].reshape(batch, height, width, units)
    grid = "a square" if token_grid is None else f"`token_grid` (={token_grid})"
    raise ValueError(
        f"`activations` (={activations.shape}) have {tokens} tokens, which do not fill {grid}, "
        "with or without one class token; pass token_grid=(h, w), and cut off further tokens first"
    )
