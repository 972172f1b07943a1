"""Colour names: anchors of every term, the order of greys, coarser grids, transformations."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.arrays.colors import (
    COLOR_NAMES,
    COLOR_REGIONS,
    area_mean,
    color_labels,
    lightness_chroma_hue,
    linear_light,
)

# Colours whose everyday name leaves no doubt, mostly keywords of CSS, in 8-bit sRGB.
ANCHORS = {
    "black": ["000000", "101010", "0a0a12"],
    "blue": ["0000ff", "000080", "4169e1", "1e90ff", "4682b4", "87ceeb"],
    "brown": ["8b4513", "a0522d", "654321", "5c4033", "7b3f00"],
    "grey": ["808080", "696969", "a9a9a9", "999999"],
    "green": ["00ff00", "008000", "228b22", "2e8b57", "006400", "90ee90", "9acd32"],
    "orange": ["ffa500", "ff8c00", "ff7f50", "ff7f00"],
    "pink": ["ffc0cb", "ff69b4", "ffb6c1", "db7093"],
    "purple": ["800080", "4b0082", "9400d3", "663399", "9370db"],
    "red": ["ff0000", "dc143c", "b22222", "8b0000"],
    "white": ["ffffff", "f5f5f5", "fffafa", "f8f8ff"],
    "yellow": ["ffff00", "ffd700", "f0e68c", "ffe135"],
}
CODES = [(name, code) for name, codes in ANCHORS.items() for code in codes]

# jaxtyping's checks of the test session would come before our own messages.
unchecked = inspect.unwrap(color_labels)


def random_images(*shape: int) -> jax.Array:
    return jax.random.uniform(jax.random.key(0), (*shape, 3))


def test_names_are_the_basic_terms_in_alphabetical_order_of_broden():
    assert COLOR_NAMES == tuple(ANCHORS)
    assert {region.name for region in COLOR_REGIONS} == set(COLOR_NAMES)


@pytest.mark.parametrize(("name", "code"), CODES)
def test_anchor(name, code):
    image = jnp.asarray([[list(bytes.fromhex(code))]], jnp.float32) / 255
    assert COLOR_NAMES[int(color_labels(image)[0, 0]) - 1] == name


def test_lightness_chroma_hue_of_published_pairs():
    """OKLab of the D65 white and of three XYZ colours in Ottosson's post, through linear sRGB."""
    from_xyz = np.linalg.inv(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175]]
        + [[0.0193339, 0.119192, 0.9503041]]
    )
    xyz = np.array([[0.950, 1.000, 1.089], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    lab = np.array(
        [[1.0, 0.0, 0.0], [0.45, 1.236, -0.019], [0.922, -0.671, 0.263], [0.153, -1.415, -0.449]]
    )
    lightness, chroma, hue = lightness_chroma_hue(jnp.asarray(xyz @ from_xyz.T, jnp.float32))
    angle = np.deg2rad(np.asarray(hue))
    got = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1)
    np.testing.assert_allclose(got, lab, atol=2e-3)


def test_greys_go_from_black_through_grey_to_white():
    ramp = jnp.broadcast_to((jnp.arange(256) / 255)[None, :, None], (1, 256, 3))
    order = [COLOR_NAMES.index(name) + 1 for name in ("black", "grey", "white")]
    labels = np.asarray(color_labels(ramp))[0]
    changes = np.flatnonzero(np.diff(labels))
    assert labels[[0, 128, 255]].tolist() == order
    assert len(changes) == 2  # each of the three is one stretch
    assert np.all(np.isin(labels, order))


def test_every_colour_has_one_label_and_every_label_occurs():
    steps = jnp.linspace(0, 1, 32)
    cube = jnp.stack(jnp.meshgrid(steps, steps, steps), axis=-1)
    assert set(np.unique(color_labels(cube)).tolist()) == set(range(1, 12))


def test_values_outside_are_clipped_and_nan_has_no_label():
    image = jnp.asarray([[[-1.0] * 3, [7.0] * 3, [7.0, -1.0, 0.0], [0.5, jnp.nan, 0.5]]])
    labels = np.asarray(color_labels(image))[0]
    names = [COLOR_NAMES[label - 1] for label in labels[:3]]
    assert names == ["black", "white", "red"]
    assert labels[3] == 0


@pytest.mark.parametrize("grid", [None, (5, 7)])
@pytest.mark.slow
def test_jit_vmap_and_batch_axes_change_nothing(grid):
    images = random_images(2, 3, 16, 20)
    labels = color_labels(images, grid=grid)
    assert labels.shape == (2, 3, *(grid or (16, 20)))
    assert labels.dtype == jnp.int32

    def label(image):
        return color_labels(image, grid=grid)

    np.testing.assert_array_equal(jax.jit(label)(images), labels)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(label))(images), labels)
    np.testing.assert_array_equal(label(images[1, 2]), labels[1, 2])


def test_sharded_batch_gets_the_same_labels():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    images = random_images(8, 12, 12)
    split = jax.device_put(images, jax.NamedSharding(mesh, jax.P("data")))
    labels = jax.jit(lambda batch: color_labels(batch, grid=(5, 5)))(split)
    np.testing.assert_array_equal(labels, color_labels(images, grid=(5, 5)))


def test_half_precision_images_keep_their_names():
    image = jnp.asarray([[list(bytes.fromhex(code)) for _, code in CODES]], jnp.float32) / 255
    expected = [COLOR_NAMES.index(name) + 1 for name, _ in CODES]
    assert color_labels(image.astype(jnp.bfloat16))[0].tolist() == expected


def area_mean_oracle(image: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Repeat pixels until every cell holds whole ones, then average blocks."""
    height, width, depth = image.shape
    fine = image.astype(np.float64).repeat(grid[0], axis=0).repeat(grid[1], axis=1)
    return fine.reshape(grid[0], height, grid[1], width, depth).mean(axis=(1, 3))


@pytest.mark.parametrize("grid", [(1, 1), (4, 5), (3, 7), (7, 9), (8, 10)])
def test_area_mean_equals_oracle(grid):
    image = random_images(8, 10)
    expected = area_mean_oracle(np.asarray(image), grid)
    np.testing.assert_allclose(area_mean(image, grid), expected, atol=1e-6)


def test_grid_names_the_mean_light_of_each_cell():
    image = random_images(12, 15)
    encoded = np.asarray(image, np.float64)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    mean = area_mean_oracle(linear, (5, 4))
    back = np.where(mean <= 0.0031308, mean * 12.92, 1.055 * mean ** (1 / 2.4) - 0.055)
    expected = color_labels(jnp.asarray(back, jnp.float32))
    np.testing.assert_array_equal(color_labels(image, grid=(5, 4)), expected)


def test_grid_mixes_light_not_names_nor_encoded_values():
    """Fine stripes of red and green light look yellow, of which no pixel has the name."""
    image = jnp.zeros((4, 4, 3)).at[:, ::2, 0].set(1).at[:, 1::2, 1].set(1)
    label = int(color_labels(image, grid=(1, 1))[0, 0])
    assert COLOR_NAMES[label - 1] == "yellow"


def test_grid_of_the_images_own_size_labels_every_pixel():
    image = random_images(6, 9)
    np.testing.assert_array_equal(color_labels(image, grid=(6, 9)), color_labels(image))


def test_linear_light_of_middle_grey():
    np.testing.assert_allclose(
        linear_light(jnp.asarray([0.5, 0.02, 1.0])), [0.21404, 0.001548, 1.0], 1e-4
    )


@pytest.mark.parametrize(
    ("images", "grid", "message"),
    [
        (jnp.zeros((4, 4, 3), jnp.uint8), None, r"`images` \(of uint8\) must be floating"),
        (jnp.zeros((4, 4, 4)), None, r"`images` \(=\(4, 4, 4\)\) must have last axes"),
        (jnp.zeros((4, 3)), None, r"`images` \(=\(4, 3\)\) must have last axes"),
        (jnp.zeros((4, 4, 3)), (5, 4), r"`grid` \(=\(5, 4\)\) must lie between"),
        (jnp.zeros((4, 4, 3)), (0, 4), r"`grid` \(=\(0, 4\)\) must lie between"),
    ],
)
def test_bad_input_is_refused(images, grid, message):
    with pytest.raises(ValueError, match=message):
        unchecked(images, grid=grid)
