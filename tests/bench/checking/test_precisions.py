"""Precisions: what is traced in them, and how far answers may be from float64."""

import jax
import jax.numpy as jnp
import pytest

from jaxdissect.bench.checking.precisions import (
    PRECISIONS,
    check_precision,
    tolerance_of,
    traced_in,
)


def asked_for(precision, setting):
    """The precision of a product that is traced while the process is set to another."""
    with jax.default_matmul_precision(setting):
        program = jax.make_jaxpr(traced_in(precision, jnp.matmul))(jnp.eye(2), jnp.eye(2))
    (step,) = [
        step
        for call in program.jaxpr.eqns
        for step in (call.params["jaxpr"].jaxpr.eqns if "jaxpr" in call.params else [call])
        if step.primitive.name == "dot_general"
    ]
    return {str(one) for one in step.params["precision"]}


@pytest.mark.parametrize("setting", ["highest", "bfloat16"])
def test_settings_of_the_process_do_not_matter(setting):
    assert asked_for("highest", setting) == {"HIGHEST"}
    assert asked_for("default", setting) == {"DEFAULT"}
    assert asked_for("bfloat16", setting) == {"DEFAULT"}


def test_rougher_precisions_may_differ_more():
    for platform in ("cpu", "gpu", "tpu"):
        shares = [tolerance_of(one, platform=platform).share for one in PRECISIONS]
        assert shares == sorted(shares)
    gpu, cpu = (tolerance_of("default", platform=one) for one in ("gpu", "cpu"))
    assert gpu.share > cpu.share
    assert "TF32" in gpu.reason


def test_other_precisions_are_refused():
    with pytest.raises(ValueError, match=r"`precision` \(='float16'\) must be one of: highest"):
        check_precision("float16")
