"""Sheets of images in rows and columns, and colours of labels."""

import numpy as np

from jaxdissect.plots.image_grid import draw_grid, paint_labels


def test_grid_puts_pictures_where_they_belong():
    pictures = np.zeros((2, 3, 4, 5, 3))
    pictures[1, 2] = (1, 0.5, 0)
    sheet = np.asarray(draw_grid(pictures, scale=3))
    assert (sheet == [255, 128, 0]).all(-1).sum() == 4 * 5 * 9
    assert (sheet[-10, -10] == [255, 128, 0]).all() and (sheet[12, 3] == 0).all()
    named = np.asarray(draw_grid(pictures, scale=3, rows=("up", "down"), columns=("a", "b", "c")))
    assert named.shape[0] > sheet.shape[0] and named.shape[1] > sheet.shape[1]
    pixels = [np.argwhere((picture == [255, 128, 0]).all(-1)) for picture in (sheet, named)]
    assert len(pixels[0]) == len(pixels[1]) and len(np.unique(pixels[1] - pixels[0], axis=0)) == 1


def test_labels_have_colors_of_their_own():
    colors = paint_labels(np.arange(140))
    assert len(np.unique(colors, axis=0)) == 140
    assert (colors[0] == 0).all() and colors.min() >= 0 and colors.max() <= 1
    np.testing.assert_array_equal(paint_labels(np.array([[3, 139]]))[0, 0], colors[3])
