"""Weights of the classic classifiers: prefixes, classes, the wrong network, damage; no PyTorch."""

import numpy as np
import pytest
from flax import nnx
from support.damaged_files import DAMAGE
from support.pytorch_files import state_dict, write_zip
from support.random_weights import named_shapes, random_weights

import jaxdissect as jd
from jaxdissect.commands.main import main
from jaxdissect.commands.options import model as model_options
from jaxdissect.networks.models import (
    ARCHITECTURES,
    VGG,
    VGG16,
    AlexNet,
    ResNet,
    TorchvisionAlexNet,
    resnet,
    vgg,
)
from jaxdissect.networks.recognition import architectures_of
from jaxdissect.networks.weights.mapping import parameters

NUM_CLASSES = 10
NARROW = {"widths": (4, 4, 6, 6, 8), "hidden": 6}


def residual_network(name):
    block, sizes = resnet.KINDS[name]
    narrow = sizes._replace(stem=(4,), widths=(2, 4, 6, 8))
    return lambda: ResNet(NUM_CLASSES, block=block, sizes=narrow, rngs=nnx.Rngs(0))


def vgg_network(name):
    depths, normalised = vgg.DEPTHS[name.removesuffix("_bn")], name.endswith("_bn")
    return lambda: VGG(
        NUM_CLASSES, depths=depths, normalised=normalised, **NARROW, rngs=nnx.Rngs(0)
    )


BUILDS = {
    "alexnet": lambda: AlexNet(NUM_CLASSES, **NARROW, rngs=nnx.Rngs(0)),
    "vgg16": lambda: VGG16(NUM_CLASSES, **NARROW, rngs=nnx.Rngs(0)),
    "alexnet_torchvision": lambda: TorchvisionAlexNet(NUM_CLASSES, **NARROW, rngs=nnx.Rngs(0)),
    **{name: vgg_network(name) for name in ("vgg11", "vgg13", "vgg19")},
    **{f"{name}_bn": vgg_network(f"{name}_bn") for name in vgg.DEPTHS},
    **{name: residual_network(name) for name in resnet.KINDS},
}
DEEP = ("resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2")
each_network = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in DEEP)) for name in BUILDS]
)


def written(path, name, prefix="", **changed):
    """A file with random weights of a narrow network, of which some are changed."""
    write_zip(path, state_dict({**random_weights(BUILDS[name]), **changed}, prefix))
    return path


@each_network
def test_weights_with_prefixes_become_a_network_of_their_sizes(name, tmp_path):
    path = written(tmp_path / "a.pth", name, "module.")
    found = parameters(jd.load_network(name, path))
    expected = parameters(BUILDS[name]())
    assert {key: array.shape for key, array in found.items()} == {
        key: array.shape for key, array in expected.items()
    }
    (last,) = (array for key, array in found.items() if array.shape == (NUM_CLASSES,))
    (theirs,) = (a for a in random_weights(BUILDS[name]).values() if a.shape == (NUM_CLASSES,))
    np.testing.assert_array_equal(last, theirs)


@each_network
def test_weights_are_known_for_what_they_are(name):
    assert architectures_of(random_weights(BUILDS[name]))[-1:] == (name,)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("vgg16_bn", "vgg16"),
        ("vgg16", "vgg16_bn"),
        ("vgg11", "vgg13"),
        ("alexnet", "alexnet_torchvision"),
        ("resnet34", "resnet18"),
        ("resnet18", "proggan"),
        ("resnet18", "efficientnet_lite0"),
        ("alexnet", "efficientnet_lite0"),
        pytest.param("wide_resnet50_2", "resnet50", marks=pytest.mark.slow),
        pytest.param("resnet50", "resnet152_places", marks=pytest.mark.slow),
    ],
)
def test_weights_of_another_network_are_refused_by_its_name(given, asked, tmp_path):
    path = written(tmp_path / "a.pth", given)
    message = rf"a.pth, read as {asked}, does not fit the network: these are weights of {given}$"
    with pytest.raises(ValueError, match=message):
        jd.load_network(asked, path)


def test_what_was_saved_by_convert_is_known_too(tmp_path):
    source, target = written(tmp_path / "a.pth", "resnet18"), tmp_path / "a.safetensors"
    jd.networks.convert("resnet18", source, target)
    with pytest.raises(ValueError, match="these are weights of resnet18"):
        jd.load_network("resnet34", target)
    assert isinstance(jd.load_network("resnet18", target), ResNet)


def test_half_of_the_weights_or_of_their_file_is_refused(tmp_path):
    arrays = random_weights(BUILDS["resnet18"])
    first = {name: array for name, array in arrays.items() if "layer4" not in name}
    write_zip(tmp_path / "a.pth", state_dict(first))
    with pytest.raises(ValueError, match=r"25 missing:\n  layer4.0.bn1.bias") as problem:
        jd.load_network("resnet18", tmp_path / "a.pth")
    assert "unexpected" not in str(problem.value)

    path = written(tmp_path / "b.pth", "resnet18")
    path.write_bytes(DAMAGE["truncated"](path.read_bytes()))
    with pytest.raises(ValueError, match=r"b\.pth"):
        jd.load_network("resnet18", path)


def test_integers_are_refused_by_name(tmp_path):
    arrays = random_weights(BUILDS["resnet18"])
    whole = {"layer4.1.conv2.weight": arrays["layer4.1.conv2.weight"].astype(np.int64)}
    path = written(tmp_path / "a.pth", "resnet18", **whole)
    with pytest.raises(ValueError, match=r"1 no floating-point numbers:\n  layer4.1.conv2.weight"):
        jd.load_network("resnet18", path)


@pytest.mark.parametrize("name", [name for name in BUILDS if name not in DEEP])
def test_sizes_are_torchvisions_where_none_are_given(name):
    shapes = named_shapes(lambda: ARCHITECTURES[name].from_shapes({}))
    numbers = sum(int(np.prod(shape)) for key, shape in shapes.items() if "running" not in key)
    published = {
        **{"alexnet_torchvision": 61_100_840, "vgg11": 132_863_336, "vgg13": 133_047_848},
        **{"vgg19": 143_667_240, "vgg11_bn": 132_868_840, "vgg13_bn": 133_053_736},
        **{"vgg16_bn": 138_365_992, "vgg19_bn": 143_678_248, "resnet18": 11_689_512},
        **{"resnet34": 21_797_672, "resnet50": 25_557_032, "wide_resnet50_2": 68_883_240},
        **{"alexnet": 58_363_629, "vgg16": 135_755_949},
    }
    assert numbers == published[name]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("alexnet_torchvision", "features.11"),
        ("vgg11", "features.19"),
        ("vgg13", "features.23"),
        ("vgg19", "features.35"),
        ("vgg11_bn", "features.27"),
        ("vgg16_bn", "features.42"),
        ("resnet18", "layer4"),
    ],
)
def test_the_last_rectified_convolution_is_dissected_by_default(name, layer, tmp_path):
    path = written(tmp_path / "a.pth", name)
    found = model_options.find_model(name, weights=path)
    assert found.default_layers == (layer,)
    images = np.random.RandomState(0).uniform(size=(1, 64, 64, 3)).astype("f4")
    _, outputs = found.network.apply(found.network.params, images, layers=(layer,))
    values = np.asarray(outputs[layer])
    assert values.ndim == 4 and values.min() == 0 and values.max() > 0


@pytest.mark.slow
def test_weights_are_dissected_from_the_command_line(tmp_path, capsys):
    path = written(tmp_path / "my_resnet18.pth", "resnet18")
    arguments = ["dissect", "--sample", "scenes", "--num-images", "12", "--model", "resnet18"]
    given = [*arguments, "--weights", str(path), "--out", str(tmp_path / "results"), "--quiet"]
    assert main(given) == 0, capsys.readouterr().err
    rows = (tmp_path / "results" / "units.csv").read_text().splitlines()
    assert len(rows) == 1 + 8 and rows[1].startswith("layer4,")
    untrained = [*arguments, "--random-weights", "1", "--out", str(tmp_path / "others"), "--quiet"]
    assert main(untrained) == 0, capsys.readouterr().err
    assert len((tmp_path / "others" / "units.csv").read_text().splitlines()) == 1 + 512
