"""Arrays meet a network: every name and shape is checked, and one message lists all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdissect as jd
from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.layers import Chain, batch_norm
from jaxdissect.networks.weights.mapping import (
    parameters,
    pytorch_shapes,
    with_parameters,
)


def build():
    rngs = nnx.Rngs(0)
    return Chain(
        {
            "0": Conv2D(3, 4, use_bias=False, rngs=rngs),
            "1": batch_norm(4),
            "2": nnx.relu,
            "3": Conv2D(4, 6, (3, 5), groups=2, rngs=rngs),
            "4": lambda maps: maps.mean(axis=(1, 2)),
            "5": nnx.Linear(6, 5, rngs=rngs),
        }
    )


SHAPES = {
    "0.weight": (4, 3, 3, 3),
    "1.weight": (4,),
    "1.bias": (4,),
    "1.running_mean": (4,),
    "1.running_var": (4,),
    "3.weight": (6, 2, 3, 5),
    "3.bias": (6,),
    "5.weight": (5, 6),
    "5.bias": (5,),
}


def arrays():
    random = np.random.RandomState(0)
    made = {name: random.uniform(0.5, 1.5, shape).astype("f4") for name, shape in SHAPES.items()}
    return made | {"1.num_batches_tracked": np.array(3)}


def test_weights_in_pytorchs_layout_compute_what_they_mean():
    given = arrays()
    images = np.random.RandomState(1).standard_normal((2, 6, 7, 3))
    network = with_parameters(build, given)

    def correlate(images, kernel, groups=1):
        out, depth, rows, columns = kernel.shape
        pads = ((0, 0), (rows // 2,) * 2, (columns // 2,) * 2, (0, 0))
        padded = np.pad(images, pads)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), axis=(1, 2))
        parts = windows.reshape(*windows.shape[:3], groups, depth, rows, columns)
        kernels = kernel.reshape(groups, out // groups, depth, rows, columns)
        return np.einsum("bhwgcij,gocij->bhwgo", parts, kernels).reshape(*images.shape[:3], out)

    maps = correlate(images, given["0.weight"])
    deviation = np.sqrt(given["1.running_var"] + 1e-5)
    maps = (maps - given["1.running_mean"]) / deviation * given["1.weight"] + given["1.bias"]
    maps = correlate(np.maximum(maps, 0), given["3.weight"], groups=2) + given["3.bias"]
    scores = maps.mean(axis=(1, 2)) @ given["5.weight"].T + given["5.bias"]

    assert isinstance(network, Chain)
    found = jax.jit(network)(jnp.asarray(images, jnp.float32))
    np.testing.assert_allclose(found, scores, rtol=1e-4)
    probed = jd.as_network(network)
    assert {"0", "1", "2", "3", "4", "5"} <= set(getattr(probed, "layer_names", ()))


def test_weights_go_to_a_file_and_back():
    network = with_parameters(build, arrays())
    native = {name: np.asarray(array) for name, array in parameters(network).items()}
    assert native["3.kernel"].shape == (3, 5, 2, 6) and native["1.mean"].shape == (4,)
    assert pytorch_shapes(native) == SHAPES
    again = parameters(with_parameters(build, native))
    assert again.keys() == native.keys()
    for name, array in again.items():
        np.testing.assert_array_equal(array, native[name])


def test_weights_take_the_dtype_asked_for():
    network = with_parameters(build, arrays(), dtype=jnp.bfloat16)
    assert {array.dtype for array in parameters(network).values()} == {jnp.dtype(jnp.bfloat16)}
    halves = {name: array.astype("f2") for name, array in arrays().items()}
    assert parameters(with_parameters(build, halves))["0.kernel"].dtype == jnp.float32


@pytest.mark.parametrize("dtype", [jnp.int32, "int8", bool])
def test_weights_are_never_rounded_to_integers(dtype):
    with pytest.raises(ValueError, match="must be a floating dtype"):
        with_parameters(build, arrays(), dtype=dtype)


def test_all_problems_of_weights_are_reported_at_once():
    wrong = arrays()
    del wrong["0.weight"], wrong["5.bias"]
    wrong |= {"6.weight": np.zeros(3, "f4"), "1.bias": np.zeros(5, int)}
    with pytest.raises(ValueError) as problem:
        with_parameters(build, wrong, source="weights.pth")
    assert str(problem.value).splitlines() == [
        "weights.pth does not fit the network",
        "2 missing:",
        "  0.weight [4, 3, 3, 3]",
        "  5.bias [5]",
        "1 unexpected:",
        "  6.weight [3]",
        "1 misshapen:",
        "  1.bias: expected [4], got [5]",
        "1 no floating-point numbers:",
        "  1.bias: int64",
    ]


def test_weights_of_another_number_of_classes_are_refused():
    more = arrays() | {"5.weight": np.zeros((7, 6), "f4"), "5.bias": np.zeros(7, "f4")}
    with pytest.raises(ValueError, match=r"5.weight: expected \[5, 6\], got \[7, 6\]"):
        with_parameters(build, more)


def test_a_prefix_of_all_names_makes_no_difference():
    given = arrays()

    def nested():
        return Chain({"model": build()})

    prefixed = {f"net.body.{name}": array for name, array in given.items()}
    under_model = {f"model.{name}": array for name, array in given.items()}
    expected = parameters(with_parameters(build, given))
    found = [
        parameters(with_parameters(build, prefixed)),
        parameters(with_parameters(nested, under_model)),
        parameters(with_parameters(nested, given)),
    ]
    for one in found:
        assert len(one) == len(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(one.get(name, one.get(f"model.{name}")), array)
    del prefixed["net.body.5.bias"]
    with pytest.raises(ValueError, match=r"every name of its arrays begins with net\.body\."):
        with_parameters(build, prefixed)
