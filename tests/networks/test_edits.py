"""Edits against NumPy, their constructors and composition, and masked parameters."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from support.probed_networks import images, normal

from jaxdissect.networks.adapters.linen_network import LinenNetwork
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.edits import (
    Edit,
    ablate,
    add_noise,
    apply_edit,
    compose,
    insert,
    keep_units,
    mask_params,
    replace_by_mean,
)

UNITS = 6
MAPS = (2, 4, 3, UNITS)

# jaxtyping's checks of the test session would come before our own messages.
unchecked_ablate = inspect.unwrap(ablate)


def activations(*shape: int) -> jax.Array:
    return normal(5, shape or MAPS)


def halves(keep_shape: tuple[int, ...], add_shape: tuple[int, ...], seed: int = 0) -> Edit:
    return Edit(normal(seed, keep_shape), normal(seed + 10, add_shape))


SHAPES = [(), (UNITS,), (4, 3, UNITS), (4, 3, 1), (2, 1, 1, UNITS), (2, 1, 1, 1), MAPS]


@pytest.mark.parametrize(
    ("keep_shape", "add_shape"), list(zip(SHAPES, SHAPES[3:] + SHAPES[:3], strict=True))
)
def test_apply_broadcasts_from_the_right(keep_shape, add_shape):
    edit = halves(keep_shape, add_shape)
    a, keep, add = (np.asarray(array, np.float64) for array in (activations(), *edit))
    for transform in (lambda f: f, jax.jit):
        edited = transform(apply_edit)(activations(), edit)
        np.testing.assert_allclose(edited, a * keep + add, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_apply_keeps_the_dtype_of_the_activations(dtype):
    a = activations().astype(dtype)
    edited = apply_edit(a, insert([1, 2], jnp.asarray([0.5, 3.0]), UNITS))
    assert edited.dtype == dtype
    np.testing.assert_array_equal(edited[..., 2], np.full(MAPS[:-1], 3.0))
    np.testing.assert_array_equal(edited[..., 3:], a[..., 3:])


@pytest.mark.parametrize("shape", [(5,), (3, 4, UNITS), (1, *MAPS), (2, 4, 3)])
def test_apply_refuses_what_does_not_fit(shape):
    one = jnp.ones(())
    with pytest.raises(ValueError, match=r"`edit.keep` .* must broadcast to the activations"):
        apply_edit(activations(), Edit(jnp.ones(shape), one))
    with pytest.raises(ValueError, match=r"`edit.add` .* must broadcast to the activations"):
        apply_edit(activations(), Edit(one, jnp.ones(shape)))


def test_apply_never_enlarges_the_activations():
    with pytest.raises(ValueError, match="must broadcast"):
        apply_edit(activations(1, 4, 3, UNITS), Edit(jnp.ones(MAPS), jnp.zeros(())))


@pytest.mark.parametrize("units", [[4, 1], (1, 4), np.array([1, 4]), jnp.array([1, 4]), range(0)])
def test_ablate_sets_units_to_zero(units):
    edited = apply_edit(activations(), ablate(units, UNITS))
    expected = np.array(activations())
    expected[..., list(units)] = 0
    np.testing.assert_array_equal(edited, expected)


def test_a_traced_mask_removes_the_same_units():
    masks = jnp.asarray([[True, False, True, True, False, True], [False] * UNITS])
    edited = jax.jit(jax.vmap(lambda mask: apply_edit(activations(), keep_units(mask))))(masks)
    np.testing.assert_array_equal(edited[0], apply_edit(activations(), ablate([1, 4], UNITS)))
    np.testing.assert_array_equal(edited[1], np.zeros(MAPS))


def test_traced_units_make_a_batch_of_edits():
    edits = jax.vmap(lambda unit: ablate(unit[None], UNITS))(jnp.arange(UNITS))
    np.testing.assert_array_equal(edits.keep, 1 - np.eye(UNITS))


def test_insert_everywhere():
    values = jnp.asarray([3.0, -2.0])
    edited = apply_edit(activations(), insert([4, 0], values, UNITS))
    expected = np.array(activations())
    expected[..., 4], expected[..., 0] = 3.0, -2.0
    np.testing.assert_array_equal(edited, expected)
    same = apply_edit(activations(), insert([0, 4], 3.0, UNITS))
    np.testing.assert_array_equal(same[..., 0], same[..., 4])


@pytest.mark.parametrize("batched", [False, True])
def test_insert_at_places(batched):
    shape = MAPS[:-1] if batched else MAPS[1:-1]
    where = jnp.linspace(0, 1, math.prod(shape)).reshape(shape)
    edited = apply_edit(activations(), insert([4, 0], jnp.asarray([3.0, -2.0]), UNITS, where=where))
    expected = np.array(activations(), np.float64)
    for unit, value in ((4, 3.0), (0, -2.0)):
        expected[..., unit] += (value - expected[..., unit]) * np.asarray(where)
    np.testing.assert_allclose(edited, expected, rtol=1e-5, atol=1e-6)


def test_insert_at_tokens():
    where = jnp.asarray([0.0, 1.0, 0.5])
    edited = apply_edit(activations(2, 3, UNITS), insert([1], 2.0, UNITS, where=where))
    a = np.asarray(activations(2, 3, UNITS))
    expected = a[..., 1] * (1 - np.asarray(where)) + 2 * np.asarray(where)
    np.testing.assert_allclose(edited[..., 1], expected, rtol=1e-6)
    np.testing.assert_array_equal(edited[..., 2:], a[..., 2:])


def test_insert_refuses_another_number_of_values():
    with pytest.raises(ValueError, match=r"`values` \(=\(3,\)\) must be one number, or one for"):
        insert([1, 2], jnp.ones(3), UNITS)


def test_replace_by_mean():
    means = jnp.arange(UNITS, dtype=jnp.float32)
    edited = apply_edit(activations(), replace_by_mean([5, 2], means))
    expected = np.array(activations())
    expected[..., 5], expected[..., 2] = 5, 2
    np.testing.assert_array_equal(edited, expected)


def test_noise_of_given_strength_on_chosen_units_only():
    shape = (32, 16, 16, UNITS)
    scale = jnp.asarray([2.0, 0.5])
    edit = add_noise(jax.random.key(0), [4, 1], UNITS, scale, shape)
    noise = np.asarray(apply_edit(jnp.zeros(shape), edit), np.float64)
    deviation = noise.std((0, 1, 2))
    np.testing.assert_allclose(deviation[[4, 1]], scale, rtol=0.03)
    np.testing.assert_array_equal(deviation[[0, 2, 3, 5]], 0)
    np.testing.assert_allclose(noise.mean((0, 1, 2)), 0, atol=0.1)
    again = add_noise(jax.random.key(0), [4, 1], UNITS, scale, shape)
    np.testing.assert_array_equal(edit.add, again.add)
    other = add_noise(jax.random.key(1), [4, 1], UNITS, scale, shape)
    assert np.abs(edit.add - other.add).max() > 0.1
    assert add_noise(jax.random.key(0), [4], UNITS, 1.0, shape[1:]).add.shape == shape[1:]


def test_noise_refuses_a_shape_without_units():
    with pytest.raises(ValueError, match=r"`shape` \(=\(4, 3\)\) must end in `num_units` \(=6\)"):
        add_noise(jax.random.key(0), [4], UNITS, 1.0, (4, 3))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(shapes=st.lists(st.sampled_from(SHAPES), min_size=4, max_size=4))
def test_compose_is_one_after_the_other(shapes):
    first, second = halves(*shapes[:2], seed=1), halves(*shapes[2:], seed=2)
    together = apply_edit(activations(), compose(first, second))
    in_turn = apply_edit(apply_edit(activations(), first), second)
    np.testing.assert_allclose(together, in_turn, rtol=1e-5, atol=1e-5)


def test_compose_under_vmap():
    edits = jax.tree.map(lambda half: jnp.stack([half, 2 * half]), halves((UNITS,), (UNITS,)))
    fixed = halves((4, 3, UNITS), ())
    together = jax.vmap(compose, in_axes=(0, None))(edits, fixed)
    second = jax.tree.map(lambda half: half[1], edits)
    for actual, expected in zip(together, compose(second, fixed), strict=True):
        np.testing.assert_array_equal(actual[1], expected)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([6], r"`units` must be in \[0, 6\), got \[6\]"),
        ([0, -1, 9], r"got \[-1, 9\]"),
        (np.array([True, False]), "must be a row of integers; for a mask use `keep_units`"),
        ([0.5], "`units` .* must be a row of integers"),
        ([[1]], "`units` .* must be a row of integers"),
        (3, "`units` .* must be a row of integers"),
    ],
)
def test_units_must_be_integers_in_range(units, message):
    with pytest.raises(ValueError, match=message):
        unchecked_ablate(units, UNITS)


class NnxBlock(nnx.Module):
    """Convolution and normalisation as one layer; a convolution alone as another."""

    def __init__(self):
        rngs = nnx.Rngs(3)
        conv = nnx.Conv(3, UNITS, (3, 3), rngs=rngs)
        self.block = nnx.Sequential(conv, nnx.BatchNorm(UNITS, rngs=rngs))
        self.conv = nnx.Conv(UNITS, UNITS, (3, 3), rngs=rngs)
        self.head = nnx.Conv(UNITS, 2, (1, 1), rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.relu(self.conv(nnx.relu(self.block(x)))))


class LinenNormalised(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=True)(nn.Conv(UNITS, (3, 3))(x))


class LinenBlock(nn.Module):
    """The same, in linen."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(LinenNormalised(name="block")(x))
        return nn.Conv(2, (1, 1))(nn.relu(nn.Conv(UNITS, (3, 3), name="conv")(x)))


def perturbed(params):
    """Give biases, means and scales values that matter."""
    return jax.tree.map(lambda leaf: leaf + 0.3 * abs(normal(4, leaf.shape)), params)


def nnx_block() -> NnxNetwork:
    network = NnxNetwork(NnxBlock())
    network.params = perturbed(network.params)
    return network


def linen_block() -> LinenNetwork:
    return LinenNetwork(LinenBlock(), perturbed(LinenBlock().init(jax.random.key(0), images())))


@pytest.fixture(scope="module", params=[nnx_block, linen_block])
def network(request):
    return request.param()


@pytest.mark.parametrize("layer", ["block", "conv"])
def test_masked_parameters_agree_with_edits(network, layer):
    """A unit whose parameters are masked outputs zero, before the ReLU and so after it."""
    keep = jnp.asarray([True, False, True, True, False, False])
    masked = mask_params(network.params, layer, keep)
    output, recorded = network.apply(masked, images(), layers=(layer,))
    np.testing.assert_array_equal(recorded[layer][..., ~np.asarray(keep)], 0)
    expected, plain = network.apply(
        network.params, images(), layers=(layer,), edits={layer: keep_units(keep)}
    )
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(output - network.apply(network.params, images())[0]).max() > 1e-3
    assert (np.abs(plain[layer]).max((0, 1, 2)) > 1e-3).all()
    assert jax.tree.structure(masked) == jax.tree.structure(network.params)


def test_masks_make_a_batch_of_parameters(network):
    def output(keep):
        return network.apply(mask_params(network.params, "conv", keep), images())[0]

    masks = 1 - jnp.eye(UNITS)
    batched = jax.jit(jax.vmap(output))(masks)
    np.testing.assert_allclose(batched[4], output(masks[4]), rtol=1e-5, atol=1e-6)
    assert np.abs(batched[4] - batched[3]).max() > 1e-3


def test_only_the_layer_itself_is_masked():
    params = {
        "conv1": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
        "conv10": {"kernel": jnp.ones((2, 3))},
    }
    masked = mask_params(params, "conv1", jnp.asarray([0.0, 0.5, 1.0]))
    np.testing.assert_array_equal(masked["conv1"]["kernel"], [[0, 0.5, 1]] * 2)
    np.testing.assert_array_equal(masked["conv1"]["bias"], [0, 0.5, 1])
    np.testing.assert_array_equal(masked["conv10"]["kernel"], np.ones((2, 3)))
    np.testing.assert_array_equal(params["conv1"]["bias"], np.ones(3))


@pytest.mark.parametrize(
    ("layer", "units", "message"),
    [
        ("convX", UNITS, r"`layer` \(='convX'\) must have exactly one kernel .* found 0; .*conv"),
        ("con", UNITS, "found 0"),
        ("conv", 4, r"`keep` \(=\(4,\)\) must have one factor for each output unit of 'conv'"),
        ("head", UNITS, "whose bias is|whose kernel is"),
    ],
)
def test_masking_names_what_is_wrong(layer, units, message):
    with pytest.raises(ValueError, match=message):
        mask_params(nnx_block().params, layer, jnp.ones(units))


def test_masking_refuses_two_kernels():
    params = {"block": {"a": {"kernel": jnp.ones((2, 3))}, "b": {"kernel": jnp.ones((3, 3))}}}
    with pytest.raises(ValueError, match=r"found 2; kernels: block.a.kernel, block.b.kernel"):
        mask_params(params, "block", jnp.ones(3))
