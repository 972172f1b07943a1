"""In a process forked after JAX has run, computing is refused instead of hanging."""

import os
import sys

import jax
import numpy as np
import pytest
from flax import nnx

import jaxdissect as jd
from jaxdissect.engine.folding import fold
from jaxdissect.networks.weights.mapping import with_parameters


@pytest.mark.filterwarnings("ignore:.*fork.*")
@pytest.mark.skipif(sys.platform != "linux", reason="forks are a matter of Linux")
def test_computing_in_a_forked_process_is_refused():
    jax.device_put(1).block_until_ready()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        found = []
        for call in (
            lambda: jd.as_network(None),
            lambda: with_parameters(nnx.Module, {}),
            lambda: fold(lambda state, batch: (state, None), 0, [{"a": np.zeros(1)}], batch_size=1),
        ):
            try:
                call()
            except Exception as problem:
                found.append(f"{type(problem).__name__}: {problem}")
        os.write(writer, "\n".join(found).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    lines = os.read(reader, 10_000).decode().splitlines()
    os.close(reader)
    assert len(lines) == 3
    assert all("RuntimeError: this process was forked from one in which JAX" in x for x in lines)
