"""Networks with random weights, made without initialising them, which is much slower."""

from functools import cache

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdissect.networks.weights.mapping import PYTORCH, with_parameters


def named_shapes(build):
    """PyTorch's names and shapes of what a module needs, without making it."""
    state = nnx.state(nnx.eval_shape(build), nnx.Not(nnx.RngState))
    shapes = {".".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(state)}
    return {PYTORCH.name(path): PYTORCH.shape(shape, path) for path, shape in shapes.items()}


@cache
def random_weights(build):
    """Weights, under PyTorch's names, that keep activations from exploding."""
    random = np.random.RandomState(0)
    weights = {}
    for name, shape in named_shapes(build).items():
        scale = np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 10
        values = (random.standard_normal(shape) / scale).astype(np.float32)
        positive = name.endswith("var") or (len(shape) == 1 and name.endswith("weight"))
        weights[name] = 1 + np.abs(values) if positive else values
    return weights


@cache
def filled(build, dtype=jnp.float32):
    """A module with random weights."""
    return with_parameters(build, random_weights(build), dtype=dtype)
