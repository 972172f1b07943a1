"""Read the maps of layers, always by one and the same compiled program.

Shapes: B batch, h w cells of a layer, U units.

Two compiled programs that hold the same network may round differently, in the last bit. A threshold
found from the maps of one must not be compared with those of the other: a unit whose activations
are all alike would be active everywhere, or nowhere. So every pass over the data reads its maps
here, and whatever is counted in them is counted by other programs, which take maps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine import independence
from jaxdissect.engine.batching import Batch
from jaxdissect.engine.images import float_images
from jaxdissect.networks.adapters.recorder import as_layers
from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.network import (
    Network,
    check_ranks,
    image_size_of,
    layer_shapes,
    layers_as_maps,
)

Inputs = Callable[[Mapping[str, Array]], Array]
"""Makes the network's input of a batch, for example by normalising its images.

Pure, like all functions that are traced: equal functions share a compiled program, so that what
one reads besides the batch must not change between calls.
"""

OutputImage = Callable[[Array], Array]
"""Makes RGB in [0, 1] of what a generator gives."""

Function = TypeVar("Function", bound=Callable[..., Any])


def image_input(batch: Mapping[str, Array]) -> Array:
    """Return ``batch["image"]`` as it is, the network's input.

    Raises:
        ValueError: If it is missing, not floats, or has its channels first.
    """
    return float_images(batch, "image")


def as_static(function: Function) -> Function:
    """Return a function that may be a static argument of jitted functions.

    Args:
        function: A function, or an object of the user's that is called like one.

    Returns:
        The same; where it has no hash, such as a dataclass that is not frozen, a stand-in that is
        equal to itself alone, so that what it computes is compiled anew for every call.
    """
    try:
        hash(function)
    except TypeError:
        stand_in: Any = _Unhashable(function)
        return stand_in
    return function


class _Unhashable:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._function(*arguments, **keywords)


class LayerMaps(NamedTuple):
    """What a network gives for a batch.

    Attributes:
        maps: Activations [B, h, w, U] by layer, as the network computes them.
        image: RGB in [0, 1], where the network makes images.
    """

    maps: dict[str, Float[Array, "B h w U"]]
    image: Float[Array, "B H W 3"] | None

    __repr__ = short_repr


@dataclass(frozen=True)
class LayerReader:
    """Some layers of a network, and how it is run; built by `LayerReader.of`.

    Readers are values: equal ones share the compiled program, also between calls of experiments.

    Attributes:
        structure: The network, without its parameters.
        layers: Names of layers.
        inputs: Makes the network's input of a batch.
        output_image: For a network that makes images: RGB in [0, 1] of what it gives.
    """

    structure: Structure
    layers: tuple[str, ...]
    inputs: Inputs
    output_image: OutputImage | None

    @classmethod
    def of(
        cls,
        network: Network,
        layers: str | Sequence[str],
        *,
        inputs: Inputs = image_input,
        output_image: OutputImage | None = None,
    ) -> "LayerReader":
        """Prepare to read layers of a network; for the arguments see the attributes."""
        image = None if output_image is None else as_static(output_image)
        return cls(Structure(network), as_layers(layers), as_static(inputs), image)

    def read(self, params: PyTree, batch: Mapping[str, Any]) -> LayerMaps:
        """Run the network on a batch, as far as the layers; all of it where it makes images.

        Raises:
            ValueError: If what it gives for an example depends on the others of the batch.
        """
        own = dict(batch)
        found = LayerMaps(*_read(self, params, own))
        if any(isinstance(array, Tracer) for array in own.values()):
            return found  # traced to be known again, not run
        key = self, independence.shapes_of(own)
        independence.once(key, lambda: self._check_independence(params, own, found))
        return found

    def traced(self, params: PyTree, batch: Mapping[str, Any]) -> LayerMaps:
        """Do what `read` does in a program that is being traced, without its check."""
        return LayerMaps(*_maps(self, params, dict(batch)))

    def _check_independence(self, params: PyTree, batch: dict[str, Any], found: LayerMaps) -> None:
        again = LayerMaps(*_read(self, params, independence.among_others(batch)))
        independence.check_same(
            _named(found), _named(again), lambda: _read.trace(self, params, batch)
        )

    def shapes(self, params: PyTree, batch: Mapping[str, Any]) -> LayerMaps:
        """Find the shapes of what `read` gives, without running the network."""
        return LayerMaps(*jax.eval_shape(partial(_maps, self), params, dict(batch)))


def check_inputs(network: Network, reader: LayerReader, batch: Mapping[str, Any]) -> None:
    """Check that layers exist, and that the network is given floats.

    Raises:
        ValueError: If inputs are integers, a layer is unknown, or does not give [B, h, w, U] or
            [B, T, U].
    """
    # Two examples, so that a layer without an axis of examples is found.
    two = {name: np.concatenate([array[:1], array[:1]]) for name, array in batch.items()}
    struct = jax.eval_shape(reader.inputs, two)
    if not jnp.issubdtype(struct.dtype, jnp.floating):
        raise ValueError(
            f"`source` gives the network {struct.dtype} inputs; give images as floats in "
            "[0, 1], or pass `inputs`, which converts a batch"
        )
    if reader.output_image is None:
        layer_shapes(network, struct, reader.layers)
    else:
        check_ranks(network, struct, reader.layers)


def _named(found: LayerMaps) -> dict[str, Array]:
    maps = {f"layer {name!r}": maps for name, maps in found.maps.items()}
    return maps if found.image is None else maps | {"the image": found.image}


@partial(jax.jit, static_argnums=0)
def _read(
    reader: LayerReader, params: PyTree, batch: dict[str, Any]
) -> tuple[dict[str, Array], Array | None]:
    return _maps(reader, params, batch)


def _maps(
    reader: LayerReader, params: PyTree, batch: dict[str, Any]
) -> tuple[dict[str, Array], Array | None]:
    with jax.named_scope("network"):
        inputs = reader.inputs(batch)
        if reader.output_image is None:
            image = None
            found = reader.structure.activations(params, inputs, layers=reader.layers)
            size = image_size(inputs, batch)
        else:
            output, found = reader.structure.apply(params, inputs, layers=reader.layers)
            image = reader.output_image(output)
            size = (image.shape[1], image.shape[2])
    return layers_as_maps(reader.structure, found, size), image


def image_size(inputs: Any, batch: Mapping[str, Any]) -> tuple[int, int] | None:
    """Find height and width of the images that a network sees, of its inputs or else of a batch."""
    return image_size_of(inputs) or image_size_of(batch.get("image"))


def all_finite(maps: Array) -> Array:
    """Find out of every example [B, ..., U] whether all its activations are finite."""
    # Not by minimum and maximum: on CPU they may pass over NaN. Summing unit by unit first is
    # faster than looking at all values of an example in one go.
    places = tuple(range(1, maps.ndim - 1))
    wrong = (~jnp.isfinite(maps)).sum(axis=places, dtype=jnp.int32)
    return (wrong == 0).all(axis=1)


def check_finite(finite: Mapping[str, Array], batch: Batch) -> None:
    """Refuse activations that `all_finite` found not to be finite, in examples that count.

    Raises:
        ValueError: If there are any; the message names layer, batch and examples.
    """
    for name, flags in finite.items():
        wrong = batch["example"][~np.asarray(flags) & batch["weight"]]
        if len(wrong):
            number = int(batch["example"][0]) // len(batch["example"])
            raise ValueError(
                f"layer {name!r} has NaN or infinite activations in batch {number}, "
                f"example {', '.join(map(str, wrong[:5]))}"
            )
