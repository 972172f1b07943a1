"""Networks without their parameters are equal where they compute the same."""

import gc
import weakref

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

from jaxdissect.networks.adapters.linen_network import LinenNetwork
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.adapters.prepared_network import PreparedNetwork
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.adapters.tapped_network import TappedNetwork


def nnx_network(size=3, seed=0, **arguments):
    return NnxNetwork(nnx.Linear(2, size, rngs=nnx.Rngs(seed)), **arguments)


class Noisy(nnx.Module):
    """A module that draws random numbers in evaluation mode too."""

    def __init__(self, seed):
        self.rngs = nnx.Rngs(noise=seed)

    def __call__(self, x):
        return x + jax.random.normal(self.rngs.noise(), x.shape)


def double(params, x):
    return 2 * params * x


def tapped(params, x, tap):
    return tap("double", double(params, x))


class Own:
    """A network of the user's own kind."""

    params = jnp.ones(())

    def apply(self, params, inputs, *, layers=(), edits=None):
        return params * inputs, {}

    def activations(self, params, inputs, *, layers, edits=None):
        return {}


def test_parameters_do_not_matter():
    assert Structure(nnx_network()) == Structure(nnx_network(seed=1))
    assert Structure(NnxNetwork(Noisy(0))) == Structure(NnxNetwork(Noisy(0)))
    assert hash(Structure(nnx_network())) == hash(Structure(nnx_network(seed=1)))
    module = nn.Dense(3)
    variables = [module.init(jax.random.key(i), jnp.ones((1, 2))) for i in range(2)]
    assert Structure(LinenNetwork(module, variables[0])) == Structure(
        LinenNetwork(nn.Dense(3), variables[1])
    )
    for one, other in ((1.0, 2.0),):
        assert Structure(TappedNetwork(tapped, one)) == Structure(TappedNetwork(tapped, other))
        assert Structure(StagedNetwork({"double": double}, one)) == Structure(
            StagedNetwork({"double": double}, other)
        )
        assert Structure(PreparedNetwork(nnx_network(), abs)) == Structure(
            PreparedNetwork(nnx_network(seed=2), abs)
        )


def test_what_is_computed_matters():
    different = [
        nnx_network(),
        nnx_network(size=4),
        LinenNetwork(nn.Dense(3), {}),
        LinenNetwork(nn.Dense(4), {}),
        LinenNetwork(nn.Dense(3), {}, train=False),
        TappedNetwork(tapped, 1.0),
        TappedNetwork(lambda params, x, tap: tapped(params, x, tap), 1.0),
        StagedNetwork({"double": double}, 1.0),
        StagedNetwork({"again": double}, 1.0),
        StagedNetwork({"double": double}, 1.0, head=double),
        PreparedNetwork(nnx_network(), abs),
        PreparedNetwork(nnx_network(), jnp.square),
        NnxNetwork(Noisy(0)),
        NnxNetwork(Noisy(1)),
        Own(),
        Own(),
    ]
    structures = [Structure(network) for network in different]
    for i, one in enumerate(structures):
        assert [one == other for other in structures] == [i == j for j in range(len(structures))]


def test_what_cannot_be_compared_is_equal_to_itself_alone():
    networks = [LinenNetwork(nn.Dense(3), {}, mask=jnp.ones(2)) for _ in range(2)]
    one, other = map(Structure, networks)
    assert one == one and one != other and {one: 1}[one] == 1


def test_no_parameters_are_kept_alive():
    for build in (nnx_network, lambda: PreparedNetwork(nnx_network(), abs), Own):
        network = build()
        structure = Structure(network)
        watch = weakref.ref(network)
        del network
        gc.collect()
        assert watch() is None, structure


def test_a_structure_runs_on_parameters_that_it_is_given():
    network = PreparedNetwork(StagedNetwork({"double": double}, jnp.ones(())), jnp.abs)
    x = jnp.array([-1.0, 2.0])
    output, found = Structure(network).apply(network.params, x, layers=("double",))
    assert output.tolist() == found["double"].tolist() == [2.0, 4.0]
    assert Structure(network).activations(network.params, x, layers=("double",))[
        "double"
    ].tolist() == [2.0, 4.0]
    own = Own()
    assert Structure(own).apply(own.params, x)[0].tolist() == x.tolist()
