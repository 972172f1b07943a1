"""Classes that are out of range, and scores that are not finite, are refused by every pass."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.classifiers import (
    ablation_sweep,
    class_checks,
    correlate_with_classes,
    estimated_damage,
    peak_activations,
)
from jaxdissect.classifiers.replacements import mean_activations
from jaxdissect.engine.batching import Stored
from jaxdissect.networks.ablation_masks import single_unit_masks

CLASSES, UNITS = 3, 2


class Quotient(nnx.Module):
    """Divides by the mean of its last unit, which is 0 without this unit, and in a dark image."""

    def __init__(self):
        self.layer = nnx.Conv(1, UNITS, (1, 1), rngs=nnx.Rngs(0))
        self.layer.kernel[...] = jnp.ones((1, 1, 1, UNITS))

    def __call__(self, images):
        means = self.layer(images).mean((1, 2))
        return jnp.arange(1.0, 1 + CLASSES)[None] * means[:, :1] / means[:, 1:]


def pictures(labels=(0, 1, 2, 1), *, dark=None, hot=None):
    images = np.ones((len(labels), 2, 2, 1), np.float32)
    if dark is not None:
        images[dark] = 0
    if hot is not None:
        images[hot, 1, 1] = np.nan
    return Stored({"image": images, "label": np.asarray(labels)})


def sweep(source, keep=None, **options):
    keep = np.ones((1, UNITS), bool) if keep is None else keep
    return ablation_sweep(Quotient(), source, "layer", keep, batch_size=4, **options)


def estimate(source, **options):
    return estimated_damage(Quotient(), source, "layer", CLASSES, batch_size=4, **options)


def correlate(source, **options):
    return correlate_with_classes(Quotient(), source, "layer", batch_size=4, **options)


def find_peaks(source, **options):
    return peak_activations(Quotient(), source, ["layer"], batch_size=4, **options)


@pytest.mark.parametrize("find", [sweep, estimate, correlate])
def test_classes_that_are_not_scored_are_refused(find):
    for wrong in (CLASSES, -1, 99):
        with pytest.raises(ValueError, match=rf"'label' of example 2 is {wrong}, .* 0 to 2$"):
            find(pictures((0, 1, wrong, 1)))


@pytest.mark.parametrize("find", [sweep, estimate, correlate, find_peaks])
def test_a_class_must_be_one_integer(find):
    for labels in (np.full(4, 0.7, np.float32), np.ones((4, 2), int)):
        with pytest.raises(ValueError, match="must be one integer, its class"):
            find(pictures(labels))
    with pytest.raises(ValueError, match="have: image, label"):
        find(pictures(), label_key="scene")
    with pytest.raises(ValueError, match="no examples"):
        find([])


def test_peaks_count_classes_from_0():
    with pytest.raises(ValueError, match="'label' of example 3 is -1, .* at least 0$"):
        find_peaks(pictures((0, 1, 2, -1)))
    assert find_peaks(pictures(np.array([True, False])))["layer"].labels.tolist() == [1, 0]


def test_classes_of_estimates_are_those_that_are_scored():
    with pytest.raises(ValueError, match=r"`num_classes` \(=8\) must be .* at most 3"):
        estimated_damage(Quotient(), pictures(), "layer", 8)


@pytest.mark.parametrize("find", [sweep, estimate, correlate])
def test_scores_that_are_not_finite_are_refused(find):
    with pytest.raises(ValueError, match=r"infinite scores.* for example 3 \(.* of class 1\)"):
        find(pictures(dark=3))


def test_scores_without_a_unit_are_looked_at_too():
    sweep(pictures(), single_unit_masks(UNITS)[:1])
    with pytest.raises(
        ValueError, match=r"scores without unit 1 of layer 'layer' for example 0, 1, 2, 3 \("
    ):
        sweep(pictures(), single_unit_masks(UNITS))


@pytest.mark.parametrize(
    "find",
    [correlate, find_peaks, lambda source: mean_activations(Quotient(), source, "layer")],
)
def test_activations_that_are_not_finite_are_refused(find):
    with pytest.raises(ValueError, match=r"layer 'layer' has NaN .* example 2"):
        find(pictures(hot=2))


def test_copies_that_fill_up_a_batch_do_not_count():
    batch = {
        "label": np.array([0, 1, -5]),
        "example": np.array([7, 8, 8]),
        "weight": np.array([True, True, False]),
    }
    assert class_checks.read_classes(batch, "label", 2).tolist() == [0, 1]
    check = partial(class_checks.check_scores, batch=batch, label_key="label")
    check(np.array([True, True, False]))
    with pytest.raises(ValueError, match=r"for example 8 \(the first is of class 1\)"):
        check(np.array([True, False, False]))
