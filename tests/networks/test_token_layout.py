"""Tokens, heads and pictures: which grid they fill, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.probed_networks import images, normal

from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.networks.edits import ablate
from jaxdissect.networks.network import as_maps, as_network, layer_shapes, layout_of
from jaxdissect.networks.token_layout import LayoutError, TokenLayout, find_grid, has_aspect


def grid_of(tokens, image_size, **given):
    return find_grid(tokens, TokenLayout().updated(**_both(given)), image_size, "layer 'x'")


def _both(given):
    return {"token_grid": None, "drop_tokens": None, **given}


@pytest.mark.parametrize(
    ("tokens", "image_size", "grid"),
    [
        (196, (224, 224), (14, 14)),
        (197, (224, 224), (14, 14)),
        (49, (96, 128), (6, 8)),  # not 7 x 7
        (48, (96, 128), (6, 8)),
        (225, (224, 256), (14, 16)),  # not 15 x 15
        (1025, (512, 512), (32, 32)),
        (257, (224, 224), (16, 16)),
        (5, (32, 32), (2, 2)),
        (17, (32, 32), (4, 4)),
        (9, (9, 9), (3, 3)),  # 2 x 2 patches do not tile it
        (1, (32, 32), (1, 1)),
        (2, (32, 32), (1, 1)),
        (49, (100, 130), (6, 8)),  # patches of 16 pixels, 4 and 2 pixels left over
        (63, (100, 130), (7, 9)),  # and with a border: 7 x 9
        (35, (160, 224), (5, 7)),
        (36, (160, 224), (5, 7)),
    ],
)
def test_the_grid_follows_from_the_image(tokens, image_size, grid):
    found, kept = grid_of(tokens, image_size)
    assert found == grid
    extra = tokens - grid[0] * grid[1]
    np.testing.assert_array_equal(np.arange(tokens)[kept], np.arange(extra, tokens))


@pytest.mark.parametrize(
    ("tokens", "image_size", "reason"),
    [
        (198, (224, 224), "no grid .* 224 x 224 pixels.* 14 x 14 [+] 2"),  # distillation
        (201, (224, 224), "no grid .* 14 x 14 [+] 5"),  # four registers
        (9, (96, 96), "more than one grid .* 3 x 3 or 2 x 2 [+] 5"),
        (9, (32, 32), "no grid .* 2 x 2 [+] 5"),
        (81, (64, 64), "no grid .* 8 x 8 [+] 17"),  # not 9 x 9
        (17, (24, 24), "more than one grid .* 4 x 4 [+] 1 or 3 x 3 [+] 8"),
        (32, (64, 64), "no grid"),  # 4 x 8 cells that are no squares
        (225, (240, 256), "no grid"),  # 15 x 15
        (196, None, "depends on the size of the image"),
        (0, (32, 32), "no grid"),
    ],
)
def test_what_fits_no_grid_or_two_is_refused(tokens, image_size, reason):
    ways = "pass `token_grid`, .* `drop_tokens`"
    with pytest.raises(LayoutError, match=f"layer 'x' gives {tokens} tokens, .*{reason}.*; {ways}"):
        grid_of(tokens, image_size)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"drop_tokens": 5}, range(5, 9)),
        ({"drop_tokens": -5}, range(4)),
        ({"drop_tokens": (0, 2, 4, 6, -1)}, (1, 3, 5, 7)),
        ({"drop_tokens": [4, 5, 6, 7, 8], "token_grid": [2, 2]}, range(4)),
        ({"drop_tokens": 0, "token_grid": (3, 3)}, range(9)),
        ({"drop_tokens": 0}, range(9)),
        ({"token_grid": (3, 3)}, range(9)),
        ({"token_grid": (2, 4)}, range(1, 9)),  # a class token; cells as the user says
        ({"token_grid": (1, 8), "drop_tokens": -1}, range(8)),
    ],
)
def test_a_user_says_how_tokens_lie(given, kept):
    tokens = normal(0, (2, 9, 5))
    maps = as_maps(tokens, image_size=(96, 96), **given)
    assert maps.shape[1:3] == given.get("token_grid", maps.shape[1:3]) or "drop_tokens" in given
    np.testing.assert_array_equal(maps.reshape(2, -1, 5), tokens[:, np.array(list(kept))])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"token_grid": (2, 2)}, "do not fill `token_grid` .*, with or without one class token"),
        ({"token_grid": (2, 4), "drop_tokens": 0}, "do not fill `token_grid`"),
        ({"drop_tokens": 9}, "`drop_tokens` .* all"),
        ({"drop_tokens": (9,)}, r"`drop_tokens` names \[9\]"),
        ({"drop_tokens": (8, -1)}, "some twice"),
        ({"drop_tokens": 1}, "no grid"),
        ({"token_grid": (3,)}, "`token_grid` .* rows and columns"),
        ({"token_grid": (0, 9)}, "`token_grid` .* rows and columns"),
    ],
)
def test_what_a_user_says_must_fit(given, reason):
    with pytest.raises(ValueError, match=reason):
        as_maps(jnp.zeros((2, 9, 5)), image_size=(96, 96), **given)


def test_maps_are_unchanged():
    assert as_maps(images()).shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(as_maps(images(), token_grid=(1, 1)), images())


@pytest.mark.parametrize(
    ("cells", "image_size"),
    [
        ((7, 7), (224, 224)),
        ((1, 1), (96, 128)),
        ((6, 8), (96, 128)),
        ((22, 30), (96, 128)),  # AlexNet: strides without a border
        ((10, 14), (96, 128)),
        ((4, 6), (96, 128)),
        ((2, 2), (96, 128)),
        ((84, 116), (96, 128)),  # three convolutions of 5 x 5 without a border
        ((12, 16), (375, 500)),
        ((11, 15), (375, 500)),
        ((192, 256), (96, 128)),  # enlarged
    ],
)
def test_pictures_have_the_aspect_of_the_image(cells, image_size):
    assert has_aspect(cells, image_size)
    assert has_aspect(cells[::-1], image_size[::-1])


@pytest.mark.parametrize(
    ("cells", "image_size"),
    [
        ((49, 4), (96, 128)),
        ((49, 12), (128, 96)),
        ((49, 24), (128, 96)),
        ((36, 4), (224, 160)),
        ((5, 4), (32, 32)),
        ((197, 12), (224, 224)),
        ((7, 7), (96, 128)),
        ((12, 197), (224, 224)),
        ((6, 8), (8, 12)),
    ],
)
def test_tokens_of_heads_do_not(cells, image_size):
    assert not has_aspect(cells, image_size)


class TestHeads:
    """A layer of attention, tokens 2 x 3 and a class token, 2 heads of 4 channels."""

    def network(self):
        def values(params, x):
            cells = x.reshape(len(x), 2, 2, 3, 2, 3).mean((2, 4)).reshape(len(x), 6, 3)
            tokens = jnp.concatenate([jnp.ones((len(x), 1, 3)), cells], axis=1)
            return jnp.einsum("btc,chd->bthd", tokens, params)

        stages = {"values": values, "joined": lambda params, x: x.reshape(*x.shape[:2], -1)}
        return StagedNetwork(stages, normal(1, (3, 2, 4)), head=lambda params, x: x.mean(1))

    def images(self):
        return normal(2, (5, 4, 6, 3))

    def test_are_refused_as_a_picture(self):
        message = r"'values' gives \[B, 7, 2, 4\], .* no picture of 7 x 2 .* join_heads=\[layer\]"
        with pytest.raises(LayoutError, match=message):
            layer_shapes(self.network(), self.images(), ("values",))
        declared = as_network(self.network(), token_grid=(7, 2))
        assert layer_shapes(declared, self.images(), ("values",))["values"].shape == (5, 7, 2, 4)

    def test_are_units_when_so_asked(self):
        plain, joined = self.network(), as_network(self.network(), join_heads="values")
        x, params = self.images(), plain.params
        read = joined.activations(params, x, layers=("values",))["values"]
        np.testing.assert_array_equal(
            read, plain.activations(params, x, layers=("joined",))["joined"]
        )
        assert as_maps(read, image_size=(4, 6)).shape == (5, 2, 3, 8)
        edits = [ablate([1, 6], 8), ablate([1, 6], 8)._replace(add=jnp.ones(()))]
        for edit in edits:
            edited, found = joined.apply(params, x, layers=("values",), edits={"values": edit})
            np.testing.assert_array_equal(found["values"], read)
            expected, _ = plain.apply(params, x, edits={"joined": edit})
            np.testing.assert_array_equal(edited, expected)
        per_place = ablate([3], 8)._replace(add=normal(3, (7, 8)))
        edited, _ = jax.jit(joined.apply)(params, x, edits={"values": per_place})
        expected, _ = plain.apply(params, x, edits={"joined": per_place})
        np.testing.assert_allclose(edited, expected, rtol=1e-6)

    def test_must_be_four_axes(self):
        joined = as_network(self.network(), join_heads=["joined"])
        with pytest.raises(LayoutError, match="`join_heads`: layer 'joined' gives"):
            layer_shapes(joined, self.images(), ("joined",))


def test_a_layer_without_examples_is_refused():
    stages = {"windows": lambda params, x: x.reshape(4 * len(x), -1, x.shape[-1])}
    network = StagedNetwork(stages, jnp.ones(()))
    with pytest.raises(ValueError, match=r"'windows' gives \(8, .* must be that of the 2 examples"):
        layer_shapes(network, images(), ("windows",))


def test_a_layout_is_part_of_a_network():
    network = as_network(TestHeads().network(), token_grid=(6, 8))
    assert layout_of(network) == TokenLayout((6, 8), None)
    assert layout_of(as_network(network, drop_tokens=-2)) == TokenLayout((6, 8), -2)
    assert as_network(network) is network
