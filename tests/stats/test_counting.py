"""Every form of counting against plain NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdissect.stats import counting, counting_kernel, counting_sums

TINY = np.finfo(np.float32).tiny

forms = {
    "blocks": counting._count_by_blocks,
    "sums": counting_sums.count_by_sums,
    "GPU kernel": partial(counting_kernel.count_on_gpu, interpret=True),
    "TPU kernel": partial(counting_kernel.count_on_tpu, interpret=True),
}


def case(seed, number, columns, candidates=3):
    """Values with ties, infinities, NaN and subnormals, and candidates among them."""
    rng = np.random.default_rng(seed)
    special = np.array([0, -0.0, TINY / 4, -TINY / 4, np.nan, np.inf, -np.inf, TINY], np.float32)
    samples = np.round(rng.standard_normal((number, columns)) * 4).astype(np.float32) / 4
    mask = rng.random(samples.shape) < 0.3
    samples[mask] = rng.choice(special, mask.sum())
    bounds = np.array([-np.inf, -0.5, -TINY, 0, TINY, 0.25, np.inf], np.float32)
    return samples, rng.choice(bounds, (candidates, columns))


def flushed(values):
    return np.where(np.abs(values) < TINY, np.float32(0), values)


def oracle(samples, candidates):
    return (flushed(samples)[:, None] > candidates[None]).sum(axis=0)


@pytest.mark.parametrize("form", forms)
@pytest.mark.parametrize(
    ("number", "columns"), [(1, 1), (16, 5), (63, 32), (97, 3), (150, 64), (64, 128)]
)
def test_oracle(form, number, columns):
    samples, candidates = case(number, number, columns)
    found = forms[form](jnp.asarray(samples), jnp.asarray(candidates))
    np.testing.assert_array_equal(found, oracle(samples, candidates))


@pytest.mark.parametrize("form", ["GPU kernel", "TPU kernel"])
def test_kernels_of_many_steps_programs_and_candidates(form, monkeypatch):
    monkeypatch.setattr(counting_kernel, "_FEWEST_PROGRAMS", 2)
    samples, candidates = case(1, 7 * 64 + 13, 256, candidates=7)  # 2 programs of 3 steps, a rest
    found = forms[form](jnp.asarray(samples), jnp.asarray(candidates))
    np.testing.assert_array_equal(found, oracle(samples, candidates))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([1, 40, 112]))
def test_any_values(seed, number):
    samples, candidates = case(seed, number, 4)
    found = counting.counts_above(jnp.asarray(samples), jnp.asarray(candidates))
    np.testing.assert_array_equal(found, oracle(samples, candidates))


@pytest.mark.parametrize("choice", ["auto", "pallas", "xla"])
def test_jit_and_vmap_equal_eager(choice, monkeypatch):
    monkeypatch.setenv("JAXDISSECT_KERNELS", choice)
    samples, candidates = map(jnp.asarray, case(2, 50, 4))
    expected = oracle(*case(2, 50, 4))
    for form in (counting.counts_above, jax.jit(lambda *args: counting.counts_above(*args))):
        np.testing.assert_array_equal(form(samples, candidates), expected)
    stacked = jax.vmap(counting.counts_above, in_axes=(0, None))(
        jnp.stack([samples, -samples]), candidates
    )
    np.testing.assert_array_equal(stacked[0], expected)
    np.testing.assert_array_equal(stacked[1], oracle(-case(2, 50, 4)[0], case(2, 50, 4)[1]))


@pytest.mark.parametrize("form", forms)
def test_devices_count_apart(form):
    samples, candidates = case(3, 4 * 80, 32)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, all_of_it = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()
    count = jax.shard_map(
        lambda *args: jax.lax.psum(forms[form](*args), "data"),
        mesh=mesh,
        in_specs=(rows, all_of_it),
        out_specs=all_of_it,
        check_vma=False,  # Pallas and loops that start at zero do not say what varies
    )
    np.testing.assert_array_equal(jax.jit(count)(samples, candidates), oracle(samples, candidates))


def test_unknown_kernels_are_refused(monkeypatch):
    monkeypatch.setenv("JAXDISSECT_KERNELS", "cuda")
    with pytest.raises(ValueError, match="JAXDISSECT_KERNELS .='cuda'. must be 'auto'"):
        counting.counts_above(jnp.zeros((1, 1)), jnp.zeros((1, 1)))


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_kernels_are_lowered_for_their_devices(platform, monkeypatch):
    def lowered(choice):
        monkeypatch.setenv("JAXDISSECT_KERNELS", choice)
        shapes = [jax.ShapeDtypeStruct((n, 128), jnp.float32) for n in (500, 5)]
        traced = jax.jit(lambda *args: counting.counts_above(*args)).trace(*shapes)
        return traced.lower(lowering_platforms=(platform,)).as_text()

    assert "counts_above" in lowered("pallas")
    assert "custom_call" in lowered("pallas")
    assert "custom_call" not in lowered("xla")
