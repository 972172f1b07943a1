import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.bench.checking.gate import equal, fingerprint, within

COUNTS = np.arange(12, dtype=np.int64).reshape(3, 4)


def test_equal_counts_pass_whatever_their_width():
    gate = equal(jnp.asarray(COUNTS, jnp.int32), COUNTS, against="NumPy")
    assert gate.passed
    assert gate.against == "NumPy"
    assert gate.fingerprint == fingerprint(COUNTS.astype(np.uint8))


@pytest.mark.parametrize("wrong", [COUNTS + (COUNTS == 5), COUNTS[:2], COUNTS.T, [COUNTS, COUNTS]])
def test_a_single_wrong_count_fails(wrong):
    assert not equal(wrong, COUNTS, against="NumPy").passed


def test_nothing_is_never_right():
    assert not equal((), (), against="NumPy", answer=COUNTS).passed
    assert not within((), (), 1.0, reason="any", against="NumPy").passed
    assert not within(np.zeros(0), np.zeros(0), 1.0, reason="any", against="NumPy").passed


def test_the_fingerprint_is_that_of_the_whole_answer():
    part = equal(COUNTS[0], COUNTS[0], against="NumPy", answer=COUNTS)
    assert part.passed and part.fingerprint == fingerprint(COUNTS)


def test_fingerprints_tell_values_and_shapes_apart():
    flat = COUNTS.ravel()
    assert len({fingerprint(x) for x in (COUNTS, flat, COUNTS.T, flat[::-1], flat > 3)}) == 5


def test_floating_point_numbers_have_no_fingerprint():
    with pytest.raises(TypeError, match="float32 has no fingerprint"):
        fingerprint(np.zeros(3, np.float32))


def test_a_difference_is_a_share_of_the_greatest_magnitude():
    expected = np.array([-8.0, 1.0])
    gate = within(expected + [0.0, 0.004], expected, 0.001, reason="rounding", against="float64")
    assert gate.passed
    assert gate.difference == pytest.approx(0.0005)
    assert (gate.tolerance, gate.reason) == (0.001, "rounding")
    assert not within(expected + 0.02, expected, 0.001, reason="rounding", against="x").passed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["found", "expected", "both"])
def test_what_is_not_finite_is_never_right(value, which):
    good, bad = np.array([1.0, 2.0]), np.array([1.0, value])
    found = good if which == "expected" else bad
    expected = good if which == "found" else bad
    assert not within(found, expected, 1e9, reason="any", against="x").passed


def test_other_shapes_are_never_right():
    assert not within(np.ones((1, 3)), np.ones(3), 1.0, reason="any", against="x").passed
