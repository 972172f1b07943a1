"""Blocks of mobile networks: sizes and names, and the same numbers as torchvision's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.models.inverted_residual import Inverted, InvertedResidual, centred
from jaxdissect.networks.weights.mapping import PYTORCH, parameters, with_parameters

BLOCKS = {
    "plain": Inverted(4, expansion=3),
    "unexpanded": Inverted(6, expansion=1),
    "strided": Inverted(4, expansion=2, stride=2),
}


def draw(shapes, seed=0):
    random = np.random.RandomState(seed)
    return {name: random.uniform(0.2, 1, shape).astype("f4") for name, shape in shapes.items()}


def shapes_of(module):
    found = parameters(module)
    return {PYTORCH.name(name): PYTORCH.shape(array.shape, name) for name, array in found.items()}


def images(sides=(9, 11), channels=4):
    maps = np.random.RandomState(1).standard_normal((2, *sides, channels))
    return jnp.asarray(maps, jnp.float32)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_equals_torchvisions(block):
    torch_layers = pytest.importorskip("support.torch_layers")
    theirs = pytest.importorskip("torchvision.models.mobilenetv2").InvertedResidual(
        4, block.units, block.stride, block.expansion
    )
    theirs = torch_layers.randomise(theirs, images())
    names = torch_layers.compare_layers(
        theirs, lambda: InvertedResidual(4, block, rngs=nnx.Rngs(0)), images()
    )
    assert set(names) == {name for name, _ in theirs.named_modules() if name}


def test_folded_normalisations_give_the_same():
    block = Inverted(4, expansion=3, size=5, dilation=2)
    whole = InvertedResidual(4, block, rngs=nnx.Rngs(0))
    arrays = draw(shapes_of(whole))
    whole = with_parameters(lambda: InvertedResidual(4, block, rngs=nnx.Rngs(0)), arrays)
    folded = {}
    for convolution, norm in (("0.0", "0.1"), ("1.0", "1.1"), ("2", "3")):
        norm = f"conv.{norm}"
        scale = arrays[f"{norm}.weight"] / np.sqrt(arrays[f"{norm}.running_var"] + 1e-5)
        kernel = arrays[f"conv.{convolution}.weight"]
        folded[f"conv.{convolution}.weight"] = kernel * scale[:, None, None, None]
        folded[f"conv.{convolution}.bias"] = (
            arrays[f"{norm}.bias"] - arrays[f"{norm}.running_mean"] * scale
        )

    def build():
        return InvertedResidual(4, block, normalise=None, rngs=nnx.Rngs(0))

    lean = with_parameters(build, folded)
    np.testing.assert_allclose(lean(images()), whole(images()), rtol=1e-4, atol=1e-4)
    assert "conv.2.kernel" in parameters(lean) and "conv.0.2" in NnxNetwork(lean).layer_names


def test_padding_dilation_and_input():
    assert centred(5, 2) == ((4, 4), (4, 4))
    block = Inverted(4, size=5, dilation=2)
    shape = jax.eval_shape(InvertedResidual(4, block, rngs=nnx.Rngs(0)), images()).shape
    assert shape == (2, 9, 11, 4)
    # TensorFlow's zeros lie behind the image where a stride leaves an odd number of them.
    block, inputs = Inverted(4, stride=2), images((8, 8))
    centre = InvertedResidual(4, block, rngs=nnx.Rngs(0))
    behind = InvertedResidual(4, block, padding="SAME", rngs=nnx.Rngs(0))
    expected = centre(jnp.roll(inputs, -1, (1, 2)))[:, 1:3, 1:3]
    np.testing.assert_allclose(behind(inputs)[:, 1:3, 1:3], expected, rtol=1e-5, atol=1e-6)
