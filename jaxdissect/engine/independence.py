"""Refuse networks whose result for an example depends on the other examples of its batch.

Networks in training mode do: they normalise by the statistics of the batch, or draw random numbers
for every place in it. What is measured with them changes with the batch size. So one example is
shown twice, in different places among different others, and must give the same.

Shapes: B batch.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Traced
from jaxtyping import Array, PyTree

from jaxdissect.engine.processes import example_of, placed_like
from jaxdissect.networks.adapters.recorder import as_layers
from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.network import Network

_TOLERANCE, _NARROW_TOLERANCE = 0.01, 0.1
"""How far results may differ by rounding, as a share of the greatest: computed in float32 alone, or
somewhere in floats of fewer bits, whatever the results are cast to."""

_MOST = 1024
_passed: dict[Hashable, None] = {}
"""What has passed, oldest first, so that it is tested once."""


def once(key: Hashable, test: Callable[[], None]) -> None:
    """Run a test unless it has passed for this key."""
    if key in _passed:
        return
    test()
    _passed[key] = None
    if len(_passed) > _MOST:
        del _passed[next(iter(_passed))]


def shapes_of(tree: PyTree) -> Hashable:
    """Return shapes and types of arrays, as part of a key."""
    return tuple((np.shape(leaf), str(leaf.dtype)) for leaf in jax.tree.leaves(tree))


def among_others(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Move the first example of a batch to the last place, after others that are made of it.

    Args:
        batch: Arrays [B, ...]; of a single example a batch of two is made.

    Returns:
        A batch, where the input was.
    """
    number = max(2, max(len(array) for array in batch.values()))
    first = example_of(batch, 0)
    others = {name: _others(array[None], number) for name, array in first.items()}
    return {
        name: placed_like(moved, batch[name])
        if isinstance(batch[name], jax.Array) and len(batch[name]) == number
        else moved
        for name, moved in others.items()
    }


def _others(array: np.ndarray, number: int) -> np.ndarray:
    first = array[:1]
    if array.ndim < 2:
        other = first  # a label, or the number of an example
    elif jnp.issubdtype(array.dtype, jnp.floating):
        other = (1.5 * first + 1).astype(array.dtype)
    else:
        other = 255 - first // 2 if array.dtype == np.uint8 else first
    return np.concatenate([np.repeat(other, number - 1, axis=0), first])


def check_same(
    first: Mapping[str, Array], last: Mapping[str, Array], program: Callable[[], Traced]
) -> None:
    """Compare the results of an example in the first place and, among others, in the last.

    Args:
        first: Results [B, ...] by name, of which the first row counts.
        last: Results, of which the last row counts.
        program: Traces what computes them; called where results differ.

    Raises:
        ValueError: If they differ by more than rounding.
    """
    moved = example_of(last, -1)
    for name, array in example_of(first, 0).items():
        one, other = array.astype(np.float32), moved[name].astype(np.float32)
        greatest = np.abs(one).max(initial=0)
        if not np.isfinite(greatest):
            continue  # refused where activations are checked
        difference = np.abs(one - other).max(initial=0)
        if difference <= _TOLERANCE * greatest:
            continue
        if not difference <= _NARROW_TOLERANCE * greatest or not _is_narrow(program()):
            share = f"{difference / greatest:.0%}" if greatest else f"{difference:g}"
            raise ValueError(
                f"{name} gives another result for the same example among other examples of a "
                f"batch (by up to {share} of its greatest value), so that results would depend on "
                "`batch_size`: as in training, it takes statistics over the batch or draws random "
                "numbers. Pass what turns that off to the adapter, NnxNetwork(model, train=False) "
                "or LinenNetwork(module, variables, train=False), or set the module's own flag"
            )


def _is_narrow(program: Traced) -> bool:
    """Find out whether a program computes in floats of fewer than 32 bits anywhere."""
    return re.search(r"f(16|8_\w+)\[", str(program.jaxpr)) is not None


def check_outputs(
    network: Network,
    inputs: Callable[[Mapping[str, Any]], Any],
    example: Mapping[str, Any],
    *,
    layers: str | tuple[str, ...] = (),
) -> None:
    """Check that what a network outputs for an example does not depend on other examples.

    Args:
        network: The network.
        inputs: Makes the network's input of a batch.
        example: A batch of one example.
        layers: Layers to look at besides.

    Raises:
        ValueError: If it does; the message names what differs, and says what to pass.
    """
    structure, layers = Structure(network), as_layers(layers)
    shapes = shapes_of(dict(example))

    def test() -> None:
        alike = {name: np.concatenate([array[:1]] * 2) for name, array in example.items()}
        # Run only twice: on CPU, optimising the program would take longer than it saves.
        on_cpu = jax.default_backend() == "cpu"
        fast: Any = {"xla_backend_optimization_level": 0} if on_cpu else None
        given = network.params, alike
        run = _run.lower(structure, layers, inputs, *given).compile(compiler_options=fast)
        check_same(
            run(*given),
            run(network.params, among_others(example)),
            lambda: _run.trace(structure, layers, inputs, *given),
        )

    once((structure, layers, inputs, shapes), test)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(
    structure: Structure,
    layers: tuple[str, ...],
    inputs: Callable[[Mapping[str, Any]], Any],
    params: PyTree,
    batch: dict[str, Any],
) -> dict[str, Array]:
    output, found = structure.apply(params, inputs(batch), layers=layers)
    named = {f"layer {name!r}": array for name, array in found.items()}
    arrays = [leaf for leaf in jax.tree.leaves(output) if leaf.ndim and len(leaf) == 2]
    return named | {f"the output{f' {n}' * bool(n)}": leaf for n, leaf in enumerate(arrays)}
