"""Another fraction of active pixels without a new run: exact, or refused."""

from dataclasses import replace

import numpy as np
import pytest
from support.dissected import LAYERS, PRESET, dissected

from jaxdissect.dissection.presets import REFERENCE
from jaxdissect.dissection.result import Dissection

FRACTIONS = [0.0, 0.01, 0.05, 0.098, 0.099, 0.0995, 0.1]


def same(a, b):
    return all(
        np.array_equal(getattr(a[name], array), getattr(b[name], array))
        for name in LAYERS
        for array in ("thresholds", "iou")
    ) and all(
        np.array_equal(a[name].counts.intersection, b[name].counts.intersection) for name in LAYERS
    )


def test_what_is_given_is_what_another_run_finds():
    given = refused = 0
    for layer, number in (("early", 6), ("late", 6), ("late", 20)):
        result = dissected(number=number).only(layer)
        for fraction in FRACTIONS:
            again = dissected(number=number, preset=replace(PRESET, fraction=fraction)).only(layer)
            expected = replace(again, layers={name: again[layer] for name in LAYERS})
            own = replace(result, layers={name: result[layer] for name in LAYERS})
            if same(own, expected):
                found = result.with_fraction(fraction)
                assert found.settings["fraction"] == fraction
                assert found[layer] is result[layer]
                given += 1
            else:
                with pytest.raises(ValueError, match=rf"at a `fraction` of {fraction:g} than at"):
                    result.with_fraction(fraction)
                refused += 1
    assert given > 6 and refused > 6


def test_a_layer_at_its_ceiling_keeps_its_threshold():
    result = dissected().only("late")
    ceiling = result["late"]
    assert ceiling.counts.unit[1] == 0  # nothing lies above it
    alone = replace(
        result,
        layers={
            "late": replace(
                ceiling,
                thresholds=ceiling.thresholds[1:],
                counts=ceiling.counts._replace(intersection=ceiling.counts.intersection[:, 1:]),
                iou=ceiling.iou[:, 1:],
                top_examples=ceiling.top_examples[1:],
                top_values=ceiling.top_values[1:],
            )
        },
    )
    assert alone.with_fraction(0.001).settings["fraction"] == 0.001
    with pytest.raises(ValueError, match="1 of 2 in layer 'late'"):
        result.with_fraction(0.001)


def test_refusals_say_how_to_dissect_again():
    result = dissected()
    again = r"dissect again with `preset=dataclasses.replace\(jaxdissect.PNAS2020, fraction="
    for fraction, said in (
        (0.05, "3 of 4 in layer 'early', 1 of 2 in layer 'late'"),
        (0.2, "`fraction` .=0.2. is greater than that of the result, 0.1"),
    ):
        with pytest.raises(ValueError, match=f"{said}.*{again}{fraction:g}"):
            result.with_fraction(fraction)
    with pytest.raises(ValueError, match=r"`fraction` \(=1.0\) must be"):
        result.with_fraction(1.0)
    given = dissected(thresholds={name: result[name].thresholds for name in LAYERS})
    with pytest.raises(ValueError, match=f"thresholds of the result are given.*{again}"):
        given.with_fraction(0.05)
    interpolated = dissected(preset=replace(REFERENCE, name="mine", fraction=0.1))
    with pytest.raises(ValueError, match=r"are interpolated.*replace\(your preset"):
        interpolated.with_fraction(0.05)
    old = Dissection(result.layers, result.vocabulary, {"fraction": 0.1})
    with pytest.raises(ValueError, match="may have been given"):
        old.with_fraction(0.05)
