"""Subnormal numbers count as zero: processors compare them as zero, GPUs do not."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float32


def flush_subnormals(samples: Float32[Array, "*shape"]) -> Float32[Array, "*shape"]:
    """Make subnormal numbers zero where the device would not compare them as zero anyway."""
    return lax.platform_dependent(samples, cpu=lambda x: x, default=flushed)


def flushed(samples: Float32[Array, "*shape"]) -> Float32[Array, "*shape"]:
    """Make subnormal numbers zero."""
    return jnp.where(jnp.abs(samples) < jnp.finfo(jnp.float32).tiny, 0.0, samples)
