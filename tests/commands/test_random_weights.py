"""`--random-weights`: the same network untrained, or a refusal with the ways out."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.commands.options import generator, model
from jaxdissect.networks import untrained
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.models import alexnet
from jaxdissect.networks.network import as_network
from jaxdissect.scenes.scene_classifier import SceneClassifier

FUNCTIONS = """
import jax
import jax.numpy as jnp
from flax import nnx

TRAINED = jnp.arange(12.0).reshape(4, 3)


def with_rngs(rngs=None):
    return nnx.Linear(4, 3, rngs=rngs or nnx.Rngs(7))


class WithDropout(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(4, 3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.linear(x))


def with_seed(seed):
    return nnx.Linear(4, 3, rngs=nnx.Rngs(seed))


def with_dropout(seed):
    return WithDropout(nnx.Rngs(seed))


def loads_all_the_same(seed=0):
    network = nnx.Linear(4, 3, rngs=nnx.Rngs(seed))
    network.kernel[...] = TRAINED
    return network


def without():
    return nnx.Linear(4, 3, rngs=nnx.Rngs(7))
"""


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    path = tmp_path_factory.mktemp("functions") / "functions.py"
    path.write_text(FUNCTIONS)
    return path


def assert_same(network, expected):
    first, second = (jax.tree.leaves(found.params) for found in (network, as_network(expected)))
    assert len(first) == len(second)
    for array, other in zip(first, second, strict=True):
        if not jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(array, other)


def test_the_built_in_classifier():
    found = model.find_model("scenes", random_weights=3)
    assert_same(found.network, SceneClassifier(rngs=nnx.Rngs(3)))
    assert found.default_layers == model.find_model("scenes").default_layers


@pytest.mark.parametrize("name", ["vgg16", "vgg16_places365"])
def test_known_networks_need_no_weights(monkeypatch, name):
    built = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    asked = []
    monkeypatch.setattr(
        model, "untrained", lambda kind, *, seed: asked.append((kind, seed)) or built
    )
    found = model.find_model(name, random_weights=5)
    assert asked == [("vgg16", 5)] and found.default_layers == ("features.relu5_3",)


def test_networks_of_the_catalog_are_initialised_from_the_seed():
    shapes = {"fc8.weight": (2, 8), "fc6.weight": (8, 1)}
    shapes |= {f"conv{i}.weight": (4, 3, 1, 1) for i in range(1, 6)}
    first, other = (
        jax.tree.leaves(as_network(alexnet.from_shapes(shapes, rngs=nnx.Rngs(seed))).params)
        for seed in (1, 2)
    )
    different = [(array != again).any() for array, again in zip(first, other, strict=True)]
    assert sum(map(bool, different)) >= 8  # every kernel
    with pytest.raises(ValueError, match="has the sizes of its weights"):
        untrained("proggan", seed=0)


@pytest.mark.slow
def test_the_built_in_generator():
    found = generator.GeneratorOptions(model="scenes", random_weights=1).find_generator()
    trained = generator.GeneratorOptions(model="scenes").find_generator()
    first, second = (jax.tree.leaves(each.model.network.params) for each in (found, trained))
    assert [array.shape for array in first] == [array.shape for array in second]
    assert any((array != other).any() for array, other in zip(first, second, strict=True))


@pytest.mark.parametrize("name", ["with_rngs", "with_seed"])
def test_functions_take_rngs_or_a_seed(functions, name):
    found = model.find_model(f"{functions}:{name}", random_weights=5)
    assert_same(found.network, nnx.Linear(4, 3, rngs=nnx.Rngs(5)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "without"}, r"without\(\) of `model` .* takes neither `rngs` .* nor `seed`"),
        ({"model": "loads_all_the_same"}, r"100% of the weights that loads_all_the_same\(\)"),
        ({"random_weights": -1}, r"`random_weights` \(=-1\) must be at least 0"),
        (
            {"weights": pathlib.Path("my.pth")},
            r"`random_weights` \(=3\) takes the place of `weights` \(=my.pth\)",
        ),
    ],
)
def test_what_is_no_control_is_refused(functions, given, message):
    name = given.get("model")
    options = {"random_weights": 3} | given
    options["model"] = f"{functions}:{name}" if name else "vgg16"
    with pytest.raises(ValueError, match=message):
        model.ModelOptions(**options).find_network()


def test_functions_may_have_other_state(functions):
    found = model.find_model(f"{functions}:with_dropout", random_weights=5)
    assert isinstance(found.network, NnxNetwork)
    assert "linear" in found.network.layer_names


def test_a_kind_of_network_needs_one_of_the_two():
    with pytest.raises(ValueError, match="needs `weights` or `random_weights`"):
        model.find_model("vgg16")
