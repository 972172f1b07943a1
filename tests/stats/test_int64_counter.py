"""Counters of 64 bits against NumPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.stats import int64_counter


@jax.jit
def added(counter, places, amounts):
    return int64_counter.add_at(counter, places, amounts)


@pytest.mark.parametrize("number", [1, 1000, 2**17])
def test_amounts_add_up_beyond_32_bits(number):
    random = np.random.default_rng(number)
    places = random.integers(-1, 4, number).astype("i4")  # 3 counters; the rest are left out
    amounts = random.integers(0, 2**18, number).astype("i4")
    amounts[: number // 2] = 2**18 - 1
    counter = int64_counter.zeros((3,))
    for _ in range(3):
        counter = added(counter, jnp.asarray(places), jnp.asarray(amounts))
    expected = [3 * amounts[places == i].sum(dtype="i8") for i in range(3)]
    np.testing.assert_array_equal(int64_counter.to_int64(counter), expected)
    assert number < 2**17 or min(expected) > 2**32


def test_more_amounts_than_can_be_summed_are_refused():
    shape = jax.ShapeDtypeStruct((int64_counter.MOST_AMOUNTS + 1,), jnp.int32)
    with pytest.raises(ValueError, match="a batch of 8388609 examples is too large"):
        jax.eval_shape(added, int64_counter.zeros((3,)), shape, shape)
