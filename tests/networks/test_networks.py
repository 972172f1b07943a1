"""Networks of every kind: recording, editing, stopping early, and JAX's transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from support.probed_networks import KINDS, LAYERS, NUM_UNITS, Probed, images, probed_network

from jaxdissect.networks.edits import Edit, ablate, insert
from jaxdissect.networks.network import Network, as_network, layer_shapes


@pytest.fixture(scope="module", params=KINDS)
def probed(request) -> Probed:
    return probed_network(request.param)


def neutral() -> dict[str, Edit]:
    return {name: Edit(jnp.ones(units), jnp.zeros(units)) for name, units in NUM_UNITS.items()}


def assert_trees_close(actual, expected, tolerance=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance),
        actual,
        expected,
    )


def test_is_a_network(probed):
    assert isinstance(probed.network, Network)
    assert as_network(probed.network) is probed.network


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_recording_and_neutral_edits_do_not_change_a_bit(probed, transform):
    network, forward = probed
    expected = transform(forward)(network.params, images())
    for layers, edits in [((), None), (LAYERS, {}), ((), neutral()), (LAYERS, neutral())]:
        run = transform(
            lambda params, x, layers=layers, edits=edits: network.apply(
                params, x, layers=layers, edits=edits
            )
        )
        output, activations = run(network.params, images())
        np.testing.assert_array_equal(output, expected)
        assert set(activations) == set(layers)


def test_insertion_at_strength_zero_does_not_change_a_bit(probed):
    network, forward = probed
    edit = insert([0, 3], 7.0, NUM_UNITS["second"], where=jnp.zeros(()))
    output, _ = network.apply(network.params, images(), edits={"second": edit})
    np.testing.assert_array_equal(output, forward(network.params, images()))


def test_several_layers_in_one_pass(probed):
    network, _ = probed
    _, together = network.apply(network.params, images(), layers=LAYERS)
    for name in LAYERS:
        alone = network.activations(network.params, images(), layers=(name,))
        assert list(alone) == [name]
        np.testing.assert_array_equal(alone[name], together[name])
        assert together[name].shape[-1] == NUM_UNITS[name]
    both = network.activations(network.params, images(), layers=("third", "first"))
    np.testing.assert_array_equal(both["third"], together["third"])
    assert network.activations(network.params, images(), layers=()) == {}


def test_records_come_before_the_layers_own_edit_and_after_those_upstream(probed):
    network, forward = probed
    _, plain = network.apply(network.params, images(), layers=LAYERS)
    edits = {"second": insert([1], 3.0, NUM_UNITS["second"])}
    for output, edited in [
        network.apply(network.params, images(), layers=LAYERS, edits=edits),
        (None, network.activations(network.params, images(), layers=LAYERS, edits=edits)),
    ]:
        np.testing.assert_array_equal(edited["first"], plain["first"])
        np.testing.assert_array_equal(edited["second"], plain["second"])
        assert np.abs(edited["third"] - plain["third"]).max() > 1e-3
        if output is not None:
            assert np.abs(output - forward(network.params, images())).max() > 1e-3


def test_editing_the_last_stage_is_what_the_head_sees(probed):
    network, _ = probed
    no_progress = Edit(jnp.zeros(()), jnp.zeros(()))
    output, _ = network.apply(network.params, images(), edits={"third": no_progress})
    shifted, _ = network.apply(network.params, 2 * images(), edits={"third": no_progress})
    np.testing.assert_array_equal(output, shifted)


def test_jit_with_static_layers(probed):
    network, _ = probed
    edits = {"first": ablate([1, 2], NUM_UNITS["first"])}
    run = jax.jit(network.apply, static_argnames="layers")
    actual = run(network.params, images(), layers=LAYERS, edits=edits)
    expected = network.apply(network.params, images(), layers=LAYERS, edits=edits)
    assert_trees_close(actual, expected, 1e-5)
    read = jax.jit(network.activations, static_argnames="layers")
    actual = read(network.params, images(), layers=("second",), edits=edits)
    assert_trees_close(actual["second"], expected[1]["second"], 1e-5)


def test_vmap_over_edits_equals_a_loop(probed):
    network, _ = probed

    @jax.jit
    def ablated(unit):
        edits = {"second": ablate(unit[None], NUM_UNITS["second"])}
        return network.apply(network.params, images(), layers=("third",), edits=edits)

    batched = jax.jit(jax.vmap(ablated))(jnp.arange(4))
    looped = [ablated(jnp.asarray(unit)) for unit in range(4)]
    for index, expected in enumerate(looped):
        actual = jax.tree.map(lambda leaf, index=index: leaf[index], batched)
        assert_trees_close(actual, expected, 1e-5)
    assert np.abs(batched[0][0] - batched[0][1]).max() > 1e-4


def test_vmap_over_edits_computes_what_is_upstream_once(probed):
    network, _ = probed

    def output(edit):
        return network.apply(network.params, images(), edits={"second": edit})[0]

    edit = ablate([0], NUM_UNITS["second"])
    edits = jax.tree.map(lambda half: jnp.stack([half] * 4), edit)
    single = product_sizes(jax.make_jaxpr(output)(edit).jaxpr)
    batched = product_sizes(jax.make_jaxpr(jax.vmap(output))(edits).jaxpr)
    upstream = product_sizes(
        jax.make_jaxpr(
            lambda x: network.activations(network.params, x, layers=("second",))["second"]
        )(images()).jaxpr
    )
    assert 2 <= len(upstream) < len(single) == len(batched)
    assert batched[: len(upstream)] == single[: len(upstream)] == upstream
    assert batched[len(upstream) :] == [4 * size for size in single[len(upstream) :]]


def test_gradients_of_parameters_are_those_of_the_plain_forward(probed):
    network, forward = probed
    plain = jax.jit(jax.grad(lambda params: (forward(params, images()) ** 2).sum()))

    def loss(params):
        output, _ = network.apply(params, images(), layers=LAYERS, edits=neutral())
        return (output**2).sum()

    actual = jax.jit(jax.grad(loss))(network.params)
    assert_trees_close(actual, plain(network.params), 1e-4)
    assert max(float(abs(leaf).max()) for leaf in jax.tree.leaves(actual)) > 1e-3


def test_gradient_of_an_edit_is_its_finite_difference(probed):
    network, _ = probed
    units = NUM_UNITS["third"]

    @jax.jit
    def loss(add):
        edits = {"third": Edit(jnp.ones(units), add)}
        return network.apply(network.params, images(), edits=edits)[0].sum()

    start, step = jnp.full(units, 0.5), jnp.linspace(1e-3, 1e-2, units)
    slope = jnp.vdot(jax.grad(loss)(start), step)
    np.testing.assert_allclose(slope, loss(start + step / 2) - loss(start - step / 2), atol=2e-5)
    assert abs(slope) > 1e-4


def test_other_parameters(probed):
    network, forward = probed
    other = jax.tree.map(lambda leaf: leaf * 1.5 + 0.25, network.params)
    output, _ = network.apply(other, images())
    np.testing.assert_array_equal(output, forward(other, images()))
    assert np.abs(output - forward(network.params, images())).max() > 1e-3


def test_shapes_without_computing(probed):
    network, _ = probed
    shapes = layer_shapes(network, jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32), LAYERS)
    activations = network.activations(network.params, images(), layers=LAYERS)
    assert {name: shape.shape for name, shape in shapes.items()} == {
        name: a.shape for name, a in activations.items()
    }


@pytest.mark.parametrize("method", ["apply", "activations"])
def test_unknown_names_are_answered_with_the_valid_ones(probed, method):
    run = getattr(probed.network, method)
    expected = r"`{}`: no layer 'convX'; valid names: .*first.*third"
    with pytest.raises(ValueError, match=expected.format("layers")):
        run(probed.network.params, images(), layers=("first", "convX"))
    with pytest.raises(ValueError, match=expected.format("edits")):
        edits = {"convX": Edit(jnp.ones(4), jnp.zeros(4))}
        run(probed.network.params, images(), layers=("first",), edits=edits)


def test_edits_further_on_do_not_matter_to_activations(probed):
    network, _ = probed
    edits = {"third": ablate([0], NUM_UNITS["third"])}
    plain = network.activations(network.params, images(), layers=("second",))
    edited = network.activations(network.params, images(), layers=("second",), edits=edits)
    np.testing.assert_array_equal(plain["second"], edited["second"])


def test_a_misfitting_edit_is_refused(probed):
    with pytest.raises(ValueError, match=r"`edit.keep` \(=\(7,\)\) must broadcast"):
        probed.network.apply(probed.network.params, images(), edits={"second": ablate([0], 7)})


def test_sharded_images_give_the_same(probed):
    network, _ = probed
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(images(4), NamedSharding(mesh, PartitionSpec("data")))
    run = jax.jit(network.apply, static_argnames="layers")
    edits = {"second": ablate([0], NUM_UNITS["second"])}
    actual = run(network.params, sharded, layers=LAYERS, edits=edits)
    expected = run(network.params, images(4), layers=LAYERS, edits=edits)
    assert_trees_close(jax.device_get(actual), jax.device_get(expected), 1e-5)


def product_sizes(jaxpr) -> list[int]:
    """Output sizes of the convolutions and matrix products of a program, in order."""
    sizes = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            sizes.append(equation.outvars[0].aval.size)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", None)
            if inner is not None:
                sizes += product_sizes(inner)
    return sizes
