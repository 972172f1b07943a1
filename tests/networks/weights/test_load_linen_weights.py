"""Linen modules of a user take the weights of their PyTorch originals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.traverse_util import flatten_dict

import jaxdissect as jd


class Block(nn.Module):
    units: int

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(self.units, (3, 3), feature_group_count=2, use_bias=False)(x)
        return nn.relu(nn.BatchNorm(use_running_average=not train, epsilon=1e-5)(x))


class Net(nn.Module):
    """Lists, a Sequential, automatic names, maps in a row, transposed convolutions, attention."""

    def setup(self):
        self.stem = nn.Sequential(
            [nn.ConvTranspose(4, (2, 2), (2, 2)), nn.relu, nn.Conv(4, (1, 1))]
        )
        self.blocks = [Block(4), Block(6)]
        self.fc = nn.Dense(8)
        self.attention = nn.MultiHeadDotProductAttention(2)

    def __call__(self, x, train=False):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, train)
        tokens = self.fc(x.reshape(2, 1, -1)) * jnp.array([[[1.0], [0.5], [-1.0]]])
        return self.attention(tokens, tokens)


def original():
    """The same in PyTorch, random."""
    torch = pytest.importorskip("torch")
    kinds = torch.nn

    class TorchNet(kinds.Module):
        def __init__(self):
            super().__init__()
            self.stem = kinds.Sequential(
                *(kinds.ConvTranspose2d(3, 4, 2, stride=2), kinds.ReLU(), kinds.Conv2d(4, 4, 1))
            )
            self.blocks = kinds.ModuleList(
                kinds.ModuleDict(
                    {
                        "convolution": kinds.Conv2d(4, units, 3, padding=1, groups=2, bias=False),
                        "normal": kinds.BatchNorm2d(units),
                    }
                )
                for units in (4, 6)
            )
            self.fc = kinds.Linear(6 * 4 * 8, 8)
            self.attention = kinds.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            x = self.stem(x)
            for block in self.blocks:
                x = torch.relu(block["normal"](block["convolution"](x)))
            tokens = self.fc(x.flatten(1))[:, None] * torch.tensor([[[1.0], [0.5], [-1.0]]])
            return self.attention(tokens, tokens, tokens)[0]

    torch.manual_seed(0)
    model = TorchNet().eval()
    with torch.no_grad():
        for name, array in model.state_dict().items():
            if "normal" in name and array.is_floating_point():
                array.copy_(torch.rand(array.shape) + 0.5)
    return model


NAMES = {
    f"blocks_{block}.{kind}_0": f"blocks.{block}.{there}"
    for block in (0, 1)
    for kind, there in (("Conv", "convolution"), ("BatchNorm", "normal"))
}
ROWS = {"fc": (6, 4, 8)}


def images():
    return np.random.RandomState(0).standard_normal((2, 2, 4, 3)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(original().state_dict(), tmp_path / "net.pth")
    return tmp_path / "net.pth"


def test_it_computes_what_the_original_does(path):
    torch = pytest.importorskip("torch")
    shape = jax.ShapeDtypeStruct((2, 2, 4, 3), jnp.float32)
    with torch.no_grad():
        expected = original()(torch.from_numpy(images()).permute(0, 3, 1, 2)).numpy()
    variables = jd.load_linen_weights(Net(), path, shape, names=NAMES, flattened=ROWS, train=False)
    assert set(variables) == {"params", "batch_stats"}
    network = jd.LinenNetwork(Net(), variables, train=False)
    output, _ = network.apply(variables, images())
    np.testing.assert_allclose(output, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)
    drawn = Net().init(jax.random.key(0), images())
    assert jax.tree.structure(drawn) == jax.tree.structure(variables)


def test_a_function_names_modules(path):
    def there(here):
        return (
            here.replace("blocks_", "blocks.")
            .replace("Conv_0", "convolution")
            .replace("BatchNorm_0", "normal")
            .replace("layers_", "")
        )

    by_function, by_mapping = (
        jd.load_linen_weights(Net(), path, images(), names=names, flattened=ROWS)
        for names in (there, NAMES)
    )
    jax.tree.map(np.testing.assert_array_equal, by_function, by_mapping)


def test_maps_in_a_row_are_asked_for(path):
    with pytest.raises(ValueError, match=r"flattened=.'fc': \(6, h, w\) with h w = 32. if its 192"):
        jd.load_linen_weights(Net(), path, images(), names=NAMES)


def test_names_that_differ_are_listed(path):
    with pytest.raises(ValueError, match="does not fit the network") as problem:
        jd.load_linen_weights(Net(), path, images())
    lines = str(problem.value).splitlines()
    assert (
        "  blocks.0.Conv_0.weight [4, 2, 3, 3]; nearest in the file: "
        "blocks.0.convolution.weight [4, 2, 3, 3]" in lines
    )


@pytest.mark.parametrize("mark", [".", "/"])
def test_files_of_flax_are_read(path, tmp_path, mark):
    variables = jd.load_linen_weights(Net(), path, images(), names=NAMES, flattened=ROWS)
    flat: Any = flatten_dict(variables, sep=mark)
    np.savez(tmp_path / "flax.npz", **flat)
    again = jd.load_linen_weights(Net(), tmp_path / "flax.npz", images(), dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(again)} == {jnp.dtype(jnp.bfloat16)}
    jax.tree.map(
        lambda one, other: np.testing.assert_array_equal(one, other.astype(jnp.bfloat16)),
        again,
        variables,
    )


@pytest.mark.parametrize("module", [nnx.Linear(2, 2, rngs=nnx.Rngs(0)), {}])
def test_what_is_no_linen_module(module, tmp_path):
    with pytest.raises(TypeError, match=r"`module` .* must be a linen module"):
        jd.load_linen_weights(module, tmp_path / "net.pth", images())
