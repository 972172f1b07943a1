"""Names of the weights of vision transformers, as published by those who trained them.

All of them are rewritten into timm's, which the module follows. What cannot be read from weights
belongs to a family: how images are normalised, which GELU, which epsilon. So each family has a name
in the catalog, and weights whose names show that they are of another are refused.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxdissect.networks.weights.mapping import Arrays
from jaxdissect.networks.weights.stored import StoredArray, made_when_read


class Renaming(NamedTuple):
    """How names of one publisher become timm's.

    Attributes:
        mark: What a name contains that no other publisher's does.
        patterns: Regular expressions of layers and what takes their place; the first that matches.
        own: Names of arrays that are no layer's.
    """

    mark: str
    patterns: Mapping[str, str]
    own: Mapping[str, str]


TORCHVISION = Renaming(
    r"^conv_proj\.",
    {
        r"conv_proj": "patch_embed.proj",
        r"encoder\.layers\.encoder_layer_(\d+)\.ln_([12])": r"blocks.\1.norm\2",
        r"encoder\.layers\.encoder_layer_(\d+)\.self_attention": r"blocks.\1.attn.qkv",
        r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj": r"blocks.\1.attn.proj",
        r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)": r"blocks.\1.mlp.fc1",
        r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)": r"blocks.\1.mlp.fc2",
        r"encoder\.ln": "norm",
        r"heads\.head": "head",
    },
    {"class_token": "cls_token", "encoder.pos_embedding": "pos_embed"},
)

OPENAI = Renaming(
    r"(^|\.)transformer\.resblocks\.",
    {
        r"conv1": "patch_embed.proj",
        r"ln_pre": "norm_pre",
        r"transformer\.resblocks\.(\d+)\.ln_([12])": r"blocks.\1.norm\2",
        r"transformer\.resblocks\.(\d+)\.attn": r"blocks.\1.attn.qkv",
        r"transformer\.resblocks\.(\d+)\.attn\.out_proj": r"blocks.\1.attn.proj",
        r"transformer\.resblocks\.(\d+)\.mlp\.c_fc": r"blocks.\1.mlp.fc1",
        r"transformer\.resblocks\.(\d+)\.mlp\.c_proj": r"blocks.\1.mlp.fc2",
        r"ln_post": "norm",
    },
    {"class_embedding": "cls_token", "positional_embedding": "pos_embed", "proj": "head.weight"},
)

HUGGING_FACE_CLIP = Renaming(
    r"(^|\.)pre_layrnorm\.",
    {
        r"embeddings\.patch_embedding": "patch_embed.proj",
        r"pre_layrnorm": "norm_pre",
        r"encoder\.layers\.(\d+)\.layer_norm([12])": r"blocks.\1.norm\2",
        r"encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj": r"blocks.\1.attn.\2",
        r"encoder\.layers\.(\d+)\.self_attn\.out_proj": r"blocks.\1.attn.proj",
        r"encoder\.layers\.(\d+)\.mlp\.fc([12])": r"blocks.\1.mlp.fc\2",
        r"post_layernorm": "norm",
        r"visual_projection": "head",
    },
    {
        "embeddings.class_embedding": "cls_token",
        "embeddings.position_embedding.weight": "pos_embed",
    },
)

DINOV2 = Renaming(r"^mask_token$", {}, {"register_tokens": "reg_token"})

_CLIP_FAMILIES = "`clip_vit_base` (OpenAI's) or `openclip_vit_base`"
_DINOV2_FAMILIES = "`dinov2_small` or `dinov2_base`"
_TORCHVISION_FAMILY = "`vit_base_torchvision`"
_TIMM_FAMILIES = "`vit_base` (images of mean 0.5) or `deit_base` (ImageNet's mean)"


def timm_names(arrays: Arrays) -> Arrays:
    """Return weights in timm's names as they are.

    Args:
        arrays: Weights by name, such as "blocks.0.attn.qkv.weight".

    Raises:
        ValueError: If their names are those of another family.
    """
    if _marked(TORCHVISION, arrays):
        raise ValueError(f"is torchvision's, which is {_TORCHVISION_FAMILY}")
    if _is_clip(arrays):
        raise ValueError(f"is a visual transformer of CLIP, which is {_CLIP_FAMILIES}")
    if _marked(DINOV2, arrays) or _is_timm_dinov2(arrays):
        raise ValueError(f"is DINOv2's, which is {_DINOV2_FAMILIES}")
    return dict(arrays)


def torchvision_names(arrays: Arrays) -> Arrays:
    """Rename weights of torchvision.

    Args:
        arrays: Weights by name, such as "encoder.layers.encoder_layer_0.mlp.0.weight".

    Raises:
        ValueError: If their names are those of another family.
    """
    if _marked(TORCHVISION, arrays):
        return _renamed(TORCHVISION, arrays)
    timm_names(arrays)
    if _is_transformer(arrays):
        raise ValueError(f"has timm's names, and is {_TIMM_FAMILIES}")
    return dict(arrays)


def dinov2_names(arrays: Arrays) -> Arrays:
    """Rename weights of DINOv2; those that timm has rewritten are returned as they are.

    Args:
        arrays: Weights by name, such as "register_tokens" or "blocks.0.ls1.gamma".

    Raises:
        ValueError: If their names are those of another family.
    """
    if _marked(TORCHVISION, arrays):
        raise ValueError(f"is torchvision's, which is {_TORCHVISION_FAMILY}")
    if _is_clip(arrays):
        raise ValueError(f"is a visual transformer of CLIP, which is {_CLIP_FAMILIES}")
    if _is_transformer(arrays) and "blocks.0.ls1.gamma" not in arrays:
        raise ValueError(f"has no `ls1`, as DINOv2 has, and is {_TIMM_FAMILIES}")
    # What took the place of hidden patches in training is not used afterwards.
    kept = {name: array for name, array in arrays.items() if name != "mask_token"}
    return _renamed(DINOV2, kept)


def clip_names(arrays: Arrays) -> Arrays:
    """Rename weights of CLIP's visual transformer in the naming of OpenAI or of Hugging Face.

    Those that timm has rewritten are returned as they are. What reads texts is left out.

    Args:
        arrays: Weights by name, such as "visual.transformer.resblocks.0.ln_1.weight".

    Raises:
        ValueError: If their names are those of another family.
    """
    if _marked(TORCHVISION, arrays):
        raise ValueError(f"is torchvision's, which is {_TORCHVISION_FAMILY}")
    if _is_transformer(arrays) and not _is_clip(arrays):
        family = _DINOV2_FAMILIES if "blocks.0.ls1.gamma" in arrays else _TIMM_FAMILIES
        raise ValueError(f"has no `norm_pre`, as CLIP has, and is {family}")
    if _marked(HUGGING_FACE_CLIP, arrays):
        head = {name: a for name, a in arrays.items() if name.startswith("visual_projection.")}
        visual = _within("vision_model.", arrays)
        # Older files keep the numbers of positions.
        visual.pop("embeddings.position_ids", None)
        return _renamed(HUGGING_FACE_CLIP, visual | head)
    if _marked(OPENAI, arrays):
        renamed = _renamed(OPENAI, _within("visual.", arrays))
        if "head.weight" in renamed:
            renamed["head.weight"] = _transposed(renamed["head.weight"])
        return renamed
    return dict(arrays)


def _marked(renaming: Renaming, arrays: Arrays) -> bool:
    return any(re.search(renaming.mark, name) for name in arrays)


def _is_transformer(arrays: Arrays) -> bool:
    return "blocks.0.attn.qkv.weight" in arrays


def _is_clip(arrays: Arrays) -> bool:
    visual = _marked(OPENAI, arrays) or _marked(HUGGING_FACE_CLIP, arrays)
    return visual or "norm_pre.weight" in arrays


def _is_timm_dinov2(arrays: Arrays) -> bool:
    """Find out whether branches are scaled and patches have 14 pixels, as in no other family."""
    patch = getattr(arrays.get("patch_embed.proj.weight"), "shape", ())
    return "blocks.0.ls1.gamma" in arrays and tuple(patch[2:]) == (14, 14)


def _within(prefix: str, arrays: Arrays) -> dict[str, np.ndarray | StoredArray]:
    """Take what has a prefix, without it; everything, if nothing has it."""
    found = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
    return found or dict(arrays)


def _renamed(renaming: Renaming, arrays: Arrays) -> dict[str, np.ndarray | StoredArray]:
    """Rename what has a name in the table, and bring it into timm's shapes."""
    renamed = {_timm_name(renaming, name): array for name, array in arrays.items()}
    for name in ("cls_token", "pos_embed"):
        if name in renamed and (missing := 3 - len(renamed[name].shape)) > 0:
            shape = (1,) * missing + tuple(renamed[name].shape)
            renamed[name] = made_when_read(
                lambda array, shape=shape: array.reshape(shape), shape, renamed[name]
            )
    return _with_joined_queries(renamed)


def _timm_name(renaming: Renaming, name: str) -> str:
    if name in renaming.own:
        return renaming.own[name]
    layer, _, own = name.rpartition(".")
    if own.startswith("in_proj_"):  # of PyTorch's attention, which joins queries, keys and values
        own = own.removeprefix("in_proj_")
    elif layer.endswith(("self_attention", ".attn")):
        return name
    for pattern, replacement in renaming.patterns.items():
        if found := re.fullmatch(pattern, layer):
            return f"{found.expand(replacement)}.{own}"
    return name


def _with_joined_queries(
    arrays: dict[str, np.ndarray | StoredArray],
) -> dict[str, np.ndarray | StoredArray]:
    """Join the maps to queries, keys and values, where each has an array of its own."""
    joined = dict(arrays)
    for name in arrays:
        found = re.fullmatch(r"(blocks\.\d+\.attn)\.q\.(weight|bias)", name)
        if not found:
            continue
        layer, own = found.groups()
        parts = [f"{layer}.{part}.{own}" for part in "qkv"]
        shapes = [tuple(arrays[part].shape) for part in parts if part in arrays]
        if len(shapes) == 3 and len(set(shapes)) == 1 and shapes[0]:
            shape = (3 * shapes[0][0], *shapes[0][1:])
            joined[f"{layer}.qkv.{own}"] = made_when_read(
                lambda *three: np.concatenate(three), shape, *(joined.pop(part) for part in parts)
            )
    return joined


def _transposed(array: np.ndarray | StoredArray) -> StoredArray:
    return made_when_read(np.transpose, tuple(array.shape)[::-1], array)
