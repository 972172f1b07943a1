"""What can be drawn: the attributes of results that charts and strips read.

Results stand above drawing, so that a unit of a result can draw itself. Whatever has these
attributes can be drawn, `jaxdissect.dissection.Dissection` and `UnitImages` among others.

Shapes: D detectors, H W pixels of the images, k images.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64

from jaxdissect.arrays.concepts import Vocabulary


@runtime_checkable
class DrawableLayer(Protocol):
    """A layer of which units detect concepts."""

    @property
    def name(self) -> str:
        """The layer."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts."""
        ...

    @property
    def min_iou(self) -> float:
        """A unit is called a detector of its best concept above this IoU."""
        ...

    @property
    def num_units(self) -> int:
        """All units, detectors or not."""
        ...

    def detectors(self) -> Int64[np.ndarray, "D"]:
        """Find the units that detect a concept."""
        ...

    def concept_counts(self) -> dict[int, int]:
        """Count the detectors of each detected concept, in the order in which they are drawn."""
        ...

    def category_counts(self) -> Mapping[str, tuple[int, int]]:
        """Count detectors, and distinct detected concepts, of every category."""
        ...


@runtime_checkable
class DrawableDissection(Protocol):
    """Layers of which units detect concepts."""

    @property
    def layers(self) -> Mapping[str, DrawableLayer]:
        """Results by layer, in the order in which they are drawn."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts."""
        ...


@runtime_checkable
class DrawableUnit(Protocol):
    """A unit and images to show of it."""

    @property
    def layer(self) -> str:
        """Its layer; empty where that is not known."""
        ...

    @property
    def unit(self) -> int:
        """The unit."""
        ...

    @property
    def concept(self) -> str:
        """Its best concept."""
        ...

    @property
    def category(self) -> str:
        """Category of the concept."""
        ...

    @property
    def iou(self) -> float:
        """IoU of the two."""
        ...

    @property
    def detects(self) -> bool:
        """Whether that is enough to call it a detector."""
        ...

    @property
    def images(self) -> Float32[np.ndarray, "k H W 3"]:
        """RGB in [0, 1]."""
        ...

    @property
    def active(self) -> Bool[np.ndarray, "k H W"]:
        """The pixels on which the unit is active."""
        ...
