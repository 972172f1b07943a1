"""Networks in another precision: computed in it, given as float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.edits import ablate
from jaxdissect.networks.network import as_network
from jaxdissect.networks.precision import in_precision


class Small(nnx.Module):
    def __init__(self):
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0))

    def __call__(self, images):
        return self.conv(images).mean((1, 2))


def test_networks_compute_in_the_dtype_and_give_float32():
    network, images = as_network(Small()), jax.random.uniform(jax.random.key(0), (2, 5, 5, 3))
    rounded = in_precision(network, jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(rounded.params)} == {jnp.dtype(jnp.bfloat16)}
    edits = {"conv": ablate([1], 4)}
    output, found = rounded.apply(rounded.params, images, layers=("conv",), edits=edits)
    maps = rounded.activations(rounded.params, images, layers=("conv",))["conv"]
    exact, _ = network.apply(network.params, images, edits=edits)
    assert output.dtype == found["conv"].dtype == maps.dtype == jnp.float32
    np.testing.assert_array_equal(maps, found["conv"])
    np.testing.assert_array_equal(maps, maps.astype(jnp.bfloat16).astype(jnp.float32))
    np.testing.assert_allclose(output, exact, rtol=0, atol=0.02)
    assert not output[:, 1].any() and (output != exact).any()


def test_equal_networks_in_one_dtype_share_programs():
    network = as_network(Small())
    first, second = (Structure(in_precision(network, jnp.bfloat16)) for _ in range(2))
    assert first == second != Structure(in_precision(network, jnp.float16))


def test_a_dtype_without_fractions_is_refused():
    with pytest.raises(ValueError, match=r"`dtype` \(=int32\) must be a floating dtype"):
        in_precision(Small(), jnp.int32)
