"""One unit of a dissected network: what it responds to, and where in which images.

Shapes: H W pixels of an image, k images, h w pixels of a patch.
"""

import operator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import numpy as np
from jaxtyping import Bool, Float32, Int64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.dissection import notebook_view
from jaxdissect.dissection.result import Dissection, LayerDissection
from jaxdissect.dissection.subject import Subject
from jaxdissect.networks.receptive_extent import ReceptiveExtent
from jaxdissect.plots.unit_strips import unit_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxdissect.dissection.unit_images import UnitImages


_SHOWN_CONCEPTS = 5  # in a figure


class ConceptScore(NamedTuple):
    """How well a unit matches a concept.

    Attributes:
        concept, category: The concept.
        iou: IoU of the two, in [0, 1].
    """

    concept: str
    category: str
    iou: float


class Patch(NamedTuple):
    """What a unit sees where it is most active: the receptive field of a cell, cut out of an image.

    Attributes:
        example: Position of the image in the source.
        peak: The unit's highest activation in it.
        box: Left, top, right, bottom in pixels of the image, right and bottom exclusive.
        image: RGB in [0, 1].
    """

    example: int
    peak: float
    box: tuple[int, int, int, int]
    image: Float32[np.ndarray, "h w 3"]

    __repr__ = short_repr


@dataclass(frozen=True, eq=False)
class Unit:
    """One unit of a layer, as a dissection found it: `Dissection.unit` gives one.

    `top_images`, `patches`, `mask` and `plot` run the network, on the images that they show
    alone. The dissection knows it after `dissect`, and after `Dissection.with_network` where it was
    loaded.

    Attributes:
        dissection: The result.
        layer: Name of the layer.
        unit: Number of the unit in it, from 0.

    Raises:
        KeyError: If the layer was not dissected.
        ValueError: If the layer has no unit of that number.
    """

    dissection: Dissection
    layer: str
    unit: int

    def __repr__(self) -> str:
        return f"Unit({notebook_view.unit_line(self)})"

    def _repr_html_(self) -> str:
        return notebook_view.unit_html(self)

    def __post_init__(self) -> None:
        last = self._found.num_units - 1
        unit = operator.index(self.unit)
        if not 0 <= unit <= last:
            raise ValueError(f"`unit` (={unit}) of layer {self.layer!r} must be from 0 to {last}")
        object.__setattr__(self, "unit", unit)

    @property
    def _found(self) -> LayerDissection:
        return self.dissection[self.layer]

    @property
    def threshold(self) -> float:
        """The unit is active where it is strictly greater than this."""
        return float(self._found.thresholds[self.unit])

    @property
    def active_fraction(self) -> float:
        """Fraction of all pixels on which the unit is active."""
        return float(self._found.active_fraction[self.unit])

    @property
    def concept(self) -> str:
        """Its best concept; "-" if it has none."""
        return self._found.vocabulary.names[self._found.best_concept[self.unit]]

    @property
    def category(self) -> str:
        """The category of its best concept."""
        return self._found.vocabulary.categories[self._found.best_concept[self.unit]]

    @property
    def iou(self) -> float:
        """IoU with its best concept."""
        return float(self._found.best_iou[self.unit])

    @property
    def detects(self) -> bool:
        """Whether that is enough to call it a detector."""
        found = self._found
        return bool(found.best_concept[self.unit] > 0 and self.iou > found.min_iou)

    @cached_property
    def scores(self) -> tuple[ConceptScore, ...]:
        """IoU with every concept of the vocabulary, best first, equals by id."""
        found = self._found
        iou = found.iou[1:, self.unit]
        order = 1 + np.argsort(-np.nan_to_num(iou), kind="stable")
        names, categories = found.vocabulary.names, found.vocabulary.categories
        return tuple(
            ConceptScore(names[concept], categories[concept], float(iou[concept - 1]))
            for concept in order
        )

    @property
    def top_examples(self) -> Int64[np.ndarray, "k"]:
        """Positions of the images with its highest peaks, best first."""
        return self._found.top_examples[self.unit]

    @property
    def top_values(self) -> Float32[np.ndarray, "k"]:
        """These peaks."""
        return self._found.top_values[self.unit]

    def top_images(self, *, num_images: int = 8) -> "UnitImages":
        """Find the images with its highest peaks, and where in them it is active.

        Args:
            num_images: How many, fewer if the dissection found fewer.

        Raises:
            ValueError: If the dissection does not know its network, activations are not those of
                the dissection, or examples have no image.
        """
        return self._shown(num_images=num_images)

    def patches(self, *, num_patches: int = 8) -> tuple[Patch, ...]:
        """Cut out of its top images what the cell with the peak sees: its receptive field.

        Args:
            num_patches: How many, fewer if the dissection found fewer top images.

        Returns:
            Best first. Fields are cut off at the border of the image; a patch is the whole image
            where the field covers it.

        Raises:
            ValueError: If the dissection does not know its network, activations are not those of
                the dissection, or the layer has no receptive field in images: the network makes
                them, or cannot be differentiated.
        """
        subject = self._subject()
        extent = subject.receptive_extent(self.layer)
        if extent is None:
            raise ValueError(
                f"layer {self.layer!r} has no receptive field in images, which the network makes, "
                "or does not depend on by a gradient; `top_images()` shows them whole"
            )
        return self._patches(self.top_images(num_images=num_patches), extent)

    def _patches(self, found: "UnitImages", extent: ReceptiveExtent) -> tuple[Patch, ...]:
        assert found.cells is not None
        boxes = extent.boxes(found.cells)
        return tuple(
            Patch(
                int(self.top_examples[place]),
                float(self.top_values[place]),
                (int(left), int(top), int(right), int(bottom)),
                found.images[place, top:bottom, left:right],
            )
            for place, (left, top, right, bottom) in enumerate(boxes)
        )

    def mask(self, example: SupportsIndex) -> Bool[np.ndarray, "H W"]:
        """Find the pixels of an image on which the unit is active.

        Args:
            example: Position of the image in the source; any, not only the top ones.

        Returns:
            For each pixel of the image, whether a_u > t_u after resampling.

        Raises:
            ValueError: If the dissection does not know its network, there is no such example, or it
                has no image.
        """
        place, number = operator.index(example), len(self._subject().source)
        if not 0 <= place < number:
            raise ValueError(
                f"`example` (={place}) must be from 0 to {number - 1}, the positions of the source"
            )
        return self._shown(examples={self.layer: np.array([[place]])}).active[0]

    def plot(self, *, num_images: int = 8) -> "Figure":
        """Draw its top images, lit where it is active, its patches, and its best concepts.

        Args:
            num_images: Images, and patches below them; there are none of a network that makes
                images.

        Returns:
            A figure, which a notebook shows; `jaxdissect.plots.save_figure` writes it.

        Raises:
            ValueError: If the dissection does not know its network, or activations are not those of
                the dissection.
        """
        found = self.top_images(num_images=num_images)
        extent = self._subject().receptive_extent(self.layer)
        patches = () if extent is None else self._patches(found, extent)
        return unit_figure(
            found,
            patches=[np.round(patch.image * 255).astype(np.uint8) for patch in patches],
            concepts=[score for score in self.scores[:_SHOWN_CONCEPTS] if score.iou > 0],
            min_iou=self._found.min_iou,
        )

    def _subject(self) -> Subject:
        subject = self.dissection.subject
        if subject is None:
            raise ValueError(
                f"unit {self.unit} of layer {self.layer!r} cannot be shown in images: the "
                "dissection does not know its network and images, which are not saved; "
                "`with_network(network, source)` of the dissection gives it both"
            )
        return subject

    def _shown(self, **options: Any) -> "UnitImages":
        from jaxdissect.dissection.unit_images import top_images

        subject = self._subject()
        found = top_images(
            self.dissection.only(self.layer),
            subject.network,
            subject.source,
            inputs=subject.inputs,
            output_image=subject.output_image,
            image_key=subject.image_key,
            units={self.layer: [self.unit]},
            **options,
        )
        return found[self.layer][0]
