"""Methods to run a classifier without some of its units, for many sets of units at once.

Each method runs once, for a batch of images, what does not depend on which units are removed, and
returns the rest as a function of the units that stay. `low_rank` is the fastest where it applies;
`edited` always applies; `masked_parameters` removes units from the parameters of a convolution.

Letters: B batch, U units, N classes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.edits import Edit, mask_params
from jaxdissect.networks.jaxpr.linear_readout import find_readout
from jaxdissect.networks.jaxpr.partial_eval import split
from jaxdissect.networks.network import Network


class AblationCase(NamedTuple):
    """A classifier, a batch of its inputs, and what is put in the place of removed units.

    Attributes:
        network: The classifier, perhaps without its own parameters.
        params: Its parameters.
        inputs: A batch, as the network takes it.
        layer: Where units are removed.
        num_units: Units of the layer, U.
        replacement: What removed units output instead; broadcasts to the activations of the layer.
    """

    network: Network | Structure
    params: PyTree
    inputs: Any
    layer: str
    num_units: int
    replacement: Float[Array, "*places"]

    @property
    def all_kept(self) -> Bool[Array, "U"]:
        """The mask that removes nothing."""
        return jnp.ones(self.num_units, bool)


MaskedScores = Callable[[Bool[Array, "U"]], Float[Array, "B N"]]
"""Computes the scores of the classes, given the units that stay."""

AblationMethod = Callable[[AblationCase], MaskedScores | None]
"""Prepares the scores of a batch; None where the method does not apply."""


def edited(case: AblationCase) -> MaskedScores:
    """Replace activations, and run what follows the layer again for every mask."""

    def scores(keep: Array) -> Array:
        kept = keep.astype(jnp.float32)
        removed = jnp.reshape(1 - kept, (*(1,) * (case.replacement.ndim - 1), -1))
        edit = Edit(kept, removed * case.replacement.astype(jnp.float32))
        return case.network.apply(case.params, case.inputs, edits={case.layer: edit})[0]

    return split(scores, case.all_kept)


def low_rank(case: AblationCase) -> MaskedScores | None:
    """Subtract what removed units contribute to the linear map that they reach one by one.

    The scores are those of `edited` up to rounding; only what follows the linear map runs for every
    mask. Returns None where there is no such map (see `jaxdissect.networks.jaxpr.linear_readout`).
    """
    nothing = jnp.zeros((), jnp.float32)

    def scores(activations: Array) -> tuple[Array, Array]:
        edit = Edit(nothing, activations)
        found, recorded = case.network.apply(
            case.params, case.inputs, layers=(case.layer,), edits={case.layer: edit}
        )
        return found, recorded[case.layer]

    def activations() -> Array:
        found = case.network.activations(case.params, case.inputs, layers=(case.layer,))
        return found[case.layer]

    program = split(scores, jax.eval_shape(activations))
    readout = find_readout(program)
    if readout is None:
        return None
    # What the layer outputs before it is edited does not depend on the edit: it has been run.
    before = program.results[-1]
    whole, parts = readout.contributions(
        before, jnp.broadcast_to(case.replacement, before.shape).astype(before.dtype)
    )

    def masked_scores(keep: Array) -> Array:
        removed = (~keep).astype(parts.dtype)
        return readout.finish(whole - jnp.tensordot(removed, parts, 1))[0]

    return masked_scores


def masked_parameters(case: AblationCase) -> MaskedScores:
    """Zero the parameters that make the removed units, and run the layer again.

    The layer must own the parameters (a convolution, not the ReLU after it), and removed units
    output zero; the layer and what follows run for every mask.
    """

    def scores(keep: Array) -> Array:
        params = mask_params(case.params, case.layer, keep)
        return case.network.apply(params, case.inputs)[0]

    return split(scores, case.all_kept)


FASTEST: tuple[AblationMethod, ...] = (low_rank, edited)
"""The fastest method that applies to any layer of any network: `low_rank` where it does."""
