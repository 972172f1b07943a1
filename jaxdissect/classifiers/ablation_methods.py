"""Ways to run a classifier without some of its units, for many sets of units at once.

Each way runs once, for a batch of images, what does not depend on which units are removed, and
returns the rest as a function of the units that stay. `low_rank` is the fastest where it applies;
`edited` always applies; `masked_parameters` removes units from the parameters of a convolution.

Shapes: B batch, U units, N classes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxdissect.networks.edits import Edit, mask_params
from jaxdissect.networks.jaxpr.linear_readout import find_readout
from jaxdissect.networks.jaxpr.partial_eval import split
from jaxdissect.networks.network import Network


class Case(NamedTuple):
    """A classifier and a batch of images.

    Attributes:
        network: The classifier.
        params: Its parameters.
        images: Its input.
        layer: Where units are removed.
        num_units: Units of the layer, U.
        replaced: What removed units say instead; broadcasts to the activations of the layer.
    """

    network: Network
    params: PyTree
    images: Any
    layer: str
    num_units: int
    replaced: Float[Array, "*places"]

    @property
    def all_kept(self) -> Bool[Array, "U"]:
        """The condition that removes nothing."""
        return jnp.ones(self.num_units, bool)


Scores = Callable[[Bool[Array, "U"]], Float[Array, "B N"]]
"""Scores of the classes, given the units that stay."""

Way = Callable[[Case], Scores | None]
"""Prepares the scores of a batch; None where the way does not lead."""


def edited(case: Case) -> Scores:
    """Replace activations, and run what follows the layer again for every condition."""

    def scores(keep: Array) -> Array:
        stay = keep.astype(jnp.float32)
        gone = jnp.reshape(1 - stay, (*(1,) * (case.replaced.ndim - 1), -1))
        edit = Edit(stay, gone * case.replaced.astype(jnp.float32))
        return case.network.apply(case.params, case.images, edits={case.layer: edit})[0]

    return split(scores, case.all_kept)


def low_rank(case: Case) -> Scores | None:
    """Subtract the removed units' parts from the linear map that they reach one by one.

    Same scores up to rounding; only what follows the linear map runs for every condition. None
    where there is no such map (see `jaxdissect.networks.jaxpr.linear_readout`).
    """
    nothing = jnp.zeros((), jnp.float32)

    def scores(activations: Array) -> tuple[Array, Array]:
        edit = Edit(nothing, activations)
        found, recorded = case.network.apply(
            case.params, case.images, layers=(case.layer,), edits={case.layer: edit}
        )
        return found, recorded[case.layer]

    example = _activations(case)
    program = split(scores, example)
    readout = find_readout(program)
    if readout is None:
        return None
    # What the layer said before it was edited does not depend on the edit: it has been run.
    activations = program.results[-1]
    whole, parts = readout.contributions(
        activations, jnp.broadcast_to(case.replaced, activations.shape).astype(activations.dtype)
    )

    def without(keep: Array) -> Array:
        removed = (~keep).astype(parts.dtype)
        return readout.finish(whole - jnp.tensordot(removed, parts, 1))[0]

    return without


def masked_parameters(case: Case) -> Scores:
    """Zero the parameters that make the removed units, and run the layer again.

    The layer must own the parameters (a convolution, not the ReLU after it), and removed units say
    zero; the layer and what follows run for every condition.
    """

    def scores(keep: Array) -> Array:
        params = mask_params(case.params, case.layer, keep)
        return case.network.apply(params, case.images)[0]

    return split(scores, case.all_kept)


def _activations(case: Case) -> Any:
    """Shape and type of the activations, without computing them."""
    from jax import eval_shape

    return eval_shape(
        lambda: case.network.activations(case.params, case.images, layers=(case.layer,))
    )[case.layer]
