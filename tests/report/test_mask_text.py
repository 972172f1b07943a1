"""Masks as texts: what is written is what is read back, and short."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.site_data import read_mask

from jaxdissect.report.mask_text import mask_texts


@settings(deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 70))))
def test_texts_are_read_back(masks):
    texts = mask_texts(masks)
    assert len(texts) == len(masks)
    for text, mask in zip(texts, masks, strict=True):
        np.testing.assert_array_equal(read_mask(text, (1, masks.shape[1]))[0], mask)


@pytest.mark.parametrize("pixels", [31, 32, 1023, 1024, 1025, 33000])
def test_long_runs_take_more_digits(pixels):
    masks = np.zeros((3, pixels), bool)
    masks[1] = True
    masks[2, -1] = True
    texts = mask_texts(masks)
    assert texts[0] == "" and texts[1][0] == "A"
    for text, mask in zip(texts, masks, strict=True):
        np.testing.assert_array_equal(read_mask(text, (1, pixels))[0], mask)


def test_a_text_by_hand():
    # 1 off, 2 on, 32 off ("g" carries digit 0, "B" is 1), 1 on; the rest is off.
    mask = np.zeros((1, 40), bool)
    mask[0, 1:3] = mask[0, 35] = True
    assert mask_texts(mask) == ["BCgBB"]
