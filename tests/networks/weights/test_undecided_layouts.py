"""`load_weights` asks where shapes do not tell how arrays are laid out."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

import jaxdissect as jd
from jaxdissect.networks.transposed_convolution import ConvTransposed2D
from jaxdissect.networks.weights.module_tree import places_of
from jaxdissect.networks.weights.renaming import stored_places


class Holder(nnx.Module):
    """Layers that are defined in an order."""

    def __init__(self, layers):
        for name, layer in layers.items():
            setattr(self, name, layer)


def conv(rngs):
    return nnx.Conv(3, 16, (3, 3), rngs=rngs)


def norm(units, rngs):
    return nnx.BatchNorm(units, rngs=rngs)


def linear(inputs, rngs, outputs=10):
    return nnx.Linear(inputs, outputs, rngs=rngs)


def as_pytorch(module):
    """Arrays of zeros that fit a module, as PyTorch names and lays them."""
    stored = (next(stored_places(place)) for place in places_of(module))
    return {one.name: np.zeros(one.shape or (), "f4") for one in stored}


def saved(folder, arrays):
    save_file(arrays, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def problem_of(folder, arrays, module, **options):
    with pytest.raises(ValueError) as problem:
        jd.load_weights(module, saved(folder, arrays), **options)
    return str(problem.value).splitlines()


@pytest.mark.parametrize(
    ("build", "argument", "path"),
    [
        (lambda r: {"f": linear(3 * 16 * 16, r)}, "flattened", "f"),
        (lambda r: {"c": conv(r), "n": norm(1024, r), "f": linear(1024, r)}, "flattened", "n"),
        (lambda r: {"c": conv(r), "n": norm(1024, r), "f": linear(1024, r)}, "flattened", "f"),
        (lambda r: {"f": linear(1024, r), "c": conv(r)}, "flattened", "f"),
        (
            lambda r: {"c": conv(r), "f": linear(1024, r, 1024), "g": linear(1024, r, 1024)},
            "flattened",
            "f",
        ),
        (
            lambda r: {
                "c": conv(r),
                "f": nnx.LinearGeneral((8, 8, 16), 10, axis=(1, 2, 3), rngs=r),
            },
            "flattened",
            "f",
        ),
        (
            lambda r: {
                "c": conv(r),
                "f": nnx.Einsum("bhwc,hwco->bo", (8, 8, 16, 10), (10,), rngs=r),
            },
            "flattened",
            "f",
        ),
        (lambda r: {"f": linear(8, r, 96), "c": nnx.Conv(16, 5, (3, 3), rngs=r)}, "un", "f"),
        (lambda r: {"f": linear(8, r, 64), "c": nnx.Conv(4, 5, (3, 3), rngs=r)}, "un", "f"),
        (lambda r: {"f": linear(8, r, 256), "c": ConvTransposed2D(16, 8, 4, rngs=r)}, "un", "f"),
        (
            lambda r: {
                "f": linear(8, r, 64),
                "c": nnx.Conv(16, 16, (3, 3), feature_group_count=16, rngs=r),
            },
            "un",
            "f",
        ),
    ],
    ids=[
        *(
            "pixels of a patch",
            "norm between",
            "after a norm",
            "head first",
            "equal linear maps",
            "general",
        ),
        *("einsum", "oblong maps", "few channels", "transposed", "depthwise"),
    ],
)
def test_rows_are_asked_for_wherever_sizes_suggest_them(tmp_path, build, argument, path):
    module = Holder(build(nnx.Rngs(0)))
    file = saved(tmp_path, as_pytorch(module))
    argument = "unflattened" if argument == "un" else argument
    with pytest.raises(ValueError, match=rf"(?m)^  {argument}={{'{path}': \("):
        jd.load_weights(module, file)
    jd.load_weights(module, file, flattened={"": None}, unflattened={"": None})


def test_what_reads_the_layer_before_it_is_not_asked_about(tmp_path):
    rngs = nnx.Rngs(0)
    layers = {"c": conv(rngs), "pooled": linear(16, rngs, 64), "out": linear(64, rngs)}
    module = Holder(layers)
    jd.load_weights(module, saved(tmp_path, as_pytorch(module)))
    module = Holder({"words": nnx.Embed(100, 768, rngs=rngs), "f": linear(768, rngs)})
    jd.load_weights(module, saved(tmp_path, as_pytorch(module)))


def test_what_is_not_to_be_loaded_has_no_place_here(tmp_path):
    rngs = nnx.Rngs(0)
    module = Holder({"a": linear(8, rngs), "head": linear(10, rngs)})
    problem = problem_of(tmp_path, as_pytorch(module), module, unused=["head"])
    assert problem[1:] == ["2 in `unused`, but with a place here:", "  head.bias", "  head.weight"]


def test_a_weight_of_a_layer_of_ones_own_must_be_explained(tmp_path):
    class Own(nnx.Module):
        def __init__(self):
            self.weight = nnx.Param(jnp.zeros((4, 4)))

    arrays = {"own.weight": np.arange(16, dtype="f4").reshape(4, 4)}
    module = Holder({"own": Own()})
    problem = problem_of(tmp_path, arrays, module)
    assert any("layout" in line for line in problem) and "  own.weight [4, 4]" in problem
    layouts = {"own.weight": lambda array: array.T}
    loaded = jd.load_weights(module, saved(tmp_path, arrays), layouts=layouts)
    np.testing.assert_array_equal(loaded.own.weight[...], arrays["own.weight"].T)
