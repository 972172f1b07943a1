"""Transposed convolution by phases, against PyTorch's and against a convolution over zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.networks.transposed_convolution import ConvTransposed2D, conv_transposed2d

CASES = [  # cells, size, stride, padding, and lines of these that stay
    ((1, 1), 4, 1, 0),
    ((1, 1), 4, 2, 1),
    ((3, 5), 4, 2, 1),
    ((2, 3), 3, 2, 0),
    ((3, 2), 3, 1, 1),
    ((4, 3), 5, 2, 2),
    ((3, 4), 6, 3, 1),
    ((1, 2), 2, 2, 0),
    ((3, 4), 5, 2, 2, 1),
    ((1, 1), 3, 2, 1, 1),
    ((2, 3), 7, 3, 2, 2),
]


def drawn(*shape):
    return np.random.RandomState(0).standard_normal(shape).astype("f4")


def assert_close(actual, expected):
    bound = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("case", CASES)
def test_sums_of_products(case):
    cells, size, stride, padding, *more = case
    output_padding = sum(more)
    maps, kernel = drawn(2, *cells, 3), drawn(size, size, 3, 4)
    lengths = [(n - 1) * stride + size for n in cells]
    expected = np.zeros((2, *lengths, 4))
    for y, x in np.ndindex(*cells):
        product = np.einsum("bc,ijco->bijo", maps[:, y, x], kernel)
        rows, columns = (slice(n * stride, n * stride + size) for n in (y, x))
        expected[:, rows, columns] += product
    inside = [slice(padding, n - padding + output_padding) for n in lengths]
    found = conv_transposed2d(
        jnp.asarray(maps),
        jnp.asarray(kernel),
        stride=stride,
        padding=padding,
        output_padding=output_padding,
    )
    assert_close(found, expected[:, inside[0], inside[1]])


def test_layer_equals_pytorch():
    torch = pytest.importorskip("torch")
    layer = ConvTransposed2D(3, 5, 4, stride=2, padding=1, rngs=nnx.Rngs(0))
    restated = torch.nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1)
    weight, bias = restated.state_dict().values()
    layer.kernel = nnx.Param(jnp.asarray(weight.numpy().transpose(2, 3, 1, 0)))
    layer.bias = nnx.Param(jnp.asarray(bias.numpy()))
    maps = drawn(2, 6, 7, 3)
    with torch.no_grad():
        expected = restated(torch.from_numpy(maps.transpose(0, 3, 1, 2))).numpy()
    assert_close(jax.jit(layer)(maps), expected.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("size, stride, padding", [(2, 3, 0), (4, 1, 3)])
def test_what_leaves_nothing_is_refused(size, stride, padding):
    kernel = jnp.zeros((size, size, 3, 4))
    with pytest.raises(ValueError, match="`kernel` .* must be at least `stride`"):
        conv_transposed2d(jnp.zeros((1, 3, 3, 3)), kernel, stride=stride, padding=padding)


def test_more_lines_than_were_cut_off_are_refused():
    with pytest.raises(ValueError, match="`output_padding` .* must lie between 0 and `padding`"):
        conv_transposed2d(
            jnp.zeros((1, 3, 3, 3)), jnp.zeros((4, 4, 3, 4)), stride=2, padding=1, output_padding=2
        )
