"""The segmentation networks: the reference's arrays, PyTorch, pyramids convolved the long way."""

import copy
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from support import golden
from support.random_weights import filled, named_shapes, random_weights

from jaxdissect.arrays.resampling import resample
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.convolution import conv2d
from jaxdissect.networks.edits import ablate
from jaxdissect.networks.models import pyramid_pooling, upernet
from jaxdissect.networks.models.pyramid_pooling import PyramidPoolingNetwork, convolve_pyramid
from jaxdissect.networks.models.residual import RESNET18, RESNET50, Sizes, sizes_in
from jaxdissect.networks.models.upernet import UPerNet
from jaxdissect.networks.network import as_network
from jaxdissect.networks.weights.mapping import pytorch_shapes, with_parameters

PART_SIZES = (2, 4)
SMALL = Sizes(stem=(8, 8, 16), widths=(8, 16, 32, 64), depths=(2, 1, 1, 1))


def small_upernet():
    return UPerNet(
        PART_SIZES,
        num_objects=5,
        num_materials=4,
        num_scenes=6,
        width=12,
        sizes=SMALL,
        rngs=nnx.Rngs(0),
    )


def small_color_network():
    return PyramidPoolingNetwork(7, width=12, sizes=SMALL, rngs=nnx.Rngs(0))


QUICK_BUILDS = pytest.mark.parametrize(
    "build",
    [
        pytest.param(small_upernet, marks=pytest.mark.slow, id="upernet"),
        pytest.param(small_color_network, id="color"),
    ],
)
BUILDS = pytest.mark.parametrize(
    "build", [small_upernet, small_color_network], ids=["upernet", "color"]
)


def random_images(*shape, seed=0):
    return jnp.asarray(np.random.RandomState(seed).standard_normal(shape), jnp.float32)


def assert_close(actual, expected, tolerance=1e-4):
    """Compare to within a share of the largest value."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def channels_last(array):
    return np.moveaxis(np.asarray(array), 1, -1)


def jitted(module, *, grid=None):
    """A forward pass compiled once, as a function of the images."""
    definition, state = nnx.split(module)
    forward = jax.jit(lambda state, images: nnx.merge(definition, state)(images, grid))
    return partial(forward, state)


# --- the reference --------------------------------------------------------------------------------


def golden_arrays(meta):
    """Weights of both published files, named as joined."""
    recipe = golden.recipe()
    encoder = recipe.state_dict(meta["encoder_shapes"], meta["encoder_seed"], gain=1.0)
    decoder = recipe.state_dict(meta["decoder_shapes"], meta["decoder_seed"])
    parts = {"encoder": encoder, "decoder": decoder}
    return {f"{part}.{name}": array for part in parts for name, array in parts[part].items()}


def golden_images(meta):
    images = golden.recipe().array(meta["input_seed"], meta["input_shape"])
    return jnp.asarray(np.moveaxis(images, 1, -1))


def golden_layers(arrays):
    """Recorded layers by name, with what they are called here."""
    names = [key.removeprefix("stat:") for key in arrays if key.startswith("stat:")]
    return {
        name: name.replace("enc.", "encoder.", 1).replace("dec.", "decoder.", 1) for name in names
    }


def layer_differences(arrays, name, activations):
    """The largest differences of a layer from its record, in shares of its largest value."""
    values = np.moveaxis(np.asarray(activations, np.float64), -1, 1)
    assert list(values.shape) == list(arrays[f"shape:{name}"]), name
    flat = values.ravel()
    actual = {
        "stat": [flat.mean(), flat.std(ddof=1), flat.min(), flat.max()],
        "head": flat[:64],
        "stride": flat[:: max(1, flat.size // 64)][:64],
    }
    largest = np.abs(arrays[f"stat:{name}"][2:]).max()
    return [
        np.abs(values - arrays[f"{key}:{name}"]).max() / largest for key, values in actual.items()
    ]


def assert_golden_layers(arrays, layers, activations):
    differences = {
        name: max(layer_differences(arrays, name, activations[layer]))
        for name, layer in layers.items()
    }
    far = {name: difference for name, difference in differences.items() if difference > 1e-4}
    assert differences and not far


@pytest.mark.slow
@pytest.mark.parametrize("case", ["upernet_a"])
def test_upernet_segments_as_the_reference(case):
    arrays, meta = golden.load(case)
    weights = golden_arrays(meta)
    labels = meta["labeldata"]
    part_sizes = [len(labels["object_part"][labels["object"][i]]) for i in meta["object_with_part"]]
    shapes = pytorch_shapes(weights)
    module = with_parameters(lambda: upernet.from_shapes(shapes, part_sizes=part_sizes), weights)
    network = NnxNetwork(module, grid=tuple(meta["seg_size"]))
    layers = golden_layers(arrays)
    parsing, activations = jax.jit(
        partial(network.apply, layers=tuple(layers.values())),
    )(network.params, golden_images(meta))
    assert_close(parsing.objects, channels_last(arrays["object"]))
    assert_close(parsing.materials, channels_last(arrays["material"]))
    assert_close(parsing.scenes, arrays["scene"])
    assert len(parsing.parts) == len(part_sizes)
    for index, part in enumerate(parsing.parts):
        assert_close(part, channels_last(arrays[f"part_{index}"]))
    assert_golden_layers(arrays, layers, activations)


@pytest.mark.parametrize("case", ["ppm_resnet18dilated_a"])
def test_color_network_segments_as_the_reference(case):
    arrays, meta = golden.load(case)
    weights = golden_arrays(meta)
    shapes = pytorch_shapes(weights)
    module = with_parameters(lambda: pyramid_pooling.from_shapes(shapes), weights)
    network = NnxNetwork(module, grid=tuple(meta["seg_size"]))
    layers = golden_layers(arrays)
    images = golden_images(meta)
    probabilities, activations = jax.jit(
        partial(network.apply, layers=tuple(layers.values())),
    )(network.params, images)
    assert_close(probabilities, channels_last(arrays["prob"]))
    assert_golden_layers(arrays, layers, activations)
    main, auxiliary = nnx.jit(PyramidPoolingNetwork.training_scores)(module, images)
    assert_close(main, channels_last(arrays["logprob_nosoftmaxpath"]))
    assert_close(auxiliary, channels_last(arrays["logprob_deepsup"]))


# --- PyTorch --------------------------------------------------------------------------------------


@cache
def segmented(build, dtype=jnp.float32):
    """Outputs of a network, as a list, of two images of an odd size on a coarser grid."""
    return jax.tree.leaves(
        jitted(filled(build, dtype), grid=(25, 40))(random_images(2, 97, 130, 3))
    )


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def torch_images(torch, images):
    return torch.from_numpy(np.moveaxis(np.asarray(images), -1, 1).copy())


@pytest.fixture(scope="module")
def torch_upernet(torch):
    from support import torch_segmenters

    module = torch_segmenters.UPerNet(
        PART_SIZES,
        width=8,
        fusion_width=12,
        depths=SMALL.depths,
        objects=5,
        materials=4,
        scenes=6,
    )
    return torch_segmenters.with_weights(module, random_weights(small_upernet))


@pytest.fixture(scope="module")
def torch_color_network(torch):
    from support import torch_segmenters

    module = torch_segmenters.PyramidPoolingNetwork(
        width=8, fusion_width=12, depths=SMALL.depths, classes=7
    )
    return torch_segmenters.with_weights(module, random_weights(small_color_network))


def assert_same_parsing(actual, expected):
    objects, parts, materials, scenes = expected
    maps = [channels_last(maps) for maps in (objects, *parts, materials)]
    assert len(actual) == len(maps) + 1
    for mine, other in zip(actual, [*maps, scenes.numpy()], strict=True):
        assert_close(mine, other, 1e-5)


def test_upernet_segments_as_pytorch(torch, torch_upernet):
    with torch.inference_mode():
        expected = torch_upernet(torch_images(torch, random_images(2, 97, 130, 3)), (25, 40))
    assert_same_parsing(segmented(small_upernet), expected)


def test_upernet_segments_the_least_image_as_pytorch(torch, torch_upernet):
    """Without `grid`, on that of the image."""
    images = random_images(1, 32, 32, 3)
    with torch.inference_mode():
        expected = torch_upernet(torch_images(torch, images), (32, 32))
    actual = jitted(filled(small_upernet))(images)
    assert_same_parsing(jax.tree.leaves(actual), expected)


def test_color_network_segments_as_pytorch(torch, torch_color_network):
    with torch.inference_mode():
        images = torch_images(torch, random_images(2, 97, 130, 3))
        expected = torch_color_network(images, (25, 40))
    assert_close(segmented(small_color_network)[0], channels_last(expected), 1e-5)


def test_training_scores_of_segmenter_as_pytorch(torch, torch_color_network):
    images = random_images(1, 32, 40, 3)
    with torch.inference_mode():
        expected = torch_color_network.training_scores(torch_images(torch, images))
    actual = nnx.jit(PyramidPoolingNetwork.training_scores)(filled(small_color_network), images)
    for mine, other in zip(actual, expected, strict=True):
        assert_close(mine, channels_last(other), 1e-5)


def test_gradient_of_segmentation_as_pytorch(torch, torch_color_network):
    """In float64, lest rounding carry a unit across the kink of its ReLU."""
    images, weights = random_images(1, 40, 48, 3), random_images(1, 10, 12, 7, seed=1)
    theirs = copy.deepcopy(torch_color_network).double()
    leaf = torch_images(torch, images).double().requires_grad_()
    (theirs(leaf, (10, 12)) * torch_images(torch, weights)).sum().backward()
    with jax.enable_x64(True):
        definition, state = nnx.split(filled(small_color_network, jnp.float64))

        def total(images):
            probabilities = nnx.merge(definition, state)(images, (10, 12))
            return (probabilities * weights.astype(jnp.float64)).sum()

        gradient = jax.jit(jax.grad(total))(images.astype(jnp.float64))
    assert_close(gradient, channels_last(leaf.grad), 1e-10)


# --- modules --------------------------------------------------------------------------------------


def test_segmentations_are_probabilities():
    leaves = segmented(small_upernet)
    assert [leaf.shape[-1] for leaf in leaves] == [5, 2, 4, 4, 6]
    for leaf in leaves:
        np.testing.assert_allclose(leaf.sum(-1), 1, atol=1e-6)


def test_segmenter_without_part_sizes_gives_no_parts():
    def parse():
        module = UPerNet(num_parts=9, width=12, sizes=SMALL, rngs=nnx.Rngs(0))
        return module(jnp.zeros((1, 64, 64, 3)), (8, 8))

    parsing = nnx.eval_shape(parse)
    assert parsing.parts == ()
    assert parsing.objects.shape == (1, 8, 8, 336)


@QUICK_BUILDS
def test_segment_one_image_at_a_time(build):
    definition, state = nnx.split(filled(build))

    @jax.jit
    @partial(jax.vmap, in_axes=(None, 0))
    def forward(state, image):
        return nnx.merge(definition, state)(image[None], (25, 40))

    mapped = jax.tree.leaves(forward(state, random_images(2, 97, 130, 3)))
    for mine, expected in zip(mapped, segmented(build), strict=True):
        assert_close(mine[:, 0], expected, 1e-5)


@QUICK_BUILDS
@pytest.mark.slow
def test_segment_in_bfloat16(build):
    for mine, expected in zip(segmented(build, jnp.bfloat16), segmented(build), strict=True):
        assert mine.dtype == jnp.float32
        assert 0 < np.abs(mine - expected).max() < 0.02


@BUILDS
def test_every_layer_of_segmenter_can_be_recorded(build):
    network = NnxNetwork(filled(build))
    several = {"encoder", "decoder"}
    layers = tuple(
        name
        for name in network.layer_names
        if name not in several and "deepsup" not in name  # that head is for training
    )
    images = random_images(1, 64, 64, 3)
    _, activations = jax.eval_shape(partial(network.apply, layers=layers), network.params, images)
    assert activations.keys() == set(layers)
    reference = {"encoder.relu1", "encoder.maxpool", "encoder.layer1.1.relu"}
    assert reference <= set(layers)


def test_segmenter_layers_before_and_after_the_rectification():
    network = as_network(filled(small_color_network))
    layers = ("encoder.layer2.0", "encoder.layer2.0.relu", "decoder.ppm.1.2", "decoder.ppm.1")
    activations = jax.jit(partial(network.activations, layers=layers))(
        network.params, random_images(1, 40, 40, 3)
    )
    block, last, normalised, rectified = (activations[name] for name in layers)
    np.testing.assert_array_equal(block, last)
    assert normalised.min() < 0
    np.testing.assert_array_equal(nnx.relu(normalised), rectified)


def test_segmenter_edits_reach_what_the_fusion_feeds():
    network = NnxNetwork(filled(small_upernet), grid=(8, 8))

    @jax.jit
    def parse(edit):
        edits = {"decoder.conv_fusion.0": edit}
        return network.apply(network.params, random_images(1, 64, 64, 3), edits=edits)[0]

    whole, edited = parse(ablate([], 12)), parse(ablate(range(12), 12))
    assert np.abs(whole.objects - edited.objects).max() > 1e-3
    np.testing.assert_array_equal(edited.materials, whole.materials)
    np.testing.assert_array_equal(edited.scenes, whole.scenes)


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "from_shapes, case",
    [
        (upernet.from_shapes, "upernet_a"),
        (pyramid_pooling.from_shapes, "ppm_resnet18dilated_a"),
    ],
)
def test_segmenter_has_published_sizes_by_default(from_shapes, case):
    _, meta = golden.load(case)
    published = {
        f"{part}.{name}": tuple(shape)
        for part in ("encoder", "decoder")
        for name, shape in meta[f"{part}_shapes"].items()
        if not name.endswith("num_batches_tracked")
    }
    heads = ("_head.1.", "scene_head.2.", "conv_last.4.", "conv_last_deepsup.")
    malformed = {"decoder.part_head.1.weight": (3,), "decoder.conv_last.4.weight": ()}
    for shapes in ({}, malformed):
        own = named_shapes(partial(from_shapes, shapes))
        assert own.keys() == published.keys()
        for name in own:
            if not any(head in name for head in heads):
                assert own[name] == published[name], name


def test_segmenter_sizes_come_from_the_weights():
    shapes = named_shapes(small_upernet)
    assert sizes_in(shapes, RESNET50) == SMALL
    assert sizes_in({}, RESNET18) == RESNET18
    again = named_shapes(partial(upernet.from_shapes, shapes, part_sizes=PART_SIZES))
    assert again == shapes


@pytest.mark.parametrize("part_sizes", [(2, 3), (2, 4, 1), (6, 0), (7, -1)])
def test_segmenter_refuses_part_sizes_that_do_not_fit(part_sizes):
    shapes = {"decoder.part_head.1.weight": (6, 12, 1, 1)}
    with pytest.raises(ValueError, match="`part_sizes`.*add up to the 6 part classes"):
        upernet.from_shapes(shapes, part_sizes=part_sizes)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((1, 64, 64, 3), np.uint8), "must be floats"),
        (np.zeros((64, 64, 3), np.float32), "must have axes"),
        (np.zeros((1, 64, 64, 1), np.float32), "must have axes"),
        (np.zeros((1, 64, 31, 3), np.float32), "at least 32 x 32"),
    ],
)
def test_segmenter_refuses_bad_images(images, message):
    colors = filled(small_color_network)
    for call in (filled(small_upernet), colors, colors.training_scores):
        with pytest.raises(ValueError, match=f"`images`.*{message}"):
            call(images)


@BUILDS
def test_segmenter_refuses_an_empty_grid(build):
    with pytest.raises(ValueError, match="`grid`"):
        jitted(filled(build), grid=(0, 4))(random_images(1, 32, 32, 3))


@pytest.mark.parametrize("module", [upernet, pyramid_pooling])
def test_segmenter_input_is_blue_green_red(module):
    red, gray = jnp.asarray([1.0, 0, 0]), jnp.full(3, 0.5)
    prepared = module.prepare(jnp.stack([red, gray])[None, None])[0, 0]
    mean = [102.98, 115.95, 122.77]
    np.testing.assert_allclose(prepared[0], np.array([0, 0, 255]) - mean, atol=0.01)
    np.testing.assert_allclose(prepared[1], 127.5 - np.array(mean), atol=0.01)


# --- pyramids -------------------------------------------------------------------------------------


def convolve_stack(levels, kernel):
    """The long way: every map enlarged, then one convolution."""
    shape = levels[0].shape[1:3]
    stack = jnp.concatenate([resample(level, shape) for level in levels], axis=3)
    return conv2d(stack, kernel, padding=((1, 1), (1, 1)))


PYRAMIDS = {
    "halves": [(16, 12), (8, 6), (4, 3), (2, 2)],
    "odd": [(13, 9), (7, 5), (4, 3), (1, 1)],
    "coarse": [(9, 9), (1, 1), (2, 2), (3, 3)],
    "same": [(6, 5), (6, 5)],
    "larger": [(4, 4), (8, 8), (1, 2)],
    "single": [(1, 1), (1, 1)],
}


def random_pyramid(shapes, *, batch=2):
    levels = [
        random_images(batch, *shape, 2 + index, seed=index) for index, shape in enumerate(shapes)
    ]
    return levels, random_images(3, 3, sum(level.shape[3] for level in levels), 5, seed=9)


@pytest.mark.parametrize("name", PYRAMIDS)
def test_pyramid_is_convolved_as_if_enlarged(name):
    levels, kernel = random_pyramid(PYRAMIDS[name])
    actual = jax.jit(convolve_pyramid)(levels, kernel)
    assert_close(actual, jax.jit(convolve_stack)(levels, kernel), 2e-6)


def test_pyramid_gradients():
    levels, kernel = random_pyramid(PYRAMIDS["odd"])
    cotangent = random_images(2, 13, 9, 5, seed=10)
    gradients = [
        jax.jit(jax.grad(lambda *pair, f=f: (f(*pair) * cotangent).sum(), argnums=(0, 1)))(
            levels, kernel
        )
        for f in (convolve_pyramid, convolve_stack)
    ]
    for actual, expected in zip(*map(jax.tree.leaves, gradients), strict=True):
        assert_close(actual, expected, 5e-6)


@pytest.mark.slow
def test_pyramid_jit_vmap_and_devices_agree():
    levels, kernel = random_pyramid(PYRAMIDS["halves"], batch=4)
    expected = jax.jit(convolve_pyramid)(levels, kernel)
    mapped = jax.vmap(lambda maps: convolve_pyramid([m[None] for m in maps], kernel)[0])(levels)
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
    spread = jax.device_put(levels, NamedSharding(mesh, PartitionSpec("batch")))
    for other in (mapped, jax.jit(convolve_pyramid)(spread, kernel)):
        assert_close(other, expected, 2e-6)


def test_pyramid_in_bfloat16():
    levels, kernel = random_pyramid(PYRAMIDS["halves"])
    half = jax.tree.map(lambda array: array.astype(jnp.bfloat16), (levels, kernel))
    actual = jax.jit(convolve_pyramid)(*half)
    assert actual.dtype == jnp.bfloat16
    exact = jax.jit(convolve_stack)(*jax.tree.map(lambda array: array.astype(jnp.float32), half))
    assert_close(actual.astype(jnp.float32), exact, 0.02)
