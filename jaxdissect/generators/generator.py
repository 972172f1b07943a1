"""An image generator as experiments take it: a network, and how its images are read and labelled.

Shapes: B batch, Z latent, H W label grid, h w cells of a layer, K labels per pixel, U units.

Any network will do that makes images from latents: an nnx.Module, a linen module, functions in a
row (`StagedNetwork`), or one function of yours that lets layers through a tap (`TappedNetwork`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, PyTree

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.arrays.representation import short_repr
from jaxdissect.arrays.resampling import Shape
from jaxdissect.engine import independence
from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.identity import content
from jaxdissect.engine.labelers import segmented
from jaxdissect.networks.models.proggan import to_pixels as from_signed
from jaxdissect.networks.network import as_network
from jaxdissect.networks.segmenters.segmenter import Segmenter

ToPixels = Callable[[Array], Array]
"""From the images that a generator gives to RGB in [0, 1]."""


def in_range(low: float, high: float) -> ToPixels:
    """Read a generator's images as ranging from `low`, black, to `high`, white, clipped.

    Raises:
        ValueError: If the range is empty.
    """
    if not low < high:
        raise ValueError(f"`low` (={low}) must be below `high` (={high})")
    return _FromRange(low, high)


@dataclass(frozen=True)
class _FromRange:
    """A value, so that equal ranges share compiled programs."""

    low: float
    high: float

    def __call__(self, images: Array) -> Array:
        return jnp.clip((images - self.low) / (self.high - self.low), 0, 1)


def latent_input(batch: Mapping[str, Array]) -> Array:
    """Return ``batch["latent"]``, the input of a generator."""
    return batch["latent"]


class GeneratorParams(NamedTuple):
    """Parameters of a generator, to be given to jitted functions as an argument.

    What a jitted function closes over would become constants of the compiled program.

    Attributes:
        network: The parameters of the network.
        segmenter: Those of the segmenter; () without one.
    """

    network: PyTree
    segmenter: PyTree

    __repr__ = short_repr


class Generator:
    """A network that makes images, and the segmenter that labels them.

    Args:
        model: A Network or an nnx.Module from latents [B, Z] to images [B, height, width, 3].
        latent_size: Z.
        segmenter: Labels the images; None for experiments without concepts, such as realism.
        grid: Height and width of the label maps; (64, 64) is the paper's.
        to_pixels: Makes RGB in [0, 1] of what the network gives: from [-1, 1] by default,
            `in_range` for other ranges.

    Attributes:
        network: The network.
        latent_size: Z.
        segmenter: The segmenter, or None.
        grid: Height and width of the label maps, H and W.
        to_pixels: As given.
        params: Parameters of network and segmenter.
        image_size: Height and width of the images.

    Raises:
        ValueError: If the network gives no images, or `grid` or `latent_size` is not positive.
        TypeError: If `model` is neither a Network nor an nnx.Module.
    """

    def __init__(
        self,
        model: Any,
        latent_size: int,
        *,
        segmenter: Segmenter | None = None,
        grid: Shape = (64, 64),
        to_pixels: ToPixels = from_signed,
    ) -> None:
        self.grid: Shape = (int(grid[0]), int(grid[1]))  # hashable, also where a list was given
        if min(self.grid) < 1:
            raise ValueError(f"`grid` (={self.grid}) must have a positive height and width")
        if latent_size < 1:
            raise ValueError(f"`latent_size` (={latent_size}) must be at least 1")
        self.network, self.latent_size = as_network(model), latent_size
        self.segmenter, self.to_pixels = segmenter, to_pixels
        self.params = GeneratorParams(
            self.network.params, () if segmenter is None else segmenter.params
        )
        self._map_shapes: dict[str, tuple[int, int, int]] = {}
        images, _ = self._shapes(())
        if len(images) != 4 or images[3] != 3:
            raise ValueError(f"`model` must give images [B, height, width, 3], it gives {images}")
        self.image_size: Shape = (images[1], images[2])

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts of the segmenter.

        Raises:
            ValueError: If there is no segmenter.
        """
        return self.checked_segmenter().vocabulary

    def checked_segmenter(self) -> Segmenter:
        """Return the segmenter.

        Raises:
            ValueError: If there is none.
        """
        if self.segmenter is None:
            raise ValueError("`generator` has no segmenter, which finds concepts in its images")
        return self.segmenter

    def label(self, params: GeneratorParams, images: Array) -> Int32[Array, "B H W K"]:
        """Label images, RGB in [0, 1], on the grid; a pure function.

        Raises:
            ValueError: If there is no segmenter.
        """
        with jax.named_scope("segment"):
            labeler = segmented(self.checked_segmenter())
            return labeler.label(params.segmenter, {"image": images}, self.grid)

    def map_shape(self, layer: str) -> tuple[int, int, int]:
        """Find height, width and number of units of a layer without running the network.

        Raises:
            ValueError: If the layer does not exist, or does not give maps [B, h, w, U].
        """
        if layer not in self._map_shapes:
            _, maps = self._shapes((layer,))
            if len(maps[layer]) != 4:
                raise ValueError(
                    f"`layer` (={layer!r}) must give maps [B, h, w, U], it gives {maps[layer]}"
                )
            _, height, width, num_units = maps[layer]
            self._map_shapes[layer] = height, width, num_units
        return self._map_shapes[layer]

    def check_latents(self, source: Source) -> None:
        """Refuse sources without examples, or without latents of this generator.

        Raises:
            ValueError: If there are no examples, the first has no ``latent`` [Z], or the image made
                of it depends on the other examples of a batch.
        """
        if len(source) < 1:
            raise ValueError("`source` has no examples")
        example = read_block(source, 0, 1)
        if "latent" not in example:
            raise ValueError(
                "`source` must give examples with a 'latent', the generator's input [Z]; they "
                f"have: {', '.join(sorted(example))}"
            )
        shape = example["latent"].shape[1:]
        if shape != (self.latent_size,):
            raise ValueError(
                f"`source` must give examples with a 'latent' of shape ({self.latent_size},), the "
                f"input of the generator, not {shape}"
            )
        independence.check_outputs(self.network, latent_input, example)

    def settings(self) -> dict[str, Any]:
        """Name what the generator computes, for `settings` of `fold_resumably`."""
        return {
            "generator (weights)": content(self.params.network),
            "segmenter (weights)": content(self.params.segmenter),
            "vocabulary": None if self.segmenter is None else content(self.segmenter.vocabulary),
            "grid": list(self.grid),
        }

    def _shapes(
        self, layers: tuple[str, ...]
    ) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
        latents = jax.ShapeDtypeStruct((1, self.latent_size), jnp.float32)
        images, maps = jax.eval_shape(
            lambda params, latents: self.network.apply(params, latents, layers=layers),
            self.params.network,
            latents,
        )
        if not isinstance(images, jax.ShapeDtypeStruct):
            raise ValueError(f"`model` must give images, it gives a {type(images).__name__}")
        return images.shape, {name: struct.shape for name, struct in maps.items()}
