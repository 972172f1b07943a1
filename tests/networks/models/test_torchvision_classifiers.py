"""AlexNet, VGG and residual networks: every layer outputs what that of torchvision does."""

import jax
import numpy as np
import pytest

import jaxdissect as jd
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.models import resnet, resnet152_places

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

from support.torchvision_networks import narrowed, outputs_of, randomised  # noqa: E402

NUM_CLASSES = 10
SIDES = {
    **{"alexnet_torchvision": (97, 130), "vgg11": (40, 104), "vgg13": (33, 65), "vgg19": (64, 32)},
    **{"vgg11_bn": (250, 40), "vgg13_bn": (64, 64), "vgg16_bn": (71, 45), "vgg19_bn": (96, 96)},
    **{"resnet18": (65, 49), "resnet34": (40, 64), "resnet50": (64, 90), "resnet101": (48, 33)},
    **{"resnet152": (33, 64), "wide_resnet50_2": (64, 64), "wide_resnet101_2": (64, 64)},
}
QUICK = ("alexnet_torchvision", "vgg11", "vgg13", "vgg11_bn", "vgg16_bn", "resnet18", "resnet50")


def original_of(name):
    build = getattr(torchvision.models, name.removesuffix("_torchvision"))
    return build(num_classes=NUM_CLASSES)


def draw_images(sides, batch=2):
    return np.random.RandomState(1).standard_normal((batch, *sides, 3)).astype("f4")


def saved(network, folder):
    path = folder / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


def assert_close(actual, expected, what):
    """Within 1e-5 of the largest value expected."""
    assert actual.shape == expected.shape, what
    largest = np.abs(expected).max()
    assert largest > 0.01, what
    assert np.abs(actual - expected).max() < 1e-5 * largest, what


def assert_every_layer_agrees(name, original, images, folder, **options):
    network = NnxNetwork(jd.load_network(name, saved(original, folder), **options))
    expected_scores, expected = outputs_of(original, images)
    assert sorted(network.layer_names) == sorted(expected)
    layers = tuple(network.layer_names)
    forward = jax.jit(lambda *arguments: network.apply(*arguments, layers=layers))
    scores, outputs = forward(network.params, images)
    assert_close(np.asarray(scores), expected_scores, "scores")
    for layer in layers:
        assert_close(np.asarray(outputs[layer]), expected[layer], layer)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in SIDES]
)
def test_every_layer_of_a_narrow_network_outputs_what_that_of_torchvision_does(name, tmp_path):
    original = randomised(narrowed(original_of(name), 16))
    assert_every_layer_agrees(name, original, draw_images(SIDES[name]), tmp_path)


def test_every_layer_of_a_dilated_network_outputs_what_that_of_torchvision_does(tmp_path):
    block = torchvision.models.resnet.Bottleneck
    replaced = [False, True, True]
    original = torchvision.models.ResNet(
        block, [1, 1, 2, 3], NUM_CLASSES, replace_stride_with_dilation=replaced
    )
    sizes = resnet.RESNET50._replace(depths=(1, 1, 2, 3))
    assert_every_layer_agrees(
        "resnet50",
        randomised(narrowed(original, 16)),
        draw_images((72, 65)),
        tmp_path,
        sizes=sizes,
        output_stride=8,
    )


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.parametrize("name", SIDES)
def test_every_layer_of_a_whole_network_outputs_what_that_of_torchvision_does(name, tmp_path):
    original = randomised(original_of(name))
    assert_every_layer_agrees(name, original, draw_images((224, 224), batch=1), tmp_path)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("alexnet_torchvision", (63, 63)),
        ("vgg11", (32, 32)),
        ("vgg11_bn", (63, 32)),
        ("resnet18", (1, 1)),
        ("resnet18", (2, 31)),
    ],
)
def test_the_least_images_are_scored_as_in_torchvision(name, sides, tmp_path):
    original = randomised(narrowed(original_of(name), 16))
    model = jd.load_network(name, saved(original, tmp_path))
    images = draw_images(sides)
    assert_close(np.asarray(model(images)), outputs_of(original, images)[0], "scores")


def test_images_that_are_too_small_for_torchvision_are_refused(tmp_path):
    for name, least in (("alexnet_torchvision", 63), ("vgg13", 32)):
        original = randomised(narrowed(original_of(name), 16))
        model = jd.load_network(name, saved(original, tmp_path))
        for sides in ((least - 1, 99), (99, least - 1)):
            with pytest.raises(RuntimeError, match="too small"):
                outputs_of(original, draw_images(sides))
            with pytest.raises(ValueError, match=f"must be at least {least} x {least} pixels"):
                model(draw_images(sides))


def test_the_papers_vgg_reads_torchvisions_weights(tmp_path):
    original = randomised(narrowed(original_of("vgg16"), 16))
    model = jd.load_network("vgg16", saved(original, tmp_path))
    images = draw_images((40, 64))
    assert_close(np.asarray(model(images)), outputs_of(original, images)[0], "scores")


@pytest.mark.slow
def test_weights_of_either_naming_make_either_resnet152(tmp_path):
    original = randomised(narrowed(original_of("resnet152"), 16))
    images = draw_images((224, 200), batch=1)
    scores = outputs_of(original, images)[0]
    path = saved(original, tmp_path)
    arrays = {name: tensor.numpy() for name, tensor in original.state_dict().items()}
    numbered = resnet152_places.reference_names(arrays)
    assert "6.35.0.0.6.weight" in numbered and len(numbered) == len(arrays)
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in numbered.items()}
    torch.save(tensors, tmp_path / "numbered.pth")
    for kind, file in (("resnet152_places", path), ("resnet152", tmp_path / "numbered.pth")):
        model = jd.load_network(kind, file)
        assert_close(np.asarray(jax.jit(model.__call__)(images)), scores, kind)


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "vgg16_bn", "resnet18"])
def test_weights_of_timm_are_read(name, tmp_path):
    timm = pytest.importorskip("timm")
    original = randomised(narrowed(timm.create_model(name, num_classes=NUM_CLASSES), 16))
    model = jd.load_network(name, saved(original, tmp_path))
    images = draw_images((224, 224), batch=1)
    scores = outputs_of(original, images)[0]
    assert_close(np.asarray(jax.jit(model.__call__)(images)), scores, name)
