"""ESPNetv2: its published sizes and names, and what its layers compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.random_weights import filled, named_shapes, random_weights

from jaxdissect.networks.loading import load_network
from jaxdissect.networks.models.espnetv2 import (
    ESPNetV2,
    PReLU,
    Sizes,
    averaged,
    from_shapes,
    interleaved,
    means,
)
from jaxdissect.networks.network import as_network
from jaxdissect.networks.segmenters.pretrained import pretrained_segmenter
from jaxdissect.networks.weights.files import write_weights
from jaxdissect.networks.weights.mapping import parameters

SMALL = Sizes(classes=5, levels=(16, 32, 64, 128), depths=(1, 2), decoder=(8, 8, 4), filters=4)


def small():
    return ESPNetV2(SMALL, rngs=nnx.Rngs(0))


def images(*shape):
    return jnp.asarray(np.random.RandomState(0).random_sample(shape), jnp.float32)


def test_the_published_sizes_and_names():
    shapes = named_shapes(lambda: from_shapes({}))
    assert shapes["base_net.level2_0.eesp.proj_1x1.conv.weight"] == (24, 8, 1, 1)
    assert shapes["base_net.level4.6.spp_dw.3.conv.weight"] == (128, 1, 3, 3)
    assert shapes["base_net.level3.0.module_act.weight"] == (256,)
    assert shapes["merge_enc_dec_l2.expansion_layer.cbr.0.weight"] == (64, 4, 3, 3)
    assert shapes["bu_dec_l4.merge_layer.3.bias"] == (21,)
    learned = {n: s for n, s in shapes.items() if "running" not in n}
    assert sum(int(np.prod(shape)) for shape in learned.values()) == 789_253


def test_sizes_are_read_from_weights_of_either_naming(tmp_path):
    np.savez(tmp_path / "small.npz", **random_weights(small))
    network = load_network("espnetv2", tmp_path / "small.npz")
    assert isinstance(network, ESPNetV2) and network.sizes == SMALL
    arrays = {name: np.asarray(array) for name, array in parameters(network).items()}
    write_weights(tmp_path / "small.safetensors", arrays, metadata={})
    again = parameters(load_network("espnetv2", tmp_path / "small.safetensors"))
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
    with pytest.raises(ValueError, match="small.npz is an ESPNetv2 with 5 classes, .* are 21"):
        pretrained_segmenter("espnetv2_voc", weights=tmp_path / "small.npz")


def test_coarse_scores_are_those_of_every_second_pixel_of_odd_sides():
    network = filled(small)
    x = images(2, 33, 33, 3)
    every, coarse = jax.jit(lambda x: (network(x), network.coarse_scores(x)))(x)
    assert every.shape == (2, 33, 33, 5) and coarse.shape == (2, 17, 17, 5)
    np.testing.assert_allclose(every[:, ::2, ::2], coarse, atol=1e-6)


def test_layers_have_published_names():
    network = as_network(filled(small))
    names = ("base_net.level4.1.module_act", "base_net.level3", "bu_dec_l4")
    _, layers = jax.jit(lambda p, x: network.apply(p, x, layers=names))(
        network.params, images(1, 32, 32, 3)
    )
    shapes = [layers[name].shape for name in names]
    assert shapes == [(1, 2, 2, 128), (1, 4, 4, 64), (1, 16, 16, 5)]


def test_steps_between_grids():
    x = images(1, 7, 5, 4)
    found = means(x, (3, 2))
    # Windows [0, 3), [2, 5), [4, 7) down, and [0, 3), [2, 5) across.
    np.testing.assert_allclose(found[0, 1, 0], x[0, 2:5, 0:3].mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(found[0, 2, 1], x[0, 4:7, 2:5].mean((0, 1)), rtol=1e-5)
    halved = averaged(x)
    assert halved.shape == (1, 4, 3, 4)
    np.testing.assert_allclose(halved[0, 0, 0], x[0, :2, :2].sum((0, 1)) / 9, rtol=1e-5)
    order = interleaved(jnp.arange(10.0).reshape(1, 1, 1, 10))[0, 0, 0]
    assert order.tolist() == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    rectified = PReLU(4)(x - 0.5)
    np.testing.assert_allclose(rectified, jnp.where(x > 0.5, x - 0.5, 0.25 * (x - 0.5)))
