"""Results for an example that depend on the others of its batch are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.classifiers.ablation import ablation_sweep
from jaxdissect.classifiers.detectors import peak_activations
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.independence import among_others, check_same
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.nnx_network import NnxNetwork

CONCEPTS = vocabulary([("bright", "object")])


class Identity(nnx.Module):
    def __call__(self, x):
        return x


class TrainsByDefault(nnx.Module):
    """Its mode is an argument of the call, as in linen, and training by default."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.before = Identity()
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.after = Identity()

    def __call__(self, x, train=True):
        x = self.norm(self.before(x), use_running_average=not train)
        return self.drop(self.after(x), deterministic=not train).mean((1, 2))


class OwnFlag(nnx.Module):
    def __init__(self, function):
        self.function = function
        self.training = True
        self.layer = Identity()

    def __call__(self, x):
        return self.layer(self.function(x) if self.training else x)


def noise(x):
    return x + jax.random.normal(jax.random.key(0), x.shape)


def data(number=5):
    images = np.random.default_rng(0).random((number, 4, 4, 3), np.float32)
    labels = (images[..., :1] > 0.9).astype(np.int32)
    return Stored({"image": images, "labels": labels, "label": np.arange(number) % 3})


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("function", [lambda x: x - x.mean(), lambda x: x - x[:1], noise])
def test_a_flag_of_its_own(function, batch_size):
    with pytest.raises(ValueError, match=r"layer 'layer' gives another result.*the module's own"):
        dissect(
            *(OwnFlag(function), data(), annotated(CONCEPTS)),
            layers=["layer"],
            grid=(4, 4),
            batch_size=batch_size,
        )


def test_an_argument_of_the_call():
    network, source = TrainsByDefault(), data()
    with pytest.raises(ValueError, match=r"layer 'after' .*NnxNetwork\(model, train=False\)"):
        peak_activations(network, source, ["before", "after"])
    peak_activations(network, source, ["before"])  # it does not depend on what follows
    peaks = [
        peak_activations(NnxNetwork(network, train=False), source, ["after"], batch_size=size)
        for size in (1, 5)
    ]
    np.testing.assert_array_equal(peaks[0]["after"].values, peaks[1]["after"].values)


def test_scores_of_a_classifier():
    keep = np.ones((1, 3), bool)
    with pytest.raises(ValueError, match="the output gives another result"):
        ablation_sweep(TrainsByDefault(), data(), "before", keep)
    with pytest.raises(ValueError, match="layer 'after' gives another result"):
        ablation_sweep(TrainsByDefault(), data(), "after", keep)
    ablation_sweep(NnxNetwork(TrainsByDefault(), train=False), data(), "before", keep)


def test_the_first_example_moves_among_others():
    batch = {
        "image": np.arange(6, dtype=np.float32).reshape(3, 2),
        "raw": np.arange(6, dtype=np.uint8).reshape(3, 2),
        "label": np.array([7, 8, 9]),
    }
    moved = among_others({**batch, "placed": jnp.asarray(batch["image"])})
    for name, array in moved.items():
        first = batch["image" if name == "placed" else name][0]
        assert array.shape == batch.get(name, batch["image"]).shape and array.dtype == first.dtype
        np.testing.assert_array_equal(array[-1], first)
    assert (moved["image"][0] != batch["image"][0]).all()
    assert (moved["raw"][0] != batch["raw"][0]).all()
    assert moved["label"].tolist() == [7, 7, 7]
    assert among_others({"image": np.ones((1, 2))})["image"].tolist() == [[2.5, 2.5], [1, 1]]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_rounding_of_bfloat16_is_no_dependence_even_if_it_is_cast(dtype):
    first, last = {"a": jnp.array([[1.0, 2]])}, {"a": jnp.array([[9.0, 9], [1.0, 2.1]])}

    def program():
        return jax.jit(lambda x: jax.jit(lambda x: x.astype(dtype) * 2)(x) + 1.0).trace(first["a"])

    if dtype == jnp.bfloat16:
        check_same(first, last, program)
        last["a"] += 0.2
    with pytest.raises(ValueError, match="a gives another result"):
        check_same(first, last, program)
