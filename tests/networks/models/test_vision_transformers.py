"""Vision transformers: every layer as in timm and torchvision, all names, tokens that know their
places, and what cannot be read from weights is asked for."""

import importlib
import re
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

import jaxdissect as jd
from jaxdissect.commands.options import model as model_options
from jaxdissect.commands.options.model import LayersOptions
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.edits import mask_params
from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.models.vision_transformer import (
    VisionTransformer,
    from_shapes,
    quick_gelu,
    resized_positions,
)
from jaxdissect.networks.network import as_network, layer_shapes, layers_as_maps, layout_of
from jaxdissect.networks.token_layout import TokenLayout
from jaxdissect.networks.weights.mapping import (
    PYTORCH,
    parameters,
    pytorch_shapes,
    with_parameters,
)
from jaxdissect.scenes import scene_vocabulary, scenes_dataset

SIDE, PATCH, WIDTH, DEPTH, HEADS = 32, 8, 48, 2, 3
SIZES = {"image_size": (SIDE, SIDE), "patch_size": (PATCH, PATCH)}
SMALL: dict[str, Any] = {**SIZES, "width": WIDTH, "depth": DEPTH, "heads": HEADS, "hidden": 96}


def small(num_classes=5, seed=0, **options):
    return VisionTransformer(num_classes, **SMALL | options, rngs=nnx.Rngs(seed))


def images(batch=2, sides=(SIDE, SIDE), seed=1):
    return np.random.RandomState(seed).standard_normal((batch, *sides, 3)).astype("f4")


def drawn(shape_of, seed=0):
    """Weights that keep activations near one, with biases and tokens that matter."""
    random = np.random.RandomState(seed)

    def draw(name, shape):
        values = random.standard_normal(shape)
        if len(shape) > 1 and not re.search(r"token|pos|embedding", name):
            return values / np.sqrt(np.prod(shape[1:]))
        return random.uniform(0.5, 1.5, shape) if re.search(r"weight|gamma", name) else 0.5 * values

    return {
        name: np.asarray(draw(name, tuple(shape)), np.float32) for name, shape in shape_of.items()
    }


def with_drawn_weights(model, seed=0):
    """A PyTorch model with weights of ours, and these."""
    torch = pytest.importorskip("torch")
    arrays = drawn({name: tensor.shape for name, tensor in model.state_dict().items()}, seed)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return model.eval(), arrays


def load(folder, architecture, arrays, **options) -> Any:
    path = folder / "weights.safetensors"
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return jd.load_network(architecture, path, **options)


def assert_close(actual, expected, what=""):
    """Relative to the largest value expected."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, what
    bound = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound, err_msg=what)


def recorded(model, inputs):
    """What a PyTorch model and all modules in it give, and what is given to those named proj."""
    torch = pytest.importorskip("torch")
    found: dict[str, Any] = {}

    def keep(name):
        def hook(module, arguments, output):
            found[name] = output[0] if isinstance(output, tuple) else output
            found[f"{name} of"] = arguments[0]

        return hook

    for name, module in model.named_modules():
        module.register_forward_hook(keep(name))
    with torch.inference_mode():
        outputs = model(torch.from_numpy(np.array(np.moveaxis(inputs, -1, 1))))
    return outputs, found


# --- equal to others ------------------------------------------------------------------------------


def of_timm(**options):
    vision_transformer = pytest.importorskip("timm.models.vision_transformer")
    norm = partial(pytest.importorskip("torch").nn.LayerNorm, eps=1e-6)
    sizes: dict[str, Any] = {
        **{"img_size": SIDE, "patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH},
        **{"num_heads": HEADS, "mlp_ratio": 2, "num_classes": 5, "norm_layer": norm},
    }
    return vision_transformer.VisionTransformer(**sizes | options)


def timm_clip(**options):
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm.layers")
    return of_timm(
        pre_norm=True, norm_layer=torch.nn.LayerNorm, act_layer=timm.QuickGELU, **options
    )


TIMM = {
    "plain": (of_timm, "vit_base", {}),
    "without classes": (partial(of_timm, num_classes=0), "deit_base", {}),
    "registers": (partial(of_timm, reg_tokens=4), "vit_base", {}),
    "registers without positions": (
        partial(of_timm, reg_tokens=4, no_embed_class=True, init_values=1e-5),
        "dinov2_base",
        {},
    ),
    "layer scale": (partial(of_timm, init_values=0.1), "dinov2_small", {}),
    "mean": (partial(of_timm, global_pool="avg"), "vit_base", {}),
    "mean of normalised tokens": (
        partial(of_timm, global_pool="avg", fc_norm=False, reg_tokens=4),
        "vit_base",
        {"pooling": "mean"},
    ),
    "largest": (partial(of_timm, global_pool="max"), "vit_base", {"pooling": "max"}),
    "largest of normalised tokens": (
        partial(of_timm, global_pool="max", fc_norm=False),
        "vit_base",
        {"pooling": "max"},
    ),
    "normalised class token": (
        partial(of_timm, global_pool="token", fc_norm=True),
        "vit_base",
        {"pooling": "token"},
    ),
    "mean without class token": (
        partial(of_timm, global_pool="avg", class_token=False, qkv_bias=False),
        "vit_base",
        {},
    ),
    "oblong": (
        partial(of_timm, img_size=(32, 48), reg_tokens=1),
        "vit_base",
        {"image_size": (32, 48)},
    ),
    "clip": (timm_clip, "clip_vit_base", {}),
}


@pytest.mark.parametrize(("build", "architecture", "options"), TIMM.values(), ids=TIMM)
def test_every_layer_outputs_what_that_of_timm_does(build, architecture, options, tmp_path):
    theirs, arrays = with_drawn_weights(build())
    model = load(tmp_path, architecture, arrays, heads=HEADS, **options)
    inputs = images(sides=options.get("image_size", (SIDE, SIDE)))
    expected, of_layers = recorded(theirs, inputs)
    network = NnxNetwork(model)
    layers = tuple(name for name in network.layer_names if name != "blocks")
    outputs, found = jax.jit(partial(network.apply, layers=layers))(network.params, inputs)
    assert_close(outputs, expected)
    assert {"blocks.1", "blocks.1.mlp.act", "blocks.0.attn.heads", "pos_drop"} <= set(layers)
    for name in layers:
        own = np.asarray(found[name])
        if name.endswith("heads"):
            assert_close(own, of_layers[name.replace("heads", "proj of")], name)
        elif name == "patch_embed":
            assert_close(own.reshape(2, -1, WIDTH), of_layers[name], name)
        elif name == "patch_embed.proj":
            assert_close(np.moveaxis(own, -1, 1), of_layers[name], name)
        else:
            assert_close(own, of_layers[name], name)


WHOLE = {  # models of timm and torchvision in their own sizes, with their own constants
    "vit_tiny": ("timm", "vit_tiny_patch16_224", {}),
    "deit_tiny": ("timm", "deit_tiny_patch16_224", {}),
    "dinov2_small": ("timm", "vit_small_patch14_reg4_dinov2", {"img_size": 224}),
    "clip_vit_base": ("timm", "vit_base_patch32_clip_quickgelu_224", {}),
    "openclip_vit_base": ("timm", "vit_base_patch32_clip_224", {}),
    "vit_base_torchvision": ("torchvision.models", "vit_b_32", {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", WHOLE)
def test_whole_networks_output_what_theirs_do_without_options(architecture, tmp_path):
    package, name, options = WHOLE[architecture]
    create = getattr(pytest.importorskip(package), "create_model", None)
    theirs = (
        create(name, **options) if create else getattr(importlib.import_module(package), name)()
    )
    theirs, arrays = with_drawn_weights(theirs)
    inputs = images(batch=1, sides=(224, 224))
    expected, _ = recorded(theirs, inputs)
    assert_close(load(tmp_path, architecture, arrays)(inputs), expected)


TORCHVISION_LAYERS = {
    "patch_embed.proj": "conv_proj",
    "pos_drop": "encoder.dropout",
    "blocks.{}": "encoder.layers.encoder_layer_{}",
    "blocks.{}.norm1": "encoder.layers.encoder_layer_{}.ln_1",
    "blocks.{}.attn": "encoder.layers.encoder_layer_{}.self_attention",
    "blocks.{}.norm2": "encoder.layers.encoder_layer_{}.ln_2",
    "blocks.{}.mlp": "encoder.layers.encoder_layer_{}.mlp",
    "blocks.{}.mlp.fc1": "encoder.layers.encoder_layer_{}.mlp.0",
    "blocks.{}.mlp.act": "encoder.layers.encoder_layer_{}.mlp.1",
    "blocks.{}.mlp.fc2": "encoder.layers.encoder_layer_{}.mlp.3",
    "norm": "encoder.ln",
    "head": "heads.head",
}


@pytest.mark.parametrize("older", [False, True])
def test_every_layer_outputs_what_that_of_torchvision_does(tmp_path, older):
    torchvision = pytest.importorskip("torchvision")
    theirs, arrays = with_drawn_weights(
        torchvision.models.VisionTransformer(
            image_size=SIDE,
            patch_size=PATCH,
            num_layers=DEPTH,
            num_heads=HEADS,
            hidden_dim=WIDTH,
            mlp_dim=96,
            num_classes=5,
        )
    )
    if older:  # the published weights number the maps of neurons so
        for old, new in (("mlp.0", "mlp.linear_1"), ("mlp.3", "mlp.linear_2")):
            arrays = {name.replace(old, new): array for name, array in arrays.items()}
    model = load(tmp_path, "vit_base_torchvision", arrays, heads=HEADS)
    expected, of_layers = recorded(theirs, images())
    names = {
        ours.format(block): name.format(block)
        for ours, name in TORCHVISION_LAYERS.items()
        for block in range(DEPTH)
    }
    network = as_network(model)
    outputs, found = network.apply(network.params, images(), layers=tuple(names))
    assert_close(outputs, expected)
    for ours, name in names.items():
        own = np.asarray(found[ours])
        own = np.moveaxis(own, -1, 1) if own.ndim == 4 else own
        assert_close(own, of_layers[name], ours)


@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2_is_read_under_its_own_names(tmp_path, registers):
    pytest.importorskip("torch")
    from support.torch_transformers import DINOv2

    theirs, arrays = with_drawn_weights(DINOv2(28, 7, WIDTH, DEPTH, HEADS, registers))
    model = load(tmp_path, "dinov2_small", arrays, heads=HEADS)
    inputs = images(sides=(28, 28))
    expected, of_layers = recorded(theirs, inputs)
    layers = ("blocks.0.attn", "blocks.0.mlp.act", "blocks.1", "norm")
    network = as_network(model)
    outputs, found = network.apply(network.params, inputs, layers=layers)
    assert_close(outputs, expected)
    for name in layers:
        assert_close(found[name], of_layers[name], name)
    assert layout_of(network) == TokenLayout((4, 4), 1 + registers)


HUGGING_FACE = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.": "vision_model.embeddings.patch_embedding.",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",
    "visual.ln_post.": "vision_model.post_layernorm.",
    "visual.transformer.resblocks.": "vision_model.encoder.layers.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".attn.": ".self_attn.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}


def as_hugging_face_names(arrays):
    """The names of Hugging Face for weights of CLIP in those of OpenAI, without its texts."""
    renamed = {"visual_projection.weight": arrays["visual.proj"].T, "logit_scale": np.ones(())}
    renamed["text_model.encoder.layers.0.layer_norm1.bias"] = np.ones(3)
    renamed["vision_model.embeddings.position_ids"] = np.arange(3)
    for name, array in arrays.items():
        if name.startswith("visual.") and name != "visual.proj":
            for old, new in HUGGING_FACE.items():
                name = name.replace(old, new)
            if "in_proj" in name:
                for part, own in zip("qkv", np.split(array, 3), strict=True):
                    renamed[name.replace("in_proj_", f"{part}_proj.")] = own
            else:
                renamed[name] = array
    return renamed


def only_visual(arrays):
    return {n.removeprefix("visual."): a for n, a in arrays.items() if n.startswith("visual.")}


@pytest.mark.parametrize("naming", [dict, only_visual, as_hugging_face_names])
def test_clip_is_read_under_its_own_names(tmp_path, naming):
    pytest.importorskip("torch")
    from support.torch_transformers import CLIP

    theirs, arrays = with_drawn_weights(CLIP(SIDE, PATCH, WIDTH, DEPTH, HEADS, 20))
    model = load(tmp_path, "clip_vit_base", naming(arrays), heads=HEADS)
    expected, of_layers = recorded(theirs, images())
    names = {
        "norm_pre": "visual.ln_pre",
        "blocks.0.mlp.act": "visual.transformer.resblocks.0.mlp.gelu",
        "blocks.1": "visual.transformer.resblocks.1",
    }
    network = as_network(model)
    outputs, found = network.apply(network.params, images(), layers=tuple(names))
    assert_close(outputs, expected)
    for ours, name in names.items():
        theirs = of_layers[name].numpy()
        theirs = theirs if ours == "norm_pre" else theirs.swapaxes(0, 1)  # tokens come first
        assert_close(found[ours], theirs, ours)
    without_quick_gelu = load(tmp_path, "openclip_vit_base", naming(arrays), heads=HEADS)
    assert np.abs(without_quick_gelu(images()) - outputs).max() > 1e-3


@pytest.mark.parametrize("sides", [(48, 48), (16, 24), (32, 32)])
def test_positions_are_resized_as_timm_does(sides):
    pos_embed = pytest.importorskip("timm.layers.pos_embed")
    torch = pytest.importorskip("torch")
    model = small(registers=2, positioned=3)
    resized = resized_positions(model, sides)
    expected = pos_embed.resample_abs_pos_embed(
        torch.from_numpy(np.array(model.pos_embed[...])),
        (sides[0] // PATCH, sides[1] // PATCH),
        num_prefix_tokens=3,
    )
    assert_close(resized.pos_embed[...], expected)
    assert resized(images(sides=sides)).shape == (2, 5) and model(images()).shape == (2, 5)
    with pytest.raises(ValueError, match="`image_size` .* tiled by patches of 8 x 8"):
        resized_positions(model, (32, 36))


# --- what is read from weights --------------------------------------------------------------------


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "features": {"num_classes": 0},
    "registers": {"registers": 4},
    "all positions": {"registers": 4, "positioned": 5},
    "no positions": {"registers": 4, "positioned": 0},
    "clip": {"pre_norm": True, "patch_bias": False, "head_bias": False},
    "scaled": {"layer_scale": True},
    "mean": {"pooling": "mean", "norm_after_pooling": True, "qkv_bias": False},
    "no class token": {"class_token": False, "pooling": "mean"},
    "oblong patches": {"patch_size": (8, 4), "image_size": (32, 16)},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_sizes_are_read_from_the_weights(options):
    def build():
        return small(**options)

    shapes = shapes_of(build)
    read = partial(from_shapes, shapes, published={"width": 768, "pre_norm": True}, heads=HEADS)
    assert shapes_of(read) == shapes
    model, found = nnx.eval_shape(build), nnx.eval_shape(read)
    assert (found.image_size, found.positioned) == (model.image_size, model.positioned)
    assert found.pooling == model.pooling


def shapes_of(build):
    state = nnx.state(nnx.eval_shape(build), nnx.Not(nnx.RngState))
    flat = {".".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(state)}
    return {PYTORCH.name(name): PYTORCH.shape(shape, name) for name, shape in flat.items()}


PUBLISHED = {  # parameters, as published; of DINOv2 without the token of hidden patches
    "vit_tiny": 5_717_416,
    "vit_small": 22_050_664,
    "vit_base": 86_567_656,
    "deit_small": 22_050_664,
    "vit_base_torchvision": 86_567_656,
    "dinov2_small": 22_056_192,
    "dinov2_base": 86_579_712,
    "clip_vit_base": 86_192_640,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones_where_none_are_given(name):
    known = ARCHITECTURES[name]
    shapes = shapes_of(lambda: known.from_shapes({}))
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == PUBLISHED[name]
    module = built(name, {})
    assert set(known.layers) <= set(NnxNetwork(module).layer_names)
    assert known.layers_of and known.layers_of(module) == known.layers


@pytest.mark.parametrize("shape", [(), (7,), (0, 8), (9, 8, 7), (1, 2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize(
    "name",
    ["head.weight", "patch_embed.proj.weight", "pos_embed", "reg_token", "blocks.0.mlp.fc1.weight"],
)
def test_sizes_are_the_published_ones_where_shapes_are_malformed(name, shape):
    build = ARCHITECTURES["vit_tiny"].from_shapes
    given = shapes_of(lambda: build({})) | {name: shape}
    try:
        shapes = shapes_of(lambda: build(given))
    except ValueError as problem:
        assert "must be given" in str(problem)
    else:
        assert all(size > 0 for found in shapes.values() for size in found)


def test_heads_that_weights_do_not_tell_are_asked_for(tmp_path):
    arrays = stored(small())
    with pytest.raises(
        ValueError,
        match="`heads` must be given: no published network has 48 units in 2 blocks of 96 neurons "
        "with a class token, and patches of 8 x 8 pixels",
    ):
        load(tmp_path, "vit_base", arrays)
    with pytest.raises(ValueError, match="`heads` .=5. must divide the 48 units"):
        load(tmp_path, "vit_base", arrays, heads=5)


def built(name, shapes, **options) -> Any:
    """A network of the catalog, without any number."""
    return nnx.eval_shape(lambda: ARCHITECTURES[name].from_shapes(shapes, **options))


def published_shapes(name="vit_small"):
    return shapes_of(lambda: ARCHITECTURES[name].from_shapes({}))


@pytest.mark.parametrize("name", PUBLISHED)
def test_heads_of_published_networks_are_known(name):
    heads = {"tiny": 3, "small": 6, "base": 12}[name.removesuffix("_torchvision").split("_")[-1]]
    found = built(name, published_shapes(name))
    assert [block.attn.num_heads for block in found.blocks] == [heads] * 12


OTHERS = {  # of the width of a published network, and otherwise another
    "blocks": lambda name, shape: None if name.startswith("blocks.11.") else shape,
    "neurons": lambda name, shape: tuple(1152 if n == 1536 else n for n in shape),
    "patches": lambda name, shape: (384, 3, 12, 12) if "patch" in name and shape[1:] else shape,
    "oblong": lambda name, shape: (384, 3, 16, 8) if "patch" in name and shape[1:] else shape,
    "no class token": lambda name, shape: {"cls_token": None, "pos_embed": (1, 196, 384)}.get(
        name, shape
    ),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_a_published_width_alone_does_not_tell_heads(change):
    changed = {name: change(name, shape) for name, shape in published_shapes().items()}
    shapes = {name: shape for name, shape in changed.items() if shape is not None}
    with pytest.raises(ValueError, match="`heads` must be given: no published network has 384"):
        built("vit_small", shapes)
    assert built("vit_small", shapes, heads=12).blocks[0].attn.num_heads == 12


@pytest.mark.parametrize(
    ("name", "other"), [("vit_tiny", "vit_small"), ("dinov2_small", "dinov2_base")]
)
def test_weights_of_another_size_are_refused_by_its_name(name, other):
    shapes = published_shapes(other)
    for options in ({}, {"heads": 3}):
        with pytest.raises(ValueError, match=f"units a token, as `{other}` has, and `{name}` has"):
            ARCHITECTURES[name].from_shapes(shapes, **options)


def test_weights_of_another_size_are_recognised(tmp_path):
    arrays = {name: np.zeros(shape, "f4") for name, shape in published_shapes().items()}
    with pytest.raises(ValueError, match="does not fit .* weights of vit_small or deit_small"):
        load(tmp_path, "vit_tiny", arrays)


def test_pooling_of_a_class_token_that_there_is_not_is_refused(tmp_path):
    arrays = stored(small(class_token=False, pooling="mean"))
    with pytest.raises(ValueError, match="`pooling` must be 'mean' or 'max'"):
        load(tmp_path, "vit_base", arrays, heads=HEADS, pooling="token")


def test_positions_that_fit_no_image_or_several_are_asked_about(tmp_path):
    oblong = stored(small(image_size=(32, 40)))
    with pytest.raises(ValueError, match="`image_size` must be given: 21 positions, .* no square"):
        load(tmp_path, "vit_base", oblong, heads=HEADS)
    assert load(tmp_path, "vit_base", oblong, heads=HEADS, image_size=(40, 32)).grid == (5, 4)
    with pytest.raises(ValueError, match="has 16 patches .* have 21 positions.*resized_positions"):
        load(tmp_path, "vit_base", oblong, heads=HEADS, image_size=(32, 32))
    several = stored(small(image_size=(24, 24), registers=4, positioned=0))
    with pytest.raises(
        ValueError, match="`image_size` must be given: 9 positions, .* more than one"
    ):
        load(tmp_path, "vit_base", several, heads=HEADS)


def stored(model):
    """Weights as PyTorch would store them."""
    arrays = {name: np.asarray(array) for name, array in parameters(model).items()}
    return {PYTORCH.name(name): PYTORCH.to_file(array, name) for name, array in arrays.items()}


def of_torchvision():
    return {"conv_proj.weight": np.zeros((48, 3, 8, 8), "f4"), "class_token": np.zeros((1, 1, 48))}


def of_dinov2():
    return stored(small(layer_scale=True)) | {"mask_token": np.zeros((1, 48), "f4")}


FOREIGN = [
    ("vit_base", of_torchvision, "is torchvision's, which is `vit_base_torchvision`"),
    ("dinov2_base", of_torchvision, "is torchvision's"),
    ("clip_vit_base", of_torchvision, "is torchvision's"),
    ("vit_base", of_dinov2, "is DINOv2's, which is `dinov2_small` or `dinov2_base`"),
    ("clip_vit_base", of_dinov2, "has no `norm_pre`, as CLIP has, and is `dinov2_small`"),
    (
        "deit_base",
        lambda: stored(small(pre_norm=True)),
        "is a visual .* CLIP, which is `clip_vit_base`",
    ),
    (
        "dinov2_base",
        lambda: stored(small(pre_norm=True)),
        "is a visual .* CLIP, which is `clip_vit_base`",
    ),
    ("dinov2_base", lambda: stored(small()), "has no `ls1`.* `vit_base` .* or `deit_base`"),
    ("vit_base_torchvision", lambda: stored(small()), "has timm's names, and is `vit_base`"),
    ("clip_vit_base", lambda: stored(small()), "has no `norm_pre`.* `vit_base`"),
    (
        "vit_base",
        lambda: stored(small(layer_scale=True, patch_size=(14, 14), image_size=(28, 28))),
        "is DINOv2's",
    ),
]


@pytest.mark.parametrize(("architecture", "build", "message"), FOREIGN)
def test_weights_of_another_family_are_refused_by_its_name(architecture, build, message, tmp_path):
    with pytest.raises(ValueError, match=f"read as {architecture}, {message}"):
        load(tmp_path, architecture, build(), heads=HEADS)


def test_weights_of_other_networks_are_listed(tmp_path):
    arrays = stored(small()) | {"blocks.0.attn.q_norm.weight": np.ones(16, "f4")}
    with pytest.raises(ValueError, match=r"1 unexpected:\n  blocks.0.attn.q_norm.weight"):
        load(tmp_path, "vit_base", arrays, heads=HEADS)
    with pytest.raises(ValueError, match=r"136 missing:\n  blocks.0.attn.proj.bias \[768\]"):
        load(tmp_path, "vit_base", {"stem.weight": np.zeros((4, 3, 3, 3), "f4")})


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="must be 32 x 32 pixels .*`resized_positions`"):
        small()(images(sides=(32, 40)))
    with pytest.raises(ValueError, match=r"`images` \(=uint8\) must be floats"):
        small()(np.zeros((1, SIDE, SIDE, 3), np.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (32, 36)}, "`image_size` .* tiled by patches"),
        ({"heads": 0}, "`heads`"),
        ({"class_token": False}, "`pooling` must be 'mean' or 'max' where there is no class token"),
        ({"pooling": "avg"}, "`pooling` .='avg'. must be one of: token, mean, max"),
        ({"registers": 4, "positioned": 2}, "`positioned` .* all 5 tokens"),
    ],
)
def test_networks_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_network_in_bfloat16_is_close():
    arrays = stored(small(registers=4, layer_scale=True))
    exact, rounded = (
        with_parameters(lambda: small(registers=4, layer_scale=True), arrays, dtype=dtype)(images())
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert rounded.dtype == jnp.bfloat16
    assert np.abs(rounded.astype("f4") - exact).max() < 5e-2 * np.abs(exact).max()


# --- its units ------------------------------------------------------------------------------------


LAYERS = ("patch_embed", "blocks.0.mlp.act", "blocks.1.attn.heads", "blocks.1", "norm")


@pytest.mark.parametrize("registers", [0, 4])
def test_tokens_know_their_places(registers):
    """A pattern that only the third patch of the second row shows is seen only there."""
    model = small(registers=registers)
    network = as_network(model)
    assert layout_of(network) == TokenLayout((4, 4), 1 + registers)
    shapes = layer_shapes(network, images(), LAYERS)
    assert shapes["blocks.1"].shape == (2, 17 + registers, WIDTH)
    blank = np.zeros((1, SIDE, SIDE, 3), "f4")
    marked = blank.copy()
    marked[:, 8:16, 16:24] = 1
    seen, plain = (
        layers_as_maps(
            network, network.activations(network.params, x, layers=("pos_drop",)), (SIDE, SIDE)
        )["pos_drop"]
        for x in (marked, blank)
    )
    changed = np.abs(seen - plain).max(-1)[0] > 1e-6
    assert changed.sum() == 1 and changed[1, 2]
    in_bfloat16 = jd.networks.in_precision(model, jnp.bfloat16)
    assert layout_of(in_bfloat16) == layout_of(network)
    assert layout_of(as_network(model, drop_tokens=2)) == TokenLayout((4, 4), 2)


@pytest.mark.parametrize("registers", [0, 4])
def test_units_of_tokens_are_dissected_without_being_told_how(registers):
    model = small(image_size=(64, 64), registers=registers)
    result = jd.dissect(
        model, scenes_dataset(8), jd.annotated(scene_vocabulary()), layers=LAYERS, batch_size=4
    )
    for name, units in zip(LAYERS, (WIDTH, 96, WIDTH, WIDTH, WIDTH), strict=True):
        assert result[name].iou.shape[1] == units
        assert result[name].iou.max() > 0


@pytest.mark.slow
def test_command_line_has_layers_of_known_transformers():
    options = LayersOptions(model="vit_tiny", random_weights=0)
    _, layers = options.find_layers((224, 224))
    assert layers == ("blocks.9.mlp.act", "blocks.10.mlp.act", "blocks.11.mlp.act", "blocks.11")
    with pytest.raises(ValueError, match="must be 224 x 224 pixels"):
        options.find_layers((64, 64))


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (1, ("blocks.0.mlp.act", "blocks.0")),
        (5, ("blocks.2.mlp.act", "blocks.3.mlp.act", "blocks.4.mlp.act", "blocks.4")),
    ],
)
def test_layers_are_the_last_ones_of_networks_of_any_depth(monkeypatch, depth, expected):
    built = small(depth=depth)
    monkeypatch.setattr(model_options, "load_network", lambda name, weights: built)
    options = LayersOptions(model="vit_base", weights=Path("own.pth"))
    assert options.find_layers((SIDE, SIDE))[1] == expected


def test_command_line_reads_tokens_of_a_module_that_says_how_they_lie(tmp_path):
    """With registers, they fit no grid unless these are known."""
    file = tmp_path / "own.py"
    file.write_text(
        "from flax import nnx\n"
        "from jaxdissect.networks.models import VisionTransformer\n"
        "def build():\n"
        "    return VisionTransformer(3, image_size=(32, 32), patch_size=(8, 8), width=12,\n"
        "        depth=1, heads=2, registers=4, rngs=nnx.Rngs(0))\n"
    )
    wanted = ("blocks.0.attn.heads", "blocks.0")
    network, layers = LayersOptions(model=f"{file}:build", layers=wanted).find_layers((32, 32))
    assert layers == wanted and layout_of(network) == TokenLayout((4, 4), 5)


def test_neurons_are_removed_as_by_masked_parameters():
    network = as_network(small())
    keep = jnp.arange(96) % 3 > 0
    edited, _ = network.apply(
        network.params, images(), edits={"blocks.1.mlp.act": jd.networks.keep_units(keep)}
    )
    masked, _ = network.apply(mask_params(network.params, "blocks.1.mlp.fc1", keep), images())
    assert_close(edited, masked)
    assert np.abs(edited - network.apply(network.params, images())[0]).max() > 1e-3


def test_a_head_is_removed_by_its_channels():
    """What is left is what `proj` makes of the other heads."""
    network = as_network(small())
    channels = WIDTH // HEADS
    edit = jd.ablate(range(channels, 2 * channels), WIDTH)
    _, found = network.apply(
        network.params,
        images(),
        layers=("blocks.1.attn.heads", "blocks.1.attn.proj"),
        edits={"blocks.1.attn.heads": edit},
    )
    heads = np.asarray(found["blocks.1.attn.heads"]).copy()
    heads[..., channels : 2 * channels] = 0
    weights = parameters(small())
    kernel, bias = (weights[f"blocks.1.attn.proj.{own}"] for own in ("kernel", "bias"))
    expected = heads @ np.asarray(kernel) + np.asarray(bias)
    assert_close(found["blocks.1.attn.proj"], expected)


def test_quick_gelu_differs_from_gelu():
    values = jnp.linspace(-3, 3, 7)
    np.testing.assert_allclose(
        quick_gelu(values), values / (1 + np.exp(-1.702 * values)), rtol=1e-6
    )


def test_shapes_of_either_naming_are_the_same():
    model = small(registers=2)
    native = {name: np.asarray(array) for name, array in parameters(model).items()}
    assert pytorch_shapes(native) == {n: a.shape for n, a in stored(model).items()}
