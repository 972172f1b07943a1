import time

import jax
import jax.numpy as jnp
import pytest

from jaxdissect.bench.measuring.compiling import compile_twice, covered, run_twice


@pytest.fixture
def hits():
    """How often the persistent cache had a program, and how often it had not."""
    found = {"hits": 0, "misses": 0}

    def listen(event, **_):
        name = event.removeprefix("/jax/compilation_cache/cache_")
        if name in found:
            found[name] += 1

    jax.monitoring.register_event_listener(listen)
    yield found
    jax.monitoring.unregister_event_listener(listen)


@jax.jit
def program(values):
    return jnp.sin(values @ values)


VALUES = jnp.ones((16, 16))


def test_a_program_is_compiled_with_nothing_kept_and_then_from_the_cache(hits):
    program(VALUES)  # that it was compiled before must not matter
    hits.update(hits=0, misses=0)
    compiled = compile_twice(program, (VALUES,))
    assert hits == {"hits": 1, "misses": 1}
    assert compiled.cold > 0 and compiled.cached > 0
    assert (compiled.program(VALUES) == program(VALUES)).all()


def test_settings_of_the_cache_are_as_before():
    names = [name for name in vars(jax.config) if "cache" in name] + ["jax_compilation_cache_dir"]
    before = {name: getattr(jax.config, name, None) for name in names}
    compile_twice(program, (VALUES,))
    with pytest.raises(ZeroDivisionError):
        run_twice(lambda: 1 / 0)
    assert {name: getattr(jax.config, name, None) for name in names} == before


def test_compiling_is_told_from_running(hits):
    def run():
        time.sleep(0.2)
        return program(VALUES) + program(VALUES.T[:8, :8])

    with pytest.raises(TypeError):
        run_twice(run)  # shapes do not fit: errors of the run pass through

    def fitting():
        time.sleep(0.2)
        return program(VALUES), program(VALUES[:8, :8])

    hits.update(hits=0, misses=0)
    begun = time.perf_counter()
    found = run_twice(fitting)
    taken = time.perf_counter() - begun
    assert hits["hits"] == hits["misses"] >= 2
    assert min(found.first, found.second) >= 0.19
    assert found.cold > 0 and found.cached > 0
    assert found.first + found.second + found.cold + found.cached <= taken


def test_spans_that_overlap_are_counted_once():
    assert covered([]) == 0
    assert covered([(5.0, 6.0), (0.0, 3.0), (1.0, 2.0), (2.5, 4.0)]) == pytest.approx(5.0)
