"""What attacked images look like to units: regions, maps, differences, examples, faults."""

import jax.numpy as jnp
import numpy as np
import pytest
from support import toy_attacked as toy

from jaxdissect.attacks import attack_examples


def test_regions_rise_and_fall():
    before = jnp.zeros((1, 2, 2, 2))
    after = before.at[0, 0, 0].set(jnp.asarray([30.0, -30.0])).at[0, 1, 1, 0].set(9.0)
    rises, falls = attack_examples.changed_regions(before, after, (4, 4))
    assert rises[0, 0, 0, 0] and not rises[0, 3, 3].any() and not rises[..., 1].any()
    np.testing.assert_array_equal(rises[..., 0], falls[..., 1])
    rises, _ = attack_examples.changed_regions(before, after, (2, 2), least=8.0)
    np.testing.assert_array_equal(rises[0, :, :, 0], [[True, False], [False, True]])


def test_amplified_difference_is_grey_where_nothing_changes():
    image = np.full((2, 2, 3), 0.4)
    shown = attack_examples.amplified_difference(image, image + np.array([0.0, 0.001, -0.2]))
    np.testing.assert_allclose(shown[0, 0], [0.5, 0.6, 0.0])


def test_maps_of_some_units():
    network, images = toy.classifier(), toy.images(7)
    maps = network.activations(network.params, jnp.asarray(images), layers=("conv2",))["conv2"]
    some = attack_examples.unit_maps(network, images, "conv2", np.array([5, 2]), batch_size=4)
    np.testing.assert_allclose(some, np.asarray(maps)[..., [5, 2]], 1e-5)


def test_regions_refuse_a_negative_change():
    maps = jnp.zeros((1, 2, 2, 1))
    with pytest.raises(ValueError, match="`least`"):
        attack_examples.changed_regions(maps, maps, (2, 2), least=-1.0)
