"""MobileNetV2 and ConvNeXt-T: every layer as in torchvision, the names of timm, what is refused."""

import re

import jax
import numpy as np
import pytest
from flax import nnx

from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.models import convnext, mobilenet_v2
from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.models.convnext import ConvNeXt
from jaxdissect.networks.models.mobilenet_v2 import MobileNetV2
from jaxdissect.networks.weights.mapping import PYTORCH, parameters, with_parameters

NAMES = ("mobilenet_v2", "convnext_tiny")
LAST = {"mobilenet_v2": "classifier.1.weight", "convnext_tiny": "classifier.2.weight"}
UNITS = {"mobilenet_v2": 1280, "convnext_tiny": 768}
OF_TIMM = {"mobilenet_v2": "mobilenetv2_100", "convnext_tiny": "convnext_tiny"}
# What only moves axes, or does nothing in evaluation mode.
NOT_HERE = re.compile(r"|features|.*(block\.[16]|stochastic_depth)")

each = pytest.mark.parametrize("name", NAMES)


def images(sides=(64, 70), batch=2):
    return np.random.RandomState(1).standard_normal((batch, *sides, 3)).astype("f4")


def builder(name, num_classes=7):
    shapes = {LAST[name]: (num_classes, UNITS[name])}
    return lambda: ARCHITECTURES[name].from_shapes(shapes)


def pytorch_shapes(build):
    """Names and shapes as in PyTorch; nothing is computed."""
    state = nnx.state(nnx.eval_shape(build), nnx.Not(nnx.RngState))
    flat = {".".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(state)}
    return {PYTORCH.name(name): PYTORCH.shape(shape, name) for name, shape in flat.items()}


@pytest.mark.slow
@each
def test_every_layer_equals_torchvisions(name):
    models = pytest.importorskip("torchvision.models")
    torch_layers = pytest.importorskip("support.torch_layers")
    theirs = torch_layers.randomise(getattr(models, name)(num_classes=7), images())
    names = torch_layers.compare_layers(theirs, builder(name), images())
    absent = {layer for layer, _ in theirs.named_modules()} - set(names)
    assert all(NOT_HERE.fullmatch(layer) for layer in absent), absent


@pytest.mark.slow
@each
def test_weights_of_timm_give_what_timm_gives(name):
    timm = pytest.importorskip("timm")
    torch_layers = pytest.importorskip("support.torch_layers")
    torch = pytest.importorskip("torch")
    theirs = timm.create_model(OF_TIMM[name], num_classes=7)
    theirs = torch_layers.randomise(theirs, images()).double()
    arrays = ARCHITECTURES[name].reference_names(torch_layers.arrays_of(theirs))
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        ours = with_parameters(builder(name), arrays, dtype=np.float64)
        definition, state = nnx.split(ours)
        inputs = np.asarray(images(), np.float64)
        actual = jax.jit(lambda state, x: nnx.merge(definition, state)(x))(state, inputs)
    with torch.no_grad():
        expected = theirs(torch_layers.channels_first(inputs)).numpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@each
def test_sizes_and_names_of_layers(name):
    shapes = pytorch_shapes(builder(name, 3))
    assert shapes[LAST[name]] == (3, UNITS[name])
    assert pytorch_shapes(lambda: ARCHITECTURES[name].from_shapes({}))[LAST[name]][0] == 1000
    assert set(ARCHITECTURES[name].marks) <= shapes.keys()
    known = ARCHITECTURES[name].reference_names
    zeros = {n: np.broadcast_to(np.float32(0), shape) for n, shape in shapes.items()}
    assert known(zeros) == zeros
    odd = ["blocks.9.0.conv_pw.weight", "stages.9.0.gamma", "blocks.0.7.bn1.bias", "norm_pre.bias"]
    kept = {n: np.zeros(1, "f4") for n in odd}
    assert list(known(kept)) == odd


def test_small_networks_run_and_lay_maps_out_as_layers():
    small = MobileNetV2(4, depths=(1, 2, 1, 1, 1, 1, 1), widths=(2,) * 7, stem=4, head=6,
                        rngs=nnx.Rngs(0))  # fmt: skip
    network = NnxNetwork(small)
    layers = ("features.0.2", "features.3", "features.9", "classifier.1")
    found = jax.eval_shape(lambda p, x: network.activations(p, x, layers=layers),
                           network.params, images((40, 33)))  # fmt: skip
    assert [found[name].shape for name in layers] == [
        (2, 20, 17, 4), (2, 10, 9, 2), (2, 2, 2, 6), (2, 4)
    ]  # fmt: skip

    tiny = ConvNeXt(4, depths=(1, 1, 2, 1), widths=(4, 6, 8, 10), rngs=nnx.Rngs(0))
    network = NnxNetwork(tiny)
    layers = ("features.0", "features.1.0.block.4", "features.5.1", "features.7", "classifier.2")
    found = jax.eval_shape(lambda p, x: network.activations(p, x, layers=layers),
                           network.params, images((64, 96)))  # fmt: skip
    assert [found[name].shape for name in layers] == [
        (2, 16, 24, 4), (2, 16, 24, 16), (2, 4, 6, 8), (2, 2, 3, 10), (2, 4)
    ]  # fmt: skip
    assert float(parameters(tiny)["features.1.0.layer_scale"][0, 0, 0]) == np.float32(1e-6)
    with pytest.raises(ValueError, match="at least 32 x 32"):
        tiny(images((31, 64)))


def test_scales_without_axes_are_read_when_they_are_used():
    gamma = np.arange(3, dtype="f4")
    (scale,) = convnext.reference_names({"stages.0.1.gamma": gamma}).items()
    assert scale[0] == "features.1.1.layer_scale" and scale[1].shape == (3, 1, 1)
    np.testing.assert_array_equal(np.asarray(scale[1])[:, 0, 0], gamma)


def test_an_efficientnet_of_timms_is_no_mobilenet():
    shapes = pytorch_shapes(lambda: ARCHITECTURES["efficientnet_lite0"].from_shapes({}))
    arrays = {n: np.broadcast_to(np.float32(0), shape) for n, shape in shapes.items()}
    with pytest.raises(ValueError, match="is another network of timm's: `blocks.2.0.conv_dw"):
        mobilenet_v2.reference_names(arrays)
