"""How long others take for the same work: comparisons with libraries that people use for it.

Each is a study of its own, whose library may be absent. Contenders take turns in one process on the
same data, their answers are compared, and a table says what is and what is not the same.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.others import (
    class_metrics,
    foolbox_attack,
    label_components,
    map_resampling,
    pytorch,
    three_passes,
    torchvision_forward,
    unit_quantiles,
    unit_removals,
)
from jaxdissect.bench.others.match import Match
from jaxdissect.bench.others.tables import played
from jaxdissect.bench.study import Found, Study


def _measured(
    prepare: Callable[[Any], Match], *, with_pytorch: bool = True
) -> Callable[[Any, Roofs], Found]:
    """Make a study's `measure` of what prepares a comparison."""

    def measure(sizes: Any, roofs: Roofs) -> Found:
        del roofs  # ratios need none
        precision = getattr(sizes, "precision", "default")
        # Importing PyTorch takes seconds.
        with pytorch.same_terms(precision) if with_pytorch else nullcontext():
            return played(prepare(sizes), turns=sizes.turns, seconds=sizes.seconds)

    return measure


AGAINST_TORCHVISION = Study(
    name="against-torchvision",
    summary="Forward passes of VGG-16, ResNet-50 and ViT-B against torchvision, the same weights.",
    sizes=torchvision_forward.Sizes,
    measure=_measured(torchvision_forward.forward_match),
)

AGAINST_CAPTUM = Study(
    name="against-captum",
    summary="Removal of each unit of VGG-16's last convolution against captum, and by hand.",
    sizes=unit_removals.Sizes,
    measure=_measured(unit_removals.removals_match),
)

AGAINST_PYTORCH = Study(
    name="against-pytorch",
    summary="A whole dissection against the usual three passes, restated in plain PyTorch.",
    sizes=three_passes.Sizes,
    measure=_measured(three_passes.dissection_match),
)

AGAINST_FOOLBOX = Study(
    name="against-foolbox",
    summary="Carlini and Wagner's attack on the classifier of the scenes against foolbox 3.",
    sizes=foolbox_attack.Sizes,
    measure=_measured(foolbox_attack.attack_match),
)

AGAINST_COMPONENTS = Study(
    name="against-components",
    summary="Connected components of label maps against SciPy and scikit-image.",
    sizes=label_components.Sizes,
    measure=_measured(label_components.components_match, with_pytorch=False),
)

AGAINST_RESAMPLING = Study(
    name="against-resampling",
    summary="Resampling of activation maps against SciPy, scikit-image and PyTorch.",
    sizes=map_resampling.Sizes,
    measure=_measured(map_resampling.resampling_match),
)

AGAINST_QUANTILES = Study(
    name="against-quantiles",
    summary="Exact quantiles of many units against NumPy, SciPy and PyTorch.",
    sizes=unit_quantiles.Sizes,
    measure=_measured(unit_quantiles.quantiles_match),
)

AGAINST_ACCURACY = Study(
    name="against-accuracy",
    summary="ROC AUC and balanced accuracy of classes against scikit-learn.",
    sizes=class_metrics.ClassSizes,
    measure=_measured(class_metrics.classes_match, with_pytorch=False),
)

AGAINST_OVERLAP = Study(
    name="against-overlap",
    summary="IoU of units with concepts against scikit-learn.",
    sizes=class_metrics.OverlapSizes,
    measure=_measured(class_metrics.overlap_match, with_pytorch=False),
)

AGAINST = (
    AGAINST_PYTORCH,
    AGAINST_TORCHVISION,
    AGAINST_CAPTUM,
    AGAINST_FOOLBOX,
    AGAINST_RESAMPLING,
    AGAINST_COMPONENTS,
    AGAINST_QUANTILES,
    AGAINST_ACCURACY,
    AGAINST_OVERLAP,
)
"""All comparisons with others."""
