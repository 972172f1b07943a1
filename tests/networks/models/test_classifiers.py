"""VGG-16, AlexNet and ResNet-152: every layer as in the reference, sizes and names of weights."""

from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support import golden

import jaxdissect as jd
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.models import alexnet, resnet, resnet152_places, vgg16
from jaxdissect.networks.models.alexnet import AlexNet, local_response_norm
from jaxdissect.networks.models.residual import Sizes
from jaxdissect.networks.models.resnet152_places import PlacesResNet152
from jaxdissect.networks.models.vgg16 import VGG16
from jaxdissect.networks.network import layer_shapes
from jaxdissect.networks.weights.mapping import PYTORCH, with_parameters

NUM_CLASSES = 5


class Small(NamedTuple):
    """A narrow network of a kind, images that it takes, a layer to edit, and the last layer."""

    kind: type
    module: ModuleType
    options: dict[str, Any]
    sides: tuple[int, int]
    layer: str
    last: str


NARROW = {"widths": (4, 6, 8, 10, 12), "hidden": 14}
RESIDUAL = {"sizes": Sizes(stem=(6,), widths=(4, 5, 6, 7), depths=(1, 2, 1, 1))}
NARROW_RESIDUAL = {"sizes": RESIDUAL["sizes"]._replace(depths=(3, 8, 36, 3))}
SMALL = {
    "vgg16": Small(VGG16, vgg16, NARROW, (40, 104), "features.conv5_3", "classifier.fc8a"),
    "alexnet": Small(AlexNet, alexnet, NARROW, (227, 258), "conv5", "fc8"),
    "resnet152_places": Small(PlacesResNet152, resnet152_places, RESIDUAL, (193, 224), "7", "10.1"),
}
PLAIN = {"include_lrn": False, "split_groups": False, "include_dropout": False}

small_networks = pytest.mark.parametrize("small", SMALL.values(), ids=SMALL)
quick_networks = pytest.mark.parametrize(  # 152 layers take long to compile
    "small",
    [
        pytest.param(small, marks=[pytest.mark.slow] * (name == "resnet152_places"), id=name)
        for name, small in SMALL.items()
    ],
)


def shapes_of(build):
    """Names and shapes, as in PyTorch, of what a module holds; nothing is computed."""
    state = nnx.state(nnx.eval_shape(build), nnx.Not(nnx.RngState))
    flat = {".".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(state)}
    return {PYTORCH.name(name): PYTORCH.shape(shape, name) for name, shape in flat.items()}


def draw_weights(shapes, seed=0):
    """Weights that keep activations near one."""
    random = np.random.RandomState(seed)

    def draw(name, shape):
        if len(shape) > 1:
            return random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        if name.endswith("running_var"):
            return random.uniform(0.5, 2, shape)
        if name.endswith("weight"):
            return random.uniform(0.5, 1.5, shape)
        return 0.3 * random.standard_normal(shape)

    return {name: draw(name, shape).astype("f4") for name, shape in shapes.items()}


def draw_images(sides, batch=2, seed=1):
    shape = (batch, *sides, 3)
    return np.random.RandomState(seed).standard_normal(shape).astype("f4")


def build_small(small, dtype=jnp.float32):
    """The network with random weights."""

    def build():
        return small.kind(NUM_CLASSES, **small.options, rngs=nnx.Rngs(0))

    return with_parameters(build, draw_weights(shapes_of(build)), dtype=dtype)


def channels_first(maps):
    return np.moveaxis(np.asarray(maps), -1, 1)


def assert_close(actual, expected, tolerance=1e-4, what=""):
    """Relative to the largest value expected."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, what
    bound = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound, err_msg=what)


GOLDEN = {
    "vgg16_a": ("vgg16", {}),
    "vgg16_b_256": ("vgg16", {}),
    "alexnet_a": ("alexnet", {"bias_scale": 0.3}),
    "resnet152_a": ("resnet152_places", {"gain": 1.0}),
}


@lru_cache(maxsize=1)
def whole_network(case):
    """The network in its published sizes, with the weights of a golden file."""
    _, meta = golden.load(case)
    kind, options = GOLDEN[case]
    arrays = golden.recipe().state_dict(meta["shapes"], meta["weight_seed"], **options)
    return NnxNetwork(with_parameters(lambda: SMALL[kind].module.from_shapes({}), arrays))


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "resnet152_a")) for name in GOLDEN],
)
def test_every_layer_outputs_what_that_of_the_reference_does(case):
    arrays, meta = golden.load(case)
    inputs = golden.recipe().array(meta["input_seed"], meta["input_shape"])
    reference = whole_network("vgg16_a" if case == "vgg16_b_256" else case)  # the same weights
    layers = tuple(meta["names"])
    forward = jax.jit(lambda *arguments: reference.apply(*arguments, layers=layers))
    scores, activations = forward(reference.params, inputs.transpose(0, 2, 3, 1))
    assert_close(scores, arrays["scores"])
    for name in layers:
        values = channels_first(activations[name])
        assert values.shape == tuple(arrays[f"shape:{name}"]), name
        values = values.ravel()
        largest = np.abs(values).max()
        strided = values[:: max(values.size // 64, 1)][:64]
        for kind, found in {
            "stat": summary(values),
            "head": values[:64],
            "stride": strided,
        }.items():
            difference = np.abs(found - arrays[f"{kind}:{name}"]).max()
            assert difference < 1e-4 * largest, f"{kind} of {name}"
    if case.startswith("vgg16"):
        # What the reference kept of conv5_3 had been rectified in place.
        values = np.asarray(activations["features.relu5_3"])
        assert_close(summary(values), arrays["retained_conv5_3_stat"])


def summary(values):
    return values.mean(dtype="f8"), values.std(dtype="f8", ddof=1), values.min(), values.max()


def test_model_local_response_norm_matches_the_reference():
    arrays, _ = golden.load("alexnet_a")
    outputs = local_response_norm(jnp.asarray(arrays["lrn_in"].transpose(0, 2, 3, 1)))
    assert_close(channels_first(outputs), arrays["lrn_out"], 1e-6)


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_model_local_response_norm_counts_missing_units_as_zeros(size):
    inputs = np.random.RandomState(0).standard_normal((2, 3, 6)) * 30
    expected = np.empty_like(inputs)
    for unit in range(6):
        first = unit - size // 2
        inside = inputs[..., max(first, 0) : first + size]
        scale = 1 + 0.01 / size * np.sum(inside**2, axis=-1)
        expected[..., unit] = inputs[..., unit] / scale**0.6
    outputs = local_response_norm(jnp.asarray(inputs, jnp.float32), size=size, alpha=0.01, beta=0.6)
    assert_close(outputs, expected, 1e-6)


RESTATED = {
    **SMALL,
    "vgg16 of the least size": SMALL["vgg16"]._replace(sides=(32, 32)),
    "vgg16 of the trained size": SMALL["vgg16"]._replace(sides=(224, 224)),
    "plain alexnet": SMALL["alexnet"]._replace(options=NARROW | PLAIN),
}


@pytest.mark.parametrize("small", RESTATED.values(), ids=RESTATED)
def test_every_layer_outputs_what_that_of_pytorch_does(small):
    torch = pytest.importorskip("torch")
    from support import torch_classifiers

    def build():
        return small.kind(NUM_CLASSES, **small.options, rngs=nnx.Rngs(0))

    arrays = draw_weights(shapes_of(build))
    network = NnxNetwork(with_parameters(build, arrays))

    restated = getattr(torch_classifiers, small.kind.__name__)(NUM_CLASSES, **small.options).eval()
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    missing, unexpected = restated.load_state_dict(tensors, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    assert sorted(network.layer_names) == sorted(name for name, _ in restated.named_modules())[1:]
    expected = {}
    for name, layer in restated.named_modules():
        layer.register_forward_hook(
            lambda layer, inputs, output, name=name: expected.update({name: output})
        )

    images = draw_images(small.sides)
    with torch.inference_mode():
        expected_scores = restated(torch.from_numpy(np.array(channels_first(images))))
    layers = tuple(name for name in network.layer_names if not isinstance(expected[name], list))
    forward = jax.jit(lambda *arguments: network.apply(*arguments, layers=layers))
    scores, activations = forward(network.params, images)
    assert_close(scores, expected_scores)
    for name in layers:
        assert_close(channels_first(activations[name]), expected[name], what=name)


@small_networks
def test_model_sizes_are_read_from_the_weights(small):
    options = NARROW_RESIDUAL if small.options is RESIDUAL else small.options
    shapes = shapes_of(lambda: small.kind(NUM_CLASSES, **options, rngs=nnx.Rngs(0)))
    assert shapes_of(lambda: small.module.from_shapes(shapes)) == shapes


def test_model_groups_are_read_from_the_weights():
    """That they are split is tested with the others."""
    shapes = shapes_of(lambda: AlexNet(NUM_CLASSES, **NARROW, split_groups=False, rngs=nnx.Rngs(0)))
    assert shapes["conv4.weight"] == (10, 8, 3, 3)
    assert shapes_of(lambda: alexnet.from_shapes(shapes)) == shapes


@pytest.mark.parametrize(("module", "size"), [(vgg16, 135_755_949), (alexnet, 58_363_629)])
def test_model_sizes_are_the_published_ones_where_none_are_given(module, size):
    shapes = shapes_of(lambda: module.from_shapes({}))
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == size


@pytest.mark.parametrize("shape", [(), (7,), (0, 8), (9, 8, 7)], ids=str)
@pytest.mark.parametrize(
    ("module", "name", "others"),
    [
        (vgg16, "classifier.fc8a.weight", {"features.conv2_1.weight": (0, 3, 3, 3)}),
        (alexnet, "fc8.weight", {"conv2.weight": ()}),
        (
            resnet152_places,
            "10.1.weight",
            {"4.0.0.0.0.weight": (0, 1, 1, 1)},
        ),
    ],
)
def test_model_sizes_are_the_published_ones_where_shapes_are_malformed(module, name, others, shape):
    shapes = shapes_of(lambda: module.from_shapes({**others, name: shape}))
    assert shapes[name][0] == 365
    assert all(size > 0 for found in shapes.values() for size in found)


VGG_LAYERS = {  # those with weights, by their positions in torchvision
    "features": {
        **{0: "conv1_1", 2: "conv1_2", 5: "conv2_1", 7: "conv2_2"},
        **{10: "conv3_1", 12: "conv3_2", 14: "conv3_3"},
        **{17: "conv4_1", 19: "conv4_2", 21: "conv4_3"},
        **{24: "conv5_1", 26: "conv5_2", 28: "conv5_3"},
    },
    "classifier": {0: "fc6", 3: "fc7", 6: "fc8a"},
}
VGG_NAMES = {
    f"{part}.{position}.{own}": f"{part}.{layer}.{own}"
    for part, layers in VGG_LAYERS.items()
    for position, layer in layers.items()
    for own in ("weight", "bias")
}
RESNET_NAMES = {
    "conv1.weight": "0.weight",
    "bn1.running_var": "1.running_var",
    "layer1.0.conv1.weight": "4.0.0.0.0.weight",
    "layer1.0.bn1.bias": "4.0.0.0.1.bias",
    "layer2.7.conv2.weight": "5.7.0.0.3.weight",
    "layer2.7.bn2.running_mean": "5.7.0.0.4.running_mean",
    "layer3.35.conv3.weight": "6.35.0.0.6.weight",
    "layer3.35.bn3.num_batches_tracked": "6.35.0.0.7.num_batches_tracked",
    "layer4.0.downsample.0.weight": "7.0.0.1.0.weight",
    "layer4.0.downsample.1.weight": "7.0.0.1.1.weight",
    "fc.bias": "10.1.bias",
}


@pytest.mark.parametrize(
    ("module", "names"), [(vgg16, VGG_NAMES), (resnet152_places, RESNET_NAMES)]
)
def test_model_weights_of_torchvision_are_renamed(module, names):
    theirs = {name: np.array(place) for place, name in enumerate(names)}
    ours = {names[name]: array for name, array in theirs.items()}
    assert module.reference_names(theirs) == ours
    assert module.reference_names(ours) == ours


def test_model_weights_with_numbered_layers_are_renamed_as_in_torchvision():
    ours = {name: np.array(place) for place, name in enumerate(RESNET_NAMES)}
    numbered = {RESNET_NAMES[name]: array for name, array in ours.items()}
    assert resnet.reference_names(numbered) == ours
    assert resnet.reference_names(ours) == ours


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (vgg16, "features.34.weight"),  # of VGG-19
        (vgg16, "features.1.running_mean"),  # of VGG-16 with batch normalisation
        (vgg16, "loose"),
        (resnet152_places, "layer5.0.conv1.weight"),
        (resnet152_places, "layer1.0.conv1.fine.weight"),
    ],
)
def test_model_weights_of_other_networks_keep_their_names(module, name):
    arrays = {"features.0.weight": np.zeros(1), name: np.ones(1)}
    assert module.reference_names(arrays) == arrays


@small_networks
def test_model_weights_for_other_classes_are_refused_by_name(small):
    def build(num_classes):
        return lambda: small.kind(num_classes, **small.options, rngs=nnx.Rngs(0))

    arrays = draw_weights(shapes_of(build(NUM_CLASSES)))
    with pytest.raises(
        ValueError, match=rf"{small.last}.weight: expected \[7, \d+\], got \[5, \d+\]"
    ):
        with_parameters(build(7), arrays)


@pytest.mark.parametrize(
    ("kind", "sides", "message"),
    [
        ("vgg16", (31, 64), "at least 32 x 32"),
        ("vgg16", (64, 31), "at least 32 x 32"),
        ("alexnet", (224, 224), "must be 227 x 227"),
        ("alexnet", (227, 226), "must be 227 x 227"),
        ("alexnet", (259, 227), "must be 227 x 227"),
        ("resnet152_places", (224, 225), "must be 224 x 224"),
        ("resnet152_places", (192, 224), "must be 224 x 224"),
        ("resnet152_places", (256, 256), "must be 224 x 224"),
    ],
)
def test_model_refuses_images_of_sides_that_do_not_fit(kind, sides, message):
    model = build_small(SMALL[kind])
    with pytest.raises(ValueError, match=message):
        model(jnp.zeros((1, *sides, 3)))


@small_networks
def test_model_refuses_what_are_no_images(small):
    model = build_small(small)
    height, width = small.sides
    for shape in [(1, 3, height, width), (height, width, 3), (1, height, width, 4)]:
        with pytest.raises(ValueError, match=r"`images` .* must have axes \[B, H, W, 3\]"):
            model(np.zeros(shape, "f4"))
    with pytest.raises(ValueError, match=r"`images` \(=uint8\) must be floats"):
        model(np.zeros((1, height, width, 3), np.uint8))


@quick_networks
def test_model_in_bfloat16_is_close(small):
    exact, rounded = (
        jax.jit(build_small(small, dtype).__call__)(draw_images(small.sides))
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert rounded.dtype == jnp.bfloat16
    assert_close(rounded, exact, 5e-2)


@small_networks
@pytest.mark.slow
def test_model_has_gradients(small):
    network = jd.as_network(build_small(small))

    @jax.jit
    @jax.grad
    def gradients(images):
        return jnp.square(network.apply(network.params, images)[0]).sum()

    found = gradients(draw_images(small.sides, batch=1))
    assert jnp.isfinite(found).all() and jnp.abs(found).max() > 0


@quick_networks
def test_model_takes_many_edits_at_once(small):
    network = jd.as_network(build_small(small))
    images = draw_images(small.sides)
    num_units = layer_shapes(network, images, (small.layer,))[small.layer].shape[-1]

    @jax.jit
    def scores(edit):
        return network.apply(network.params, images, edits={small.layer: edit})[0]

    edits = [jd.insert([unit], 10.0, num_units) for unit in range(4)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *edits)
    found = jax.jit(jax.vmap(scores))(stacked)
    assert_close(found, jnp.stack([scores(edit) for edit in edits]))
    assert jnp.abs(found[1:] - found[:1]).max() > 0.1
