"""Colours are told apart by those who see fewer of them, and nothing is told by colour alone.

Colour blindness is simulated as in Machado, Oliveira and Fernandes, "A Physiologically-based Model
for Simulation of Color Vision Deficiency", IEEE TVCG 2009, at full severity; differences are
CIEDE2000 (Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula", 2005).
"""

import itertools

import numpy as np
import pytest

from jaxdissect.plots import palette

SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
XYZ = np.array(  # of linear sRGB
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(color):
    parts = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(color, sight):
    xyz = XYZ @ np.clip(sight @ linear(color), 0, 1) / (0.95047, 1, 1.08883)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(first, second):
    """Difference of two colours in L*a*b*; numbers of equations are those of Sharma et al."""
    chroma = np.hypot(*np.array([first[1:], second[1:]]).T).mean()
    grey = 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25**7)))  # (4)
    lightness, a, b = np.array([first, second]).T
    a = a * (1 + grey)
    chromas, hues = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    turn = (hues[1] - hues[0] + 180) % 360 - 180 if chromas.all() else 0.0  # (10)
    hue = 2 * np.sqrt(chromas.prod()) * np.sin(np.radians(turn / 2))  # (11)
    middle = (hues[0] + turn / 2) % 360 if chromas.all() else hues.sum()  # (14)
    level, chroma = lightness.mean(), chromas.mean()
    weights = (1, -0.17, 0.24, 0.32, -0.20)
    angles = np.radians([0, middle - 30, 2 * middle, 3 * middle + 6, 4 * middle - 63])
    of_level = 1 + 0.015 * (level - 50) ** 2 / np.sqrt(20 + (level - 50) ** 2)
    parts = np.array(
        [
            np.diff(lightness)[0] / of_level,
            np.diff(chromas)[0] / (1 + 0.045 * chroma),
            hue / (1 + 0.015 * chroma * np.dot(weights, np.cos(angles))),
        ]
    )
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25**7))
    rotation *= np.sin(np.radians(60 * np.exp(-(((middle - 275) / 25) ** 2))))  # (16), (17), (21)
    return np.sqrt((parts**2).sum() + rotation * parts[1] * parts[2])


def test_the_formula_against_published_differences():
    """Pairs 1, 7, 17, 25 and 34 of table 1 of Sharma et al."""
    for first, second, expected in (
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ):
        found = ciede2000(np.array(first, float), np.array(second, float))
        assert found == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(
    ("colors", "least"),
    [
        (tuple(palette.CATEGORY_COLORS.values()), 17),
        (palette.SERIES_COLORS, 19),
        ((*palette.CATEGORY_COLORS.values(), *palette.OTHER_COLORS), 12),
    ],
    ids=["categories", "series", "all"],
)
def test_colors_differ_for_all_kinds_of_sight(sight, colors, least):
    differences = {
        pair: ciede2000(*(lab(color, SIGHT[sight]) for color in pair))
        for pair in itertools.combinations(colors, 2)
    }
    worst = min(differences, key=differences.__getitem__)
    assert differences[worst] >= least, f"{worst}: {differences[worst]:.1f}"


def test_red_and_green_of_equal_lightness_would_fail():
    red, green = "#D62728", "#6B7A00"
    assert ciede2000(*(lab(color, SIGHT["deuteranopia"]) for color in (red, green))) < 12


def test_colors_stand_out_from_white_paper():
    for color in (*palette.CATEGORY_COLORS.values(), *palette.OTHER_COLORS, *palette.SERIES_COLORS):
        luminance = XYZ[1] @ linear(color)
        assert 1.05 / (luminance + 0.05) >= 1.75, color


def test_nothing_is_told_by_color_alone():
    broden = [*palette.CATEGORY_COLORS]
    marks = palette.category_marks([*broden, *(f"kind {i}" for i in range(55))])
    some = list(marks.values())[: len(broden) + len(palette.OTHER_COLORS)]
    assert len({mark.hatch for mark in some}) == len({mark.marker for mark in some}) == len(some)
    assert len(set(marks.values())) == len(marks)
    assert len({(mark.color, mark.hatch) for mark in marks.values()}) == len(marks)
    assert len({(mark.color, mark.marker) for mark in marks.values()}) == len(marks)
    number = len(palette.SERIES_COLORS)
    for kinds in (palette.SERIES_HATCHES, palette.SERIES_MARKERS, palette.SERIES_DASHES):
        assert len(set(kinds)) == number


def test_known_categories_keep_their_colors():
    colors = palette.category_colors(("mood", "scene", "object", "weather"))
    assert list(colors) == ["mood", "scene", "object", "weather"]
    assert colors["scene"] == palette.CATEGORY_COLORS["scene"]
    assert colors["object"] == palette.CATEGORY_COLORS["object"]
    assert [colors["mood"], colors["weather"]] == list(palette.OTHER_COLORS[:2])
