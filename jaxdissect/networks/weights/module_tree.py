"""Every array of an nnx module, with the layers that hold it and the paths that lead to it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from flax import nnx


class Place(NamedTuple):
    """A place in a module that holds an array.

    Attributes:
        keys: The path to it: attributes, and places in lists, as texts.
        holders: What holds each of them: the module itself first, the layer of the array last.
        value: The array or variable.
    """

    keys: tuple[str, ...]
    holders: tuple[Any, ...]
    value: Any

    @property
    def path(self) -> str:
        """The dotted path."""
        return ".".join(self.keys)

    @property
    def layer(self) -> str:
        """The dotted path of the layer that holds it."""
        return ".".join(self.keys[:-1])

    @property
    def is_optional(self) -> bool:
        """Whether it has a value already, and is neither a parameter nor a statistic."""
        if isinstance(self.value, nnx.Param | nnx.BatchStat):
            return False
        is_variable = isinstance(self.value, nnx.Variable)
        value = self.value.get_value() if is_variable else self.value
        return not isinstance(value, jax.ShapeDtypeStruct)


def places_of(
    node: Any, keys: tuple[str, ...] = (), holders: tuple[Any, ...] = ()
) -> Iterator[Place]:
    """Find every array below a module, in the order of definition, by every path that leads to it.

    Args:
        node: A module, or a list, tuple or dictionary.
        keys: The path to it.
        holders: What holds each key.
    """
    if any(node is holder for holder in holders):
        return
    for key, child in children_of(node):
        path, chain = (*keys, key), (*holders, node)
        if isinstance(child, nnx.Variable):
            if not isinstance(child, nnx.RngState):
                yield Place(path, chain, child)
        elif isinstance(child, jax.Array | jax.ShapeDtypeStruct):
            yield Place(path, chain, child)
        else:
            yield from places_of(child, path, chain)


def children_of(node: Any) -> Iterator[tuple[str, Any]]:
    """Find what a module, list, tuple or dictionary holds."""
    if isinstance(node, nnx.Module):
        pairs: Any = [(key, child) for key, child in vars(node).items() if _is_public(key)]
    elif isinstance(node, dict):
        pairs = node.items()
    else:
        pairs = enumerate(node) if isinstance(node, list | tuple) else ()
    for key, child in pairs:
        yield str(key), child


def _is_public(key: str) -> bool:
    # What nnx itself keeps in the dictionary of a module.
    return not key.startswith("_pytree__")
