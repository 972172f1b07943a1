"""Units of the real generator, removed end to end as `dissect_cats` does it.

The real segmenter takes longer to compile than all else; here colors, measured from the pixels,
stand in for its objects.
"""

import numpy as np
import pytest
from dissect_cats import cats, dissect_cats, labelled_cats, rank_units, remove_cats
from paths import real_folder

import jaxdissect as jd
from jaxdissect.arrays.colors import COLOR_NAMES, color_labels
from jaxdissect.networks.ablation_masks import best_unit_masks

LAYER, CONCEPT, NUM_REMOVED = "relu_7", "white", 4


def _segmenter_of_colors() -> jd.Segmenter:
    known = jd.vocabulary((name, "color") for name in COLOR_NAMES)
    return jd.Segmenter(
        known, (), lambda params, images, grid: color_labels(images, grid=grid)[..., None]
    )


@pytest.mark.slow
@pytest.mark.optimised
def test_a_color_goes_with_the_units_that_match_it():
    network, source = cats(real_folder("gan_cat64"), 32)
    segmenter = _segmenter_of_colors()
    result = dissect_cats(network, source, segmenter, fraction=0.02)
    ranking = rank_units(result, LAYER, CONCEPT)
    sets = np.concatenate(
        [
            best_unit_masks(order, NUM_REMOVED, len(ranking))[[0, -1]]
            for order in (ranking, ranking[::-1])
        ]
    )
    generator = labelled_cats(network, segmenter)
    removal = remove_cats(generator, source, LAYER, sets, concept=CONCEPT)

    white = segmenter.vocabulary.index(CONCEPT)
    assert result[LAYER].counts.concept[white] == removal.before[:, white].sum() > 0
    np.testing.assert_array_equal(removal.after[0, :, 0], removal.before[:, white])
    # Every pixel has one color, so that what one loses others gain.
    np.testing.assert_array_equal(removal.changes.sums.sum(axis=1), 0)
    np.testing.assert_array_equal(removal.changes.sums[0], 0)
    _, best, _, worst = removal.fraction_left[:, white]
    assert best < 0.2 and worst > 0.8, (best, worst)
