"""Which networks of the catalog some weights are of, by the names and shapes of their arrays."""

from flax import nnx

from jaxdissect.networks.models.catalog import ARCHITECTURES, Architecture
from jaxdissect.networks.weights.mapping import (
    NATIVE,
    PYTORCH,
    Arrays,
    Shapes,
    naming_of,
    pytorch_shapes,
)

COUNTER = "num_batches_tracked"


def architectures_of(arrays: Arrays) -> tuple[str, ...]:
    """Find the networks that weights fit, each in the sizes that it reads from them.

    The networks whose `marks` are among the names are built, though without any number, which takes
    up to seconds: this is for messages about weights that do not fit what they were said to be.

    Args:
        arrays: Weights by name, in any naming that is read.

    Returns:
        Names of `ARCHITECTURES` whose names and shapes are exactly those of the weights.
    """
    arrays = {name: array for name, array in arrays.items() if not name.endswith(COUNTER)}
    return tuple(name for name, known in ARCHITECTURES.items() if _fits(known, arrays))


def renamed(architecture: Architecture, arrays: Arrays) -> Arrays:
    """Give weights the names that a network of the catalog follows.

    Args:
        architecture: The network.
        arrays: Weights by name; those in the names used here keep them.

    Raises:
        ValueError: If the weights are of a network that only has the same name.
    """
    if naming_of(arrays) is NATIVE and not any("/" in name for name in arrays):
        return arrays
    return architecture.reference_names(arrays)


def _fits(architecture: Architecture, arrays: Arrays) -> bool:
    try:
        shapes = pytorch_shapes(renamed(architecture, arrays))
        return (
            shapes.keys() >= set(architecture.marks) and _shapes_of(architecture, shapes) == shapes
        )
    except Exception:  # sizes that no such network has, whatever it says of them
        return False


def _shapes_of(architecture: Architecture, shapes: Shapes) -> Shapes:
    """Names and shapes, as in PyTorch, of the network in the sizes of some weights."""
    module = nnx.eval_shape(lambda: architecture.from_shapes(shapes))
    leaves = nnx.to_flat_state(nnx.state(module, nnx.Not(nnx.RngState)))
    named = {".".join(map(str, path)): leaf.shape for path, leaf in leaves}
    return {PYTORCH.name(path): PYTORCH.shape(shape, path) for path, shape in named.items()}
