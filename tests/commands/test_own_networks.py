"""Networks that a user's file builds: with weights of their own, or not of JAX at all."""

import numpy as np
import pytest

from jaxdissect.commands.options.model import choose_layers, find_model

LOADS = """
from pathlib import Path
from flax import nnx
import jaxdissect as jd

def build():
    module = nnx.Sequential(nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0)), nnx.relu)
    return jd.load_weights(module, Path(__file__).parent / "own.npz")
"""
FOREIGN = """
class Module:
    __module__ = "torch.nn.modules.module"

def build():
    return type("ResNet", (Module,), {})()
"""


def written(tmp_path, code, **weights):
    (tmp_path / "own_network.py").write_text(code)
    np.savez(tmp_path / "own.npz", **weights)
    return f"{tmp_path / 'own_network.py'}:build"


def test_a_function_loads_weights(tmp_path):
    weights = {"0.weight": np.ones((4, 3, 3, 3), "f4"), "0.bias": np.arange(4, dtype="f4")}
    found = find_model(written(tmp_path, LOADS, **weights))
    assert choose_layers(found, ("layers.1",), (8, 8)) == ("layers.1",)
    black = np.zeros((1, 8, 8, 3), np.float32)
    units = found.network.activations(found.network.params, black, layers=("layers.1",))
    np.testing.assert_array_equal(units["layers.1"][0, 0, 0], np.arange(4))


def test_weights_that_do_not_fit_are_listed(tmp_path):
    name = written(tmp_path, LOADS, **{"0.weight": np.ones((4, 3, 3, 3), "f4")})
    with pytest.raises(ValueError, match=r"own.npz does not fit the network\n1 missing:\n  0.bias"):
        find_model(name)


def test_a_network_of_pytorch_is_told_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"`model` \(=ResNet\) must be .*load_weights\(module"):
        find_model(written(tmp_path, FOREIGN))
