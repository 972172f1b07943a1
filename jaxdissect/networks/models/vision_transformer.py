"""Vision transformers: images as words, in every published form with a class token.

Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
ICLR 2021, with the names of timm. Registers are those of Darcet et al., "Vision Transformers Need
Registers", ICLR 2024; scaled branches those of Touvron et al., "Going deeper with Image
Transformers", ICCV 2021, section 2; the normalisation before the blocks that of Radford et al.,
"Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.

Letters of shapes: B batch, H W image, h w grid of patches, T tokens, U units of a token, M neurons,
N classes.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.layers import IMAGENET, Chain, Layer, checked_images, gelu, units_in
from jaxdissect.networks.token_layout import Shape, TokenLayout
from jaxdissect.networks.weights.mapping import Shapes

DEPTH = 12
"""Blocks of the published networks of these sizes."""


class KnownSize(NamedTuple):
    """Sizes of published networks, which have a class token and 4 U neurons in every block.

    Attributes:
        width: Units of a token, U.
        depth: Blocks.
        heads: Attention heads of every block, which weights do not tell.
        patches: Heights of patches, which are square.
    """

    width: int
    depth: int
    heads: int
    patches: tuple[int, ...]


KNOWN_SIZES = (
    KnownSize(192, 12, 3, (16,)),
    KnownSize(384, 12, 6, (8, 14, 16, 32)),
    KnownSize(512, 12, 8, (16, 32)),
    KnownSize(768, 12, 12, (8, 14, 16, 32)),
    KnownSize(1024, 24, 16, (14, 16, 32)),
    KnownSize(1280, 32, 16, (14, 16)),
)
"""Tiny, small, medium, base, large, huge."""

MOST_BLOCKS = 100
"""More are not built: a name in a file costs a few bytes, a block much more."""


def quick_gelu(inputs: Float[Array, "*a"]) -> Float[Array, "*a"]:
    """Multiply by the logistic function of 1.702 times the input, as OpenAI's CLIP does."""
    return inputs * jax.nn.sigmoid(1.702 * inputs)


POOLINGS: dict[str, Callable[[Array, int], Array]] = {
    "token": lambda tokens, prefix: tokens[:, 0],
    "mean": lambda tokens, prefix: tokens[:, prefix:].mean(1),
    "max": lambda tokens, prefix: tokens[:, prefix:].max(1),
}
"""From all tokens, and how many are no patches, to what is classified."""


class LayerNorm(nnx.Module):
    """Normalise the units of every token, in float32, whatever the precision of the network.

    Args:
        units: Units of a token, U.
        epsilon: Added to variances.
    """

    def __init__(self, units: int, epsilon: float):
        self.scale = nnx.Param(jnp.ones(units))
        self.bias = nnx.Param(jnp.zeros(units))
        self.epsilon = epsilon

    def __call__(self, tokens: Float[Array, "*places U"]) -> Float[Array, "*places U"]:
        centered = tokens.astype(jnp.float32)
        centered -= centered.mean(-1, keepdims=True)
        variance = jnp.square(centered).mean(-1, keepdims=True)
        normal = (centered * jax.lax.rsqrt(variance + self.epsilon)).astype(tokens.dtype)
        lifted = (1,) * (tokens.ndim - 1) + (-1,)
        return normal * self.scale[...].reshape(lifted) + self.bias[...].reshape(lifted)


class Attention(nnx.Module):
    """Self-attention; its layer `heads` is what all heads give, before `proj` mixes them.

    Unit ``head * d + channel`` of `heads` is a channel of a head, d = U / `heads`.

    Args:
        width: Units of a token, U.
        heads: Heads, which divide the units.
        use_bias: Whether `qkv` has a bias.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, width: int, heads: int, *, use_bias: bool = True, rngs: nnx.Rngs):
        self.num_heads = heads
        self.qkv = nnx.Linear(width, 3 * width, use_bias=use_bias, rngs=rngs)
        self.heads = Layer(nnx.identity)
        self.proj = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, tokens: Float[Array, "B T U"]) -> Float[Array, "B T U"]:
        shape = (*tokens.shape[:2], 3, self.num_heads, -1)
        queries, keys, values = jnp.moveaxis(self.qkv(tokens).reshape(shape), 2, 0)
        scores = jnp.einsum(
            "bthd,bshd->bhts",
            queries * queries.shape[-1] ** -0.5,
            keys,
            preferred_element_type=jnp.float32,
        )
        shares = jax.nn.softmax(scores).astype(tokens.dtype)
        found = jnp.einsum("bhts,bshd->bthd", shares, values)
        return self.proj(self.heads(found.reshape(tokens.shape)))


class Scale(nnx.Module):
    """Multiply every unit by a number of its own."""

    def __init__(self, units: int):
        self.gamma = nnx.Param(jnp.ones(units))

    def __call__(self, tokens: Float[Array, "B T U"]) -> Float[Array, "B T U"]:
        return tokens * self.gamma[...][None, None]


class Block(nnx.Module):
    """Add what attention finds, then what neurons make of it, to the residual stream.

    Args:
        width: Units of a token, U.
        heads: Heads of the attention.
        hidden: Neurons, M.
        activation: Of the neurons.
        epsilon: Added to variances.
        layer_scale: Whether both branches are scaled before they are added.
        qkv_bias: Whether queries, keys and values have a bias.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        activation: Callable[[Array], Array],
        epsilon: float,
        layer_scale: bool,
        qkv_bias: bool,
        rngs: nnx.Rngs,
    ):
        self.norm1 = LayerNorm(width, epsilon)
        self.attn = Attention(width, heads, use_bias=qkv_bias, rngs=rngs)
        self.ls1 = Scale(width) if layer_scale else None
        self.norm2 = LayerNorm(width, epsilon)
        self.mlp = Chain(
            {
                "fc1": nnx.Linear(width, hidden, rngs=rngs),
                "act": activation,
                "fc2": nnx.Linear(hidden, width, rngs=rngs),
            }
        )
        self.ls2 = Scale(width) if layer_scale else None

    def __call__(self, tokens: Float[Array, "B T U"]) -> Float[Array, "B T U"]:
        found = self.attn(self.norm1(tokens))
        tokens = tokens + (found if self.ls1 is None else self.ls1(found))
        found = self.mlp(self.norm2(tokens))
        return tokens + (found if self.ls2 is None else self.ls2(found))


class VisionTransformer(nnx.Module):
    """Patches become tokens, blocks add to them, and the class token is classified.

    Layers are `patch_embed` (a picture of patches), `pos_drop` (tokens with their positions),
    `norm_pre` of some networks, and for every block B

    - `blocks.B`: the residual stream after it,
    - `blocks.B.mlp.act`: its neurons, after their GELU,
    - `blocks.B.attn.heads`: what its attention heads give, before `blocks.B.attn.proj` mixes them;
      unit ``head * d + channel``, d = U / heads,

    with `norm1`, `attn`, `attn.qkv`, `ls1`, `norm2`, `mlp`, `mlp.fc1`, `mlp.fc2`, `ls2` on the way;
    then `norm` (or `fc_norm`) and `head`. Token layers have the class token first, then registers,
    then patches in rows: the network says so itself, so neither `token_grid` nor `drop_tokens` are
    needed. What was dropout in training does nothing here.

    Args:
        num_classes: Classes, N; 0 for the features that would be classified.
        image_size: Height and width of the images.
        patch_size: Height and width of a patch, which divide those of the images.
        width: Units of a token, U.
        depth: Blocks.
        heads: Attention heads of every block, which divide the units.
        hidden: Neurons of every block, M; by default four for every unit.
        class_token: Whether there is one.
        registers: Tokens that are no patches, beside the class token.
        positioned: Tokens that are no patches and have a position: by default the class token.
        patch_bias, qkv_bias, head_bias: Whether these maps have a bias.
        pre_norm: Whether tokens are normalised before the first block.
        layer_scale: Whether branches are scaled before they are added.
        pooling: What is classified: the class "token", or the "mean" or "max" of the patches.
        norm_after_pooling: Whether the last normalisation, then `fc_norm`, follows pooling.
        activation: Of the neurons: `gelu`, or `quick_gelu`.
        epsilon: Added to variances by all normalisations.
        rngs: Stream of the initial parameters.

    Raises:
        ValueError: If patches do not tile the image, heads do not divide the units, or pooling is
            unknown or that of a class token that there is not.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        image_size: Shape = (224, 224),
        patch_size: Shape = (16, 16),
        width: int = 768,
        depth: int = DEPTH,
        heads: int = 12,
        hidden: int | None = None,
        class_token: bool = True,
        registers: int = 0,
        positioned: int | None = None,
        patch_bias: bool = True,
        qkv_bias: bool = True,
        head_bias: bool = True,
        pre_norm: bool = False,
        layer_scale: bool = False,
        pooling: str = "token",
        norm_after_pooling: bool = False,
        activation: Callable[[Array], Array] = gelu,
        epsilon: float = 1e-6,
        rngs: nnx.Rngs,
    ):
        if any(side % patch for side, patch in zip(image_size, patch_size, strict=True)):
            raise ValueError(
                f"`image_size` (={image_size}) must be tiled by patches of `patch_size` "
                f"(={patch_size})"
            )
        if heads < 1 or width % heads:
            raise ValueError(f"`heads` (={heads}) must divide the {width} units of a token")
        if pooling not in POOLINGS:
            raise ValueError(f"`pooling` (={pooling!r}) must be one of: {', '.join(POOLINGS)}")
        if pooling == "token" and not class_token:
            raise ValueError("`pooling` must be 'mean' or 'max' where there is no class token")
        normal = nnx.initializers.truncated_normal(0.02)
        prefix = int(class_token) + registers
        self.image_size = (image_size[0], image_size[1])
        self.patch_size = (patch_size[0], patch_size[1])
        self.pooling = pooling
        self.positioned = int(class_token) if positioned is None else positioned
        if self.positioned not in {0, int(class_token), prefix}:
            raise ValueError(
                f"`positioned` (={positioned}) must be 0, the class token, or all {prefix} tokens "
                "that are no patches"
            )
        cells = math.prod(self.grid)
        self.patch_embed = Chain(
            {
                "proj": Conv2D(
                    3,
                    width,
                    self.patch_size,
                    strides=self.patch_size,
                    padding="VALID",
                    use_bias=patch_bias,
                    convolve=_map_patches,
                    rngs=rngs,
                )
            }
        )
        self.cls_token = nnx.Param(normal(rngs.params(), (1, 1, width))) if class_token else None
        self.reg_token = (
            nnx.Param(normal(rngs.params(), (1, registers, width))) if registers else None
        )
        self.pos_embed = nnx.Param(normal(rngs.params(), (1, cells + self.positioned, width)))
        self.pos_drop = Layer(nnx.identity)
        norm = partial(LayerNorm, width, epsilon)
        self.norm_pre = norm() if pre_norm else None
        self.blocks = nnx.List(
            [
                Block(
                    width,
                    heads,
                    4 * width if hidden is None else hidden,
                    activation=activation,
                    epsilon=epsilon,
                    layer_scale=layer_scale,
                    qkv_bias=qkv_bias,
                    rngs=rngs,
                )
                for _ in range(depth)
            ]
        )
        self.norm = None if norm_after_pooling else norm()
        self.fc_norm = norm() if norm_after_pooling else None
        self.head = (
            nnx.Linear(width, num_classes, use_bias=head_bias, rngs=rngs) if num_classes else None
        )

    @property
    def grid(self) -> Shape:
        """Rows and columns of patches."""
        (height, width), (down, across) = self.image_size, self.patch_size
        return height // down, width // across

    @property
    def num_prefix(self) -> int:
        """Tokens that are no patches: the class token and registers."""
        return sum(
            token.shape[1] for token in (self.cls_token, self.reg_token) if token is not None
        )

    @property
    def token_layout(self) -> TokenLayout:
        """How the token layers lie on the image."""
        return TokenLayout(self.grid, self.num_prefix)

    def __call__(self, inputs: Any) -> Float[Array, "B N"]:
        """Score the classes.

        Args:
            inputs: Images, floats [B, H, W, 3] of the size `image_size`, normalised as in training:
                RGB in [0, 1], less a mean, over a deviation.

        Returns:
            Logits; or, where there are no classes, the units that would be classified.

        Raises:
            ValueError: If the images have other axes or another size, or are no floats.
        """
        images = checked_images(inputs, dtype=self.pos_embed[...].dtype)
        height, width = self.image_size
        if images.shape[1:3] != (height, width):
            raise ValueError(
                f"`images` (={images.shape}) must be {height} x {width} pixels (H x W), for which "
                "this network has positions; `resized_positions` makes others"
            )
        tokens = self.pos_drop(self._tokens(self.patch_embed(images)))
        if self.norm_pre is not None:
            tokens = self.norm_pre(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        if self.norm is not None:
            tokens = self.norm(tokens)
        pooled = POOLINGS[self.pooling](tokens, self.num_prefix)
        if self.fc_norm is not None:
            pooled = self.fc_norm(pooled)
        return pooled if self.head is None else self.head(pooled)

    def _tokens(self, cells: Float[Array, "B h w U"]) -> Float[Array, "B T U"]:
        """Put class token and registers before the patches, and add positions."""
        batch, *_, units = cells.shape
        first = [t[...] for t in (self.cls_token, self.reg_token) if t is not None]
        prefix = jnp.concatenate([jnp.zeros((1, 0, units), cells.dtype), *first], axis=1)
        positions = self.pos_embed[...]
        prefix = prefix.at[:, : self.positioned].add(positions[:, : self.positioned])
        patches = cells.reshape(batch, -1, units) + positions[:, self.positioned :]
        return jnp.concatenate([jnp.tile(prefix, (batch, 1, 1)), patches], axis=1)


def _map_patches(
    inputs: Float[Array, "B H W I"],
    kernel: Float[Array, "p q I O"],
    *,
    strides: Shape,
    padding: str,
) -> Float[Array, "B h w O"]:
    """Map patches that tile the image: one matrix product."""
    del padding  # patches tile the image
    batch, height, width, channels = inputs.shape
    down, across = strides
    tiles = inputs.reshape(batch, height // down, down, width // across, across, channels)
    return jnp.einsum("bhpwqi,pqio->bhwo", tiles, kernel)


def from_shapes(
    shapes: Shapes,
    *,
    published: Mapping[str, Any],
    named: Mapping[int, str] = MappingProxyType({}),
    heads: int | None = None,
    pooling: str | None = None,
    image_size: Shape | None = None,
    activation: Callable[[Array], Array] = gelu,
    epsilon: float = 1e-6,
    rngs: nnx.Rngs | None = None,
) -> VisionTransformer:
    """Build the network in the sizes of some weights, given PyTorch's names and shapes.

    Neither heads nor pooling are in weights. Heads are those of `KNOWN_SIZES` where all of width,
    depth, neurons, patch and class token are published ones; there are networks of such a size with
    others (the small one of MoCo v3 has 12 heads), for which `heads` must be given.

    Args:
        shapes: Shapes by name. Sizes that cannot be read are the published ones.
        published: Arguments of `VisionTransformer` for the published network, `num_classes` too.
        named: Names of the published networks of this family by their width; weights of the width
            of another are refused.
        heads: Attention heads, by default those of the published networks of these sizes.
        pooling: What is classified: the class "token", or the "mean" or "max" of the patches. By
            default the mean if there is `fc_norm` or no class token, else the class token.
        image_size: Height and width that the weights have positions for; by default a square.
        activation: Of the neurons: `gelu`, or `quick_gelu`.
        epsilon: Added to variances by all normalisations.
        rngs: Stream of the initial parameters.

    Raises:
        ValueError: If no published network has these sizes and `heads` are not given, the width is
            that of another name, there is no class token for `pooling`, or the positions fit no
            `image_size`, or several.
    """
    rngs = nnx.Rngs(0) if rngs is None else rngs
    options: dict[str, Any] = {
        **{"num_classes": IMAGENET, "depth": DEPTH, "patch_size": (16, 16)},
        **published,
    }
    if shapes:
        options |= _structure(shapes)
        options |= _sizes(shapes, options)
        options |= _positions(shapes, options, image_size)
    elif image_size is not None:
        options["image_size"] = image_size
    if pooling is not None:
        options["pooling"] = pooling
    width = options["width"]
    if width != published["width"] and width in named:
        raise ValueError(
            f"the weights have {width} units a token, as `{named[width]}` has, and "
            f"`{named[published['width']]}` has {published['width']}"
        )
    if heads is None:
        # Names without positions are of no transformer; what is missing is listed then.
        heads = _known_heads(options, "pos_embed" not in shapes or options["class_token"])
    return VisionTransformer(
        **options, heads=heads, activation=activation, epsilon=epsilon, rngs=rngs
    )


def _known_heads(options: Mapping[str, Any], has_token: bool) -> int:
    """Look up the heads of the published network of some sizes, which must all be its own."""
    width, depth, patch = options["width"], options["depth"], options["patch_size"]
    neurons = options.get("hidden", 4 * width)
    for known in KNOWN_SIZES:
        alike = (width, depth, neurons) == (known.width, known.depth, 4 * known.width)
        if alike and has_token and patch[0] == patch[1] and patch[0] in known.patches:
            return known.heads
    raise ValueError(
        f"`heads` must be given: no published network has {width} units in {depth} blocks of "
        f"{neurons} neurons with{'' if has_token else 'out'} a class token, and patches of "
        f"{patch[0]} x {patch[1]} pixels; weights do not tell how many heads share the units"
    )


def _structure(shapes: Shapes) -> dict[str, Any]:
    """Read which of the parts that a network may have or lack there are."""
    class_token, pooled = "cls_token" in shapes, "fc_norm.weight" in shapes
    return {
        "class_token": class_token,
        "patch_bias": "patch_embed.proj.bias" in shapes,
        "qkv_bias": "blocks.0.attn.qkv.bias" in shapes,
        "head_bias": "head.bias" in shapes,
        "pre_norm": "norm_pre.weight" in shapes,
        "layer_scale": "blocks.0.ls1.gamma" in shapes,
        "pooling": "mean" if pooled or not class_token else "token",
        "norm_after_pooling": pooled,
    }


def _sizes(shapes: Shapes, published: Mapping[str, Any]) -> dict[str, Any]:
    sizes: dict[str, Any] = {"width": published["width"], "registers": 0, "num_classes": 0}
    patch = shapes.get("patch_embed.proj.weight", ())
    if len(patch) == 4 and min(patch) > 0:
        sizes |= {"width": patch[0], "patch_size": patch[2:]}
    tokens = shapes.get("reg_token", ())
    if len(tokens) == 3:
        sizes["registers"] = tokens[1]
    numbers = {name.split(".")[1] for name in shapes if name.startswith("blocks.")}
    sizes["depth"] = min(len(numbers), MOST_BLOCKS) or published["depth"]
    sizes["hidden"] = units_in(shapes, "blocks.0.mlp.fc1.weight", 4 * sizes["width"])
    if "head.weight" in shapes:
        sizes["num_classes"] = units_in(shapes, "head.weight", published["num_classes"])
    return sizes


def _positions(
    shapes: Shapes, options: Mapping[str, Any], image_size: Shape | None
) -> dict[str, Any]:
    """Read from the number of positions how many patches have one, and how many other tokens."""
    patch = options["patch_size"]
    prefix = options["class_token"] + options["registers"]
    others = sorted({0, int(options["class_token"]), prefix})
    found = shapes.get("pos_embed", ())
    if len(found) != 3 or found[1] < 1:
        return {} if image_size is None else {"image_size": image_size}
    if image_size is not None:
        cells = math.prod(side // own for side, own in zip(image_size, patch, strict=True))
        if found[1] - cells not in others:
            raise ValueError(
                f"`image_size` (={image_size}) has {cells} patches of {patch[0]} x {patch[1]} "
                f"pixels, and the weights have {found[1]} positions; load them without "
                "`image_size`, and give the network to `resized_positions`"
            )
        return {"image_size": image_size, "positioned": found[1] - cells}
    fitting = [n for n in others if found[1] > n and math.isqrt(found[1] - n) ** 2 == found[1] - n]
    if len(fitting) != 1:
        what = "more than one square" if fitting else "no square"
        raise ValueError(
            f"`image_size` must be given: {found[1]} positions, of patches and perhaps of the "
            f"{prefix} other tokens, fit {what} of patches of {patch[0]} x {patch[1]} pixels"
        )
    side = math.isqrt(found[1] - fitting[0])
    return {"image_size": (side * patch[0], side * patch[1]), "positioned": fitting[0]}


def last_layers(network: VisionTransformer) -> tuple[str, ...]:
    """Name the neurons of the last three blocks, or all there are, and the stream after them."""
    depth = len(network.blocks)
    neurons = (f"blocks.{block}.mlp.act" for block in range(max(depth - 3, 0), depth))
    return (*neurons, f"blocks.{depth - 1}")


def resized_positions(model: VisionTransformer, image_size: Shape) -> VisionTransformer:
    """Copy a network for images of another size, with positions between those that it knows.

    Positions are interpolated by cubics (Keys 1981, a = -1/2), widened where there are fewer than
    before, as timm does for all networks and DINOv2 for those with registers. The published code of
    DINOv2 without registers differs: its cubics have a = -3/4, and are shifted by a tenth of a
    cell.

    Args:
        model: The network.
        image_size: Height and width of the images to come, tiled by patches.

    Raises:
        ValueError: If patches do not tile such images.
    """
    (height, width), (down, across) = image_size, model.patch_size
    if height % down or width % across or min(image_size) < 1:
        raise ValueError(
            f"`image_size` (={image_size}) must be tiled by patches of {down} x {across} pixels"
        )
    positions = model.pos_embed[...]
    first, cells = positions[:, : model.positioned], positions[:, model.positioned :]
    shape = (1, height // down, width // across, positions.shape[-1])
    resized = jax.image.resize(cells.reshape(1, *model.grid, -1), shape, "cubic")
    changed = nnx.clone(model)
    changed.image_size = (height, width)
    changed.pos_embed = nnx.Param(
        jnp.concatenate([first, resized.reshape(1, -1, shape[-1])], axis=1)
    )
    return changed
