"""Masks with a bit for each pixel."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.arrays import bit_masks


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (7, 9)])
def test_masks_are_packed_as_numpy_packs_them(size):
    masks = np.random.default_rng(0).random((2, *size, 3)) < 0.5
    packed = np.asarray(bit_masks.pack_units(jnp.asarray(masks.reshape(2, -1, 3))))
    expected = np.packbits(np.moveaxis(masks.reshape(2, -1, 3), -1, 1), axis=-1)
    np.testing.assert_array_equal(packed, expected)
    assert packed.shape[-1] == bit_masks.num_bytes(size)
    np.testing.assert_array_equal(bit_masks.unpack(packed, size), np.moveaxis(masks, -1, 1))


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"`packed` has 2 bytes a mask, .* 5 x 5 pixels take 4"):
        bit_masks.unpack(np.zeros((3, 2), np.uint8), (5, 5))
