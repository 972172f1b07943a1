"""Props that make the land: sky, mountains, ground, water, and roads.

They are backdrops: heights are shares of the image, and what begins at their foot and reaches
down to its lower edge is given from y = 0 to -1.
"""

from jaxdissect.scenes.drawing import palette
from jaxdissect.scenes.drawing.world import Prop, Swatch, box, ellipse

SKY = Prop(
    "sky",
    height=(1.0, 1.0),
    aspect=(1.0, 1.0),
    paints={"sky": palette.SKY},
    pieces=(box(None, "sky", (0.0, 0.4), (1.4, 1.2), fade=-0.16),),
    by_mood=True,
)

SUN = Prop(
    "sun",
    height=(0.09, 0.16),
    aspect=(1.0, 1.0),
    paints={"sun": palette.SUN},
    pieces=(
        ellipse(None, "sun", (0.0, 0.5), (2.4, 2.4), opacity=0.3, soft=8.0),
        ellipse(None, "sun", (0.0, 0.5), (1.0, 1.0)),
    ),
    by_mood=True,
)

_PUFF = {"warp": 0.2, "soft": 2.5, "sway": 0.03, "vary": 0.2}

CLOUD = Prop(
    "cloud",
    height=(0.09, 0.17),
    aspect=(2.0, 3.2),
    paints={"cloud": palette.CLOUD},
    pieces=(
        ellipse(None, "cloud", (-0.22, 0.4), (0.55, 0.6), cut=-0.55, **_PUFF),
        ellipse(None, "cloud", (0.25, 0.36), (0.5, 0.5), cut=-0.55, **_PUFF),
        ellipse(None, "cloud", (0.0, 0.5), (0.65, 0.9), cut=-0.6, **_PUFF),
    ),
    by_mood=True,
)

# Triangles with ragged sides; the halves in the shade lean so as to meet in the same summit.
_CRAG = {"taper": 1.0, "warp": 0.07, "waves": 5.0}
_ICE = {"taper": 1.0, "warp": 0.12, "when": (0.0, 0.7)}

MOUNTAIN = Prop(
    "mountain",
    height=(0.2, 0.42),
    aspect=(1.5, 2.4),
    paints={"rock": palette.SUMMIT, "cap": palette.SNOW},
    pieces=(
        box(None, "rock", (-0.26, 0.3), (0.7, 0.66), sway=0.05, shade=0.92, **_CRAG),
        box(None, "rock", (0.0, 0.47), (1.0, 1.06), **_CRAG),
        box(None, "rock", (0.13, 0.47), (0.5, 1.06), shear=-0.245, shade=0.72, **_CRAG),
        box("peak", "rock", (0.0, 0.86), (0.27, 0.28), shade=1.2, when=(0.7, 1.0), **_CRAG),
        box("peak", "cap", (0.0, 0.83), (0.33, 0.34), **_ICE),
        box("peak", "cap", (0.045, 0.83), (0.16, 0.34), shear=-0.245, shade=0.8, **_ICE),
    ),
)

HILL = Prop(
    "hill",
    height=(0.08, 0.18),
    aspect=(4.0, 7.0),
    paints={"slope": palette.MEADOW + palette.HEDGE},
    pieces=(ellipse(None, "slope", (0.0, 0.0), (1.0, 2.0), warp=0.06, waves=3.0),),
)

FOREST = Prop(
    "tree",
    height=(0.05, 0.12),
    aspect=(9.0, 16.0),
    paints={"leaves": palette.LEAVES[:4] + palette.NEEDLES},
    pieces=(box("crown", "leaves", (0.0, 0.35), (1.2, 0.9), warp=0.5, waves=17.0),),
)


def _plane(name: str, swatches: tuple[Swatch, ...]) -> Prop:
    """Make a plain that reaches from its place down to the lower edge of the image."""
    surface = box(None, "surface", (0.0, -0.5), (1.6, 1.0), warp=0.008, waves=2.0, plane=True)
    return Prop(name, (1.0, 1.0), (1.0, 1.0), {"surface": swatches}, (surface,))


LAWN = _plane("grass", palette.LAWN)
MEADOW = _plane("grass", palette.MEADOW)
GROUND = _plane("sand", palette.SAND)
SCREE = _plane("rock", palette.ROCKS)
SIDEWALK = _plane("sidewalk", palette.PAVING)

WATER = Prop(
    "water",
    height=(1.0, 1.0),
    aspect=(1.0, 1.0),
    paints={"water": palette.WATER},
    pieces=(box(None, "water", (0.0, -0.5), (1.6, 1.0), fade=-0.12, plane=True),),
    by_mood=True,
)

POND = Prop(
    "water",
    height=(0.1, 0.2),
    aspect=(3.0, 5.0),
    paints={"water": palette.WATER},
    pieces=(ellipse(None, "water", (0.0, 0.0), (1.0, 1.0), warp=0.08, waves=2.0, plane=True),),
    by_mood=True,
)

SHORE = Prop(
    "sand",
    height=(1.0, 1.0),
    aspect=(1.0, 1.0),
    paints={"sand": palette.SAND, "foam": palette.of("water", palette.WHITE)},
    pieces=(
        box(None, "foam", (0.0, -0.485), (1.6, 1.0), object="water", warp=0.03, waves=3.0),
        box(None, "sand", (0.0, -0.505), (1.6, 1.0), warp=0.03, waves=3.0, plane=True),
    ),
)

ROAD = Prop(
    "road",
    height=(1.0, 1.0),
    aspect=(1.0, 1.0),
    paints={"surface": palette.ASPHALT, "line": palette.of("asphalt", palette.WHITE)},
    pieces=(
        box(None, "surface", (0.0, -0.5), (1.6, 1.0), plane=True),
        box(None, "line", (0.0, -0.14), (1.5, 0.022), grid=(5, 1), fill=(0.55, 1.0), sway=0.03),
    ),
)

ROAD_AHEAD = Prop(
    "road",
    height=(1.0, 1.0),
    aspect=(1.0, 1.0),
    paints={"surface": palette.ASPHALT, "line": palette.of("asphalt", palette.WHITE)},
    pieces=(
        box(None, "surface", (0.0, -0.3), (1.35, 0.6), taper=0.96, plane=True),
        box(None, "line", (0.0, -0.45), (0.045, 0.14), taper=0.35),
        box(None, "line", (0.0, -0.25), (0.026, 0.1), taper=0.4),
        box(None, "line", (0.0, -0.12), (0.014, 0.06), taper=0.5),
    ),
)

TRACK = Prop(
    "road",
    height=(1.0, 1.0),
    aspect=(1.0, 1.0),
    paints={"surface": palette.EARTH + palette.SAND[2:]},
    pieces=(
        box(
            None,
            "surface",
            (0.0, -0.3),
            (0.75, 0.6),
            taper=0.9,
            shear=0.25,
            warp=0.1,
            waves=1.5,
            plane=True,
        ),
    ),
)

PATH = Prop(
    "sidewalk",
    height=(1.0, 1.0),
    aspect=(1.0, 1.0),
    paints={"surface": palette.PAVING + palette.SAND[2:] + palette.EARTH[1:2]},
    pieces=(
        box(
            None,
            "surface",
            (0.0, -0.3),
            (0.8, 0.6),
            taper=0.88,
            shear=-0.3,
            warp=0.1,
            waves=1.5,
            plane=True,
        ),
    ),
)

QUAY = Prop(
    "pier",
    height=(1.0, 1.0),
    aspect=(1.0, 1.0),
    paints={"stone": palette.PAVING + palette.TIMBER[:3]},
    pieces=(
        box(None, "stone", (0.0, -0.02), (1.6, 0.06), shade=0.7),
        box(None, "stone", (0.0, -0.53), (1.6, 1.0), plane=True),
    ),
)
