"""Options that name a segmenter, and what finds it.

A name is `scenes`, the segmenter of the built-in scenes, a published one, or the place of a
function without arguments, `FILE.py:FUNCTION` or `package.module:FUNCTION`. The function returns a
`Segmenter`; or, with --segmenter-concepts, a network that scores classes at every pixel: whatever
`as_network` takes, or a function from images to scores.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from tyro.conf import arg

from jaxdissect.commands.options.model import BUILT_IN
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.size import OptionalSize
from jaxdissect.commands.options.user_code import find_function, user_code
from jaxdissect.networks.network import Network, as_network
from jaxdissect.networks.segmenters.channel_concepts import read_channel_concepts
from jaxdissect.networks.segmenters.file_segmenters import FILE_SEGMENTERS
from jaxdissect.networks.segmenters.pretrained import pretrained_segmenter
from jaxdissect.networks.segmenters.scored_segmenter import segmenter_of
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.scenes.shipped import load_segmenter

SEGMENTERS = (BUILT_IN, "netpqc", *FILE_SEGMENTERS)

SEGMENTER_OPTIONS = ("segmenter", "segmenter_weights", "segmenter_concepts", "segmenter_size")
"""Options of `SegmenterOptions`, which go with the first of them."""

_GRID = (8, 8)  # of a first look at labels


@dataclass(frozen=True, kw_only=True)
class SegmenterOptions:
    """Options that name a segmenter of images."""

    segmenter: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """What labels the images: netpqc, or net with fewer letters (p parts of all objects, q halves
    of objects, c colors), downloaded once; deeplab_mobilenet_ade20k with --segmenter-weights;
    scenes; or a function without arguments that returns a `Segmenter` or, with
    --segmenter-concepts, a network that scores classes at every pixel of images in [0, 1], as
    FILE.py:FUNCTION or package.module:FUNCTION."""
    segmenter_weights: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """The file of weights of a segmenter that is not downloaded."""
    segmenter_concepts: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """What the channels of a network of yours stand for: .csv (id,name,category) or .txt, a line
    for each channel in their order; a first or last line `background` for one that stands for
    nothing."""
    segmenter_size: Annotated[
        OptionalSize, arg(metavar="H [W]", help_behavior_hint="(default: the segmenter's own)")
    ] = None
    """Height and width at which the segmenter sees the images."""

    def build_segmenter(self, image: np.ndarray, *, default: str | None = None) -> Segmenter:
        """Build the segmenter, and let one of the user's label an image.

        Args:
            image: An image [h, w, 3], RGB in [0, 1], of those that it is to label.
            default: Name of the segmenter to take if the user names none.

        Raises:
            OSError: If there is no such file, or published weights cannot be downloaded.
            ValueError: If nothing has the name, options do not go together, or the function returns
                something else, or what labels images with other ids than those of its concepts.
        """
        name = default if self.segmenter is None else self.segmenter
        if name is None:
            raise ValueError(
                f"`segmenter` is needed: one of {', '.join(SEGMENTERS)}, or FILE.py:FUNCTION"
            )
        check_at_least(self, segmenter_size=1)
        sizes = None if self.segmenter_size is None else [self.segmenter_size]
        if ":" in name:
            return self._segmenter_of_user(name, image)
        if self.segmenter_concepts is not None:
            raise ValueError(
                f"`segmenter_concepts` goes with a function of yours as `segmenter`, not with "
                f"{name!r}, which knows its own"
            )
        if name in FILE_SEGMENTERS and self.segmenter_weights is None:
            raise ValueError(f"`segmenter` (={name!r}) needs its file as `segmenter_weights`")
        if self.segmenter_weights is not None and name not in FILE_SEGMENTERS:
            raise ValueError(
                f"`segmenter_weights` go with {', '.join(FILE_SEGMENTERS)}, not with `segmenter` "
                f"{name!r}"
            )
        if name != BUILT_IN:
            return pretrained_segmenter(name, weights=self.segmenter_weights, sizes=sizes)
        if sizes is not None:
            raise ValueError(f"`segmenter_size` does not go with `segmenter` {BUILT_IN!r}")
        return load_segmenter()

    def check_no_segmenter(self) -> None:
        """Refuse options about a segmenter where none is named.

        Raises:
            ValueError: If there are some.
        """
        if given := [name for name in SEGMENTER_OPTIONS[1:] if getattr(self, name) is not None]:
            raise ValueError(f"`{given[0]}` goes with `segmenter`, and there is none")

    def _segmenter_of_user(self, name: str, image: np.ndarray) -> Segmenter:
        """Let a function of the user's build the segmenter."""
        if self.segmenter_weights is not None:
            raise ValueError(
                f"`segmenter_weights` go with {', '.join(FILE_SEGMENTERS)}; the function of "
                f"`segmenter` (={name!r}) reads its own"
            )
        build, home = find_function(name, "segmenter", SEGMENTERS)
        with user_code(f"`segmenter` (={name!r}) cannot be built by its function", home):
            made: Any = build()
        if isinstance(made, Segmenter):
            for option in ("segmenter_concepts", "segmenter_size"):
                if getattr(self, option) is not None:
                    raise ValueError(
                        f"`{option}` goes with a function that returns a network, and that of "
                        f"`segmenter` (={name!r}) returns a Segmenter"
                    )
            segmenter = made
        else:
            segmenter = self._segmenter_of_network(name, made)
        with user_code(f"`segmenter` (={name!r}) fails on images {list(image.shape)}", home):
            segment = jax.jit(segmenter.segment, static_argnums=2)
            labels = np.asarray(segment(segmenter.params, jnp.asarray(image)[None], _GRID))
        _check_labels(labels, segmenter, name)
        return segmenter

    def _segmenter_of_network(self, name: str, made: Any) -> Segmenter:
        """Make a segmenter of a network and the concepts of the user's file."""
        found = f"`segmenter` (={name!r}) returns {type(made).__name__}"
        if not isinstance(made, nnx.Module | Network) and not callable(made):
            raise ValueError(
                f"{found}, and must return a Segmenter, not {type(made).__name__}; or a network "
                "that scores classes at every pixel"
            )
        if self.segmenter_concepts is None:
            raise ValueError(
                f"{found}, no Segmenter; if it scores classes at every pixel, say what its "
                "channels stand for: `segmenter_concepts`"
            )
        options: dict[str, Any] = {"size": self.segmenter_size}
        if isinstance(made, nnx.Module | Network):
            network: Any = as_network(made)
        else:
            network, options["params"] = _of_images(made), ()
        return segmenter_of(network, read_channel_concepts(self.segmenter_concepts), **options)


def _of_images(function: Any) -> Any:
    """A function of images as one of parameters, of which it has none, and images."""
    return lambda params, images: function(images)


def _check_labels(labels: np.ndarray, segmenter: Segmenter, name: str) -> None:
    """Refuse labels of a first image that are no ids of the segmenter's concepts."""
    found = f"`segmenter` (={name!r}) labels with {labels.dtype}{list(labels.shape)}"
    if labels.ndim != 4 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{found}, and must with integers [B, H, W, K]")
    most = len(segmenter.vocabulary) - 1
    if labels.min() == -1 and labels.max() <= most:
        raise ValueError(f"`segmenter` (={name!r}) gives scores that are not numbers (NaN)")
    if labels.min() < 0 or labels.max() > most:
        raise ValueError(
            f"`segmenter` (={name!r}) gives labels from {labels.min()} to {labels.max()}, and "
            f"those of its concepts are 0 (none) to {most}"
        )
