"""The real classifier on real photographs shows what the paper says of such networks."""

import numpy as np
import pytest
from dissect_photographs import LAYERS, dissect_photographs, report
from paths import real_folder


@pytest.mark.slow
@pytest.mark.optimised
def test_objects_emerge_while_colors_fade():
    photographs, classifier = real_folder("miniplaces"), real_folder("squeezenet_places365")
    result = dissect_photographs(photographs, classifier, every=20)
    counts = [result[name].category_counts() for name in LAYERS]
    units = np.array([result[name].num_units for name in LAYERS])
    objects = np.array([count["object"].units for count in counts]) / units
    colors = np.array([count["color"].units for count in counts]) / units
    assert (np.diff(objects[[0, 1, 4]]) > 0).all(), report(result)
    assert colors[0] > 0.3 > 0.1 > colors[-1], report(result)
    last = result["fire9"]
    assert counts[-1]["object"].units >= 40 and counts[-1]["object"].concepts >= 15
    found = {last.vocabulary.names[concept] for concept in last.concept_counts()}
    assert {"trees", "grass", "building"} <= found
    for layer in result.layers.values():
        assert (layer.active_fraction <= 0.01).all()
        assert layer.active_fraction.mean() > 0.0099
