"""Resampling against the reference's own arrays, a NumPy oracle, and its invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import golden

from jaxdissect.arrays import resampling as rs

GOLDEN = [
    "upsample_alexnet_asrun",
    "upsample_alexnet_conv5_correct",
    "upsample_down_224_to_56",
    "upsample_gan_8_to_64",
    "upsample_identity_noimage_offset",
    "upsample_nearest_8_to_32",
    "upsample_nonsquare_offset",
    "upsample_res_7_to_56_relu",
    "upsample_single_pixel",
    "upsample_vgg_14_to_56",
]


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name):
    arrays, meta = golden.load(name)
    data = arrays.get("data")
    if data is None:
        data = golden.recipe().array(
            meta["data_seed"], tuple(meta["data_full_shape"]), meta["data_dist"]
        )
    alignment = rs.pixel_centers
    if meta.get("scale_offset"):
        (scale_y, offset_y), (scale_x, offset_x) = meta["scale_offset"]
        image = tuple(meta["image_size"]) if meta.get("image_size") else None
        alignment = rs.align_corners(
            rs.ReceptiveField((scale_y, scale_x), (offset_y, offset_x)),
            image=image,
            declared_shape=tuple(meta["data_shape"]),
        )
    output = rs.resample(
        jnp.asarray(data.transpose(0, 2, 3, 1)),
        tuple(meta["target"]),
        alignment=alignment,
        border=rs.zero_border,
        interpolation=rs.nearest if meta["mode"] == "nearest" else rs.bilinear,
    )
    expected = arrays["output"].transpose(0, 2, 3, 1)
    tolerance = 1e-4 if "down" in name else 1e-5
    np.testing.assert_allclose(output, expected, atol=tolerance * np.abs(expected).max())


def oracle(data, rows, columns):
    """Clamped bilinear reading of [h, w] at given positions, in float64, pixel by pixel."""
    result = np.zeros((len(rows), len(columns)))
    height, width = data.shape
    for i, row in enumerate(np.clip(rows, 0, height - 1)):
        for j, column in enumerate(np.clip(columns, 0, width - 1)):
            y, x = int(row), int(column)
            y1, x1 = min(y + 1, height - 1), min(x + 1, width - 1)
            top = data[y, x] * (1 - (column - x)) + data[y, x1] * (column - x)
            bottom = data[y1, x] * (1 - (column - x)) + data[y1, x1] * (column - x)
            result[i, j] = top * (1 - (row - y)) + bottom * (row - y)
    return result


@settings(deadline=None, max_examples=15)
@given(
    st.tuples(*[st.integers(1, 9)] * 2), st.tuples(*[st.integers(1, 20)] * 2), st.integers(0, 99)
)
def test_oracle_any_sizes(shape, grid, seed):
    data = np.random.default_rng(seed).standard_normal((2, *shape, 3)).astype(np.float32)
    output = jax.jit(rs.resample, static_argnums=1)(jnp.asarray(data), grid)
    rows, columns = rs.pixel_centers(grid, shape)
    for b in range(2):
        for u in range(3):
            np.testing.assert_allclose(
                output[b, :, :, u], oracle(data[b, :, :, u], rows, columns), atol=1e-5
            )


@pytest.mark.parametrize("value", [0.3, -7.1e-20, 3.3e20])
@pytest.mark.parametrize("compile", [lambda f: f, jax.jit])
def test_constant_maps_stay_exactly_constant(value, compile):
    data = jnp.full((1, 13, 11, 2), value, jnp.float32)
    output = compile(lambda x: rs.resample(x, (56, 53)))(data)
    assert (np.asarray(output) == np.float32(value)).all()


def test_border_values_by_hand():
    data = jnp.ones((1, 2, 2, 1))
    faded = rs.resample(data, (4, 4), border=rs.zero_border)[0, :, :, 0]
    np.testing.assert_allclose(faded[0], [0.5625, 0.75, 0.75, 0.5625])
    assert (rs.resample(data, (4, 4)) == 1).all()


def test_receptive_fields_of_alexnet():
    conv, pool = rs.ConvolutionGeometry, rs.ConvolutionGeometry((3, 3), (2, 2))
    layers = [
        conv((11, 11), (4, 4)),
        pool,
        conv((5, 5), padding=(2, 2)),
        pool,
        conv((3, 3), padding=(1, 1)),
    ]
    assert rs.receptive_field(layers) == rs.ReceptiveField((16, 16), (17, 17))
    assert rs.receptive_field([*layers, pool]) == rs.ReceptiveField((32, 32), (33, 33))


def test_receptive_field_alignment_finds_the_centres():
    # A layer that stores the image row its cells are centred on must resample to those rows.
    field = rs.ReceptiveField((16.0, 16.0), (17.0, 17.0))
    ramp = jnp.broadcast_to(jnp.arange(17.0, 17 + 16 * 13, 16)[:, None, None], (13, 13, 1))
    output = rs.resample(ramp, (227, 227), alignment=rs.align_receptive_field(field, (227, 227)))
    np.testing.assert_allclose(output[17:210, 5, 0], np.arange(17, 210), rtol=1e-5)


def test_same_padding_network_is_pixel_centred():
    # kernel 3, padding 1, pooling 2: the receptive field agrees with stretching edge to edge.
    block = [rs.ConvolutionGeometry((3, 3), padding=(1, 1)), rs.ConvolutionGeometry((2, 2), (2, 2))]
    alignment = rs.align_receptive_field(rs.receptive_field(block * 3), (64, 64))
    for ours, plain in zip(
        alignment((16, 16), (8, 8)), rs.pixel_centers((16, 16), (8, 8)), strict=True
    ):
        np.testing.assert_allclose(ours, plain)


def test_lattice_is_a_subset_of_the_full_map():
    data = jax.random.normal(jax.random.key(0), (2, 7, 7, 3))
    full = np.asarray(rs.resample(data, (28, 28)))
    few = np.asarray(rs.resample(data, (28, 28), lattice=(4, 4)))
    picked = [3, 10, 17, 24]
    np.testing.assert_array_equal(few, full[:, picked][:, :, picked])
    assert rs.resample(data, (28, 28), lattice=(99, 99)).shape == (2, 28, 28, 3)


def test_jit_vmap_grad():
    data = jax.random.normal(jax.random.key(0), (3, 5, 6, 2))
    eager = rs.resample(data, (11, 9))
    np.testing.assert_allclose(jax.jit(lambda x: rs.resample(x, (11, 9)))(data), eager, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda x: rs.resample(x, (11, 9)))(data), eager, atol=1e-6)
    gradient = jax.grad(lambda x: rs.resample(x, (11, 9)).sum())(data)
    assert gradient.sum() == pytest.approx(3 * 11 * 9 * 2, rel=1e-5)


def test_bfloat16_keeps_its_type():
    assert rs.resample(jnp.ones((1, 2, 2, 1), jnp.bfloat16), (4, 4)).dtype == jnp.bfloat16


def test_empty_grid_is_refused():
    with pytest.raises(ValueError, match=r"`grid` \(=\(0, 4\)\)"):
        rs.resample(jnp.ones((1, 2, 2, 1)), (0, 4))


def test_gradients_are_those_of_the_weights():
    """However values are rounded, their gradient is that of the linear map."""
    maps = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, 5, 3)), jnp.float32)
    cotangent = jnp.asarray(np.random.default_rng(1).standard_normal((2, 13, 11, 3)), jnp.float32)
    ours, expected = (
        jax.grad(lambda maps, read=read: (read(maps) * cotangent).sum())(maps)
        for read in (
            lambda maps: rs.resample(maps, (13, 11)),
            lambda maps: jax.image.resize(maps, cotangent.shape, "linear", antialias=False),
        )
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
