"""DeepLab with MobileNetV2, and the TensorFlow Lite file that it is read from."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.random_weights import filled, named_shapes
from support.tflite_files import DeepLabFile

from jaxdissect.networks.loading import convert, load_network
from jaxdissect.networks.models.deeplab import (
    BLOCKS,
    CornersOfImage,
    DeepLab,
    from_shapes,
    prepare,
    with_equal_corners,
)
from jaxdissect.networks.models.deeplab_tflite import load_deeplab_tflite
from jaxdissect.networks.models.inverted_residual import Inverted
from jaxdissect.networks.network import as_network
from jaxdissect.networks.weights.files import write_weights
from jaxdissect.networks.weights.mapping import parameters

SMALL = (
    Inverted(4, expansion=1),
    Inverted(4, stride=2),
    Inverted(6, expansion=2),
    Inverted(6, stride=2),
    Inverted(6, dilation=2),
    Inverted(8, dilation=4),
)


def small(rngs=None):
    return DeepLab(5, stem=4, blocks=SMALL, units=8, reduced=3, rngs=rngs or nnx.Rngs(0))


def arrays(network):
    return {name: np.asarray(array) for name, array in parameters(network).items()}


def images(*shape):
    return jnp.asarray(np.random.RandomState(0).random_sample(shape), jnp.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("deeplab") / "small.tflite"
    path.write_bytes(DeepLabFile(arrays(filled(small)), SMALL).content())
    return path


def test_a_file_gives_the_network_that_it_was_written_from(file):
    found, due = load_deeplab_tflite(file), filled(small)
    for name, array in arrays(due).items():
        # int8 keeps 1/254 of the largest value of a channel.
        np.testing.assert_allclose(
            arrays(found)[name], array, atol=float(np.abs(array).max() / 250), err_msg=name
        )
    x = prepare(images(2, 33, 33, 3))
    scores, expected = jax.jit(found.__call__)(x), jax.jit(due.__call__)(x)
    assert scores.shape == (2, 33, 33, 5)
    np.testing.assert_allclose(scores, expected, atol=0.02 * float(np.abs(expected).max()))
    assert np.abs(scores - expected).max() > 0


def test_files_of_other_networks_are_refused(tmp_path):
    path = tmp_path / "other.tflite"

    def written(blocks=SMALL, parameters=None, **options):
        path.write_bytes(
            DeepLabFile(parameters or arrays(filled(small)), blocks, **options).content()
        )
        return path

    for options, message in (
        ({"align_corners": False}, "resizes without aligning corners"),
        ({"last": "ARG_MAX"}, "goes on after its scores, with ARG_MAX"),
    ):
        with pytest.raises(ValueError, match=f"other.tflite, read as a DeepLab .* {message}"):
            load_deeplab_tflite(written(**options))
    wide = arrays(filled(small))
    wide["aspp0.kernel"] = np.ones((3, 3, 8, 8), np.float32)
    with pytest.raises(ValueError, match=r"aspp0 has kernel \(3, 3\), and must have \(1, 1\)"):
        load_deeplab_tflite(written(parameters=wide))
    content = written().read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="other.tflite is"):
        load_deeplab_tflite(path)


@pytest.mark.parametrize("name", ["deeplab_mobilenet_ade20k", "espnetv2"])
def test_files_that_only_a_segmenter_reads_say_so(name, tmp_path):
    message = r'pretrained_segmenter\("deeplab_mobilenet_ade20k", weights=.* --segmenter-weights'
    with pytest.raises(ValueError, match=message):
        load_network(name, "other.tflite")
    with pytest.raises(ValueError, match=message):
        convert(name, "other.tflite", tmp_path / "other.safetensors")


def test_weights_of_other_widths_are_read_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite", None)
    narrow = [block._replace(units=2 + number // 6) for number, block in enumerate(BLOCKS)]
    sizes = {"stem": 3, "blocks": narrow, "units": 5, "reduced": 2}
    network = filled(lambda: DeepLab(4, **sizes, rngs=nnx.Rngs(0)))
    path = tmp_path / "narrow.safetensors"
    write_weights(path, arrays(network), metadata={})
    found = arrays(load_network("deeplab_mobilenet_ade20k", path))
    for name, array in arrays(network).items():
        np.testing.assert_array_equal(found[name], array)


def test_the_published_sizes():
    shapes = named_shapes(lambda: from_shapes({}))
    assert shapes["logits.semantic.weight"] == (151, 256, 1, 1)
    assert shapes["MobilenetV2.expanded_conv_16.depthwise.weight"] == (960, 1, 3, 3)
    assert shapes["decoder.decoder_conv0_depthwise.weight"] == (304, 1, 3, 3)
    assert sum(np.prod(shape) for shape in shapes.values()) == 2_286_855
    network = nnx.eval_shape(lambda: from_shapes({}))
    definition, state = nnx.split(network)
    image = jax.ShapeDtypeStruct((1, 513, 513, 3), jnp.float32)
    found = jax.eval_shape(
        lambda state, x: nnx.merge(definition, state).coarse_scores(x), state, image
    )
    assert found.shape == (1, 129, 129, 151)


def test_layers_have_published_names():
    network = as_network(filled(small))
    names = ("MobilenetV2.expanded_conv_2.depthwise_relu6", "MobilenetV2.expanded_conv_2", "logits")
    x = prepare(images(1, 33, 33, 3))
    run = jax.jit(partial(network.apply, layers=names))
    scores, layers = run(network.params, x)
    assert [layers[name].shape for name in names] == [(1, 9, 9, 8), (1, 9, 9, 6), (1, 9, 9, 5)]
    assert layers[names[0]].min() == 0 and layers[names[0]].max() <= 6
    np.testing.assert_allclose(scores, with_equal_corners(layers["logits"], (33, 33)), rtol=1e-6)


def test_a_grid_reads_the_interpolated_scores_at_its_centres():
    rows, columns = CornersOfImage((513, 257))((513, 4), (129, 65))
    np.testing.assert_allclose(rows, np.arange(513) / 4)
    np.testing.assert_allclose(columns, (np.array([0.5, 1.5, 2.5, 3.5]) * 257 / 4 - 0.5) / 4)
