"""EfficientNet-Lite: every layer as in timm, names of weights, what is refused."""

from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx
from support.pytorch_files import state_dict, write_zip

from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.loading import load_network
from jaxdissect.networks.models import efficientnet_lite
from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.models.efficientnet_lite import VARIANTS, EfficientNetLite
from jaxdissect.networks.weights.mapping import PYTORCH

NARROW = {"depths": (1, 2, 1, 1, 1, 1, 1), "widths": (4, 6, 8, 8, 8, 8, 6), "stem": 8, "head": 12}


def pytorch_shapes(build):
    """Names and shapes as in PyTorch; nothing is computed."""
    state = nnx.state(nnx.eval_shape(build), nnx.Not(nnx.RngState))
    flat = {".".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(state)}
    return {PYTORCH.name(name): PYTORCH.shape(shape, name) for name, shape in flat.items()}


def images(side, batch=2):
    return np.random.RandomState(1).uniform(-1, 1, (batch, side, side, 3)).astype("f4")


def in_package(arrays, variant):
    """Arrays by the names in the packages of the published weights."""
    expanded = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv"}
    expanded |= {"bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    outside["classifier"] = "_fc"
    starts = np.cumsum([0, *VARIANTS[variant].depths])
    renamed = {}
    for name, array in arrays.items():
        layer, *rest = name.split(".")
        if layer != "blocks":
            renamed[".".join([outside[layer], *rest])] = array
            continue
        stage, index, inner, own = rest
        inner = (first if stage == "0" else expanded)[inner]
        renamed[f"_blocks.{starts[int(stage)] + int(index)}.{inner}.{own}"] = array
    return renamed


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False])
def test_every_layer_equals_timms(same):
    timm = pytest.importorskip("timm")
    torch_layers = pytest.importorskip("support.torch_layers")
    name = "tf_efficientnet_lite0" if same else "efficientnet_lite0"
    inputs = images(97)  # of odd size, where the two ways to pad differ in every stage
    theirs = torch_layers.randomise(timm.create_model(name, num_classes=7), inputs)
    epsilon = theirs.bn1.eps
    assert epsilon == (efficientnet_lite.EPSILON if same else 1e-5)

    def build():
        shapes = {"classifier.weight": (7, 1280)}
        return efficientnet_lite.from_shapes(
            "efficientnet_lite0", shapes, same=same, epsilon=epsilon
        )

    names = torch_layers.compare_layers(theirs, build, inputs)
    assert {"blocks.4", "blocks.4.2.bn2.act", "conv_head", "classifier"} <= set(names)


def narrow(num_classes=5):
    return EfficientNetLite(num_classes, **NARROW, rngs=nnx.Rngs(0))


def test_layers_stages_and_sizes_of_images():
    network = NnxNetwork(narrow())
    for side in (32, 50):
        layers = jax.eval_shape(
            partial(network.activations, layers=("bn1", "blocks.2", "bn2", "classifier")),
            network.params,
            images(side),
        )
        half = -(-side // 2)
        assert layers["bn1"].shape == (2, half, half, 8)
        assert layers["blocks.2"].shape[-1] == 8 and layers["bn2"].shape[-1] == 12
        assert layers["classifier"].shape == (2, 5)
    with pytest.raises(ValueError, match="must be floats"):
        efficientnet_lite.prepare(np.zeros((1, 8, 8, 3), np.uint8))
    black, white = (efficientnet_lite.prepare(np.full((1, 1, 1, 3), v, "f4")) for v in (0, 1))
    assert float(black[0, 0, 0, 0]) == -127 / 128 and float(white[0, 0, 0, 0]) == 1


@pytest.mark.parametrize("name", VARIANTS)
def test_both_namings_are_read_with_any_number_of_classes(name):
    known = ARCHITECTURES[name]
    shapes = pytorch_shapes(lambda: known.from_shapes({"classifier.weight": (3, 1280)}))
    assert shapes["classifier.weight"] == (3, 1280)
    assert pytorch_shapes(lambda: known.from_shapes({}))["classifier.weight"] == (1000, 1280)
    arrays = {n: np.broadcast_to(np.float32(0), shape) for n, shape in shapes.items()}
    packaged = in_package(arrays, name)
    assert len(packaged) == len(arrays) and "_blocks.15._project_conv.weight" in packaged
    assert known.reference_names(packaged).keys() == arrays.keys()
    assert known.reference_names(arrays) == arrays
    for other in VARIANTS.keys() - {name}:
        for naming in (packaged, arrays):
            with pytest.raises(ValueError, match=f"is {name}, .* read it as {name}"):
                ARCHITECTURES[other].reference_names(naming)


@pytest.mark.parametrize("drop", [True, False])
def test_files_of_others_are_refused(drop, tmp_path):
    shapes = pytorch_shapes(lambda: ARCHITECTURES["efficientnet_lite1"].from_shapes({}))
    arrays = {n: np.zeros(shape, "f4") for n, shape in shapes.items() if "6.0" not in n or not drop}
    path = tmp_path / "lite.pth"
    write_zip(path, state_dict(in_package(arrays, "efficientnet_lite1")))
    expected = "does not fit the network(.|\n)*_blocks.16" if drop else "of efficientnet_lite1"
    with pytest.raises(ValueError, match=expected):
        load_network("efficientnet_lite0", path)


def test_names_that_are_none_are_left_to_be_reported():
    odd = ["_blocks.99._bn1.weight", "_blocks.²._bn1.weight", "_blocks.3._se.weight", "extra"]
    arrays = dict.fromkeys(odd, np.zeros(1, "f4"))
    assert list(efficientnet_lite.reference_names("efficientnet_lite0", arrays)) == odd
