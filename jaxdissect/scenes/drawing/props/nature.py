"""Props that grew: plants, rocks, animals, and people."""

from jaxdissect.scenes.drawing import palette
from jaxdissect.scenes.drawing.world import Prop, box, ellipse, shadow

TREE = Prop(
    "tree",
    height=(4.2, 6.8),
    aspect=(0.6, 0.85),
    paints={"bark": palette.BARK, "leaves": palette.LEAVES},
    pieces=(
        shadow(0.9, height=0.07),
        box("trunk", "bark", (0.0, 0.24), (0.11, 0.5), taper=0.35, bulge=0.2),
        ellipse(
            "crown",
            "leaves",
            (-0.22, 0.58),
            (0.56, 0.4),
            warp=0.15,
            sway=0.04,
            bulge=0.2,
            shade=0.9,
        ),
        ellipse(
            "crown",
            "leaves",
            (0.22, 0.6),
            (0.56, 0.42),
            warp=0.15,
            sway=0.04,
            bulge=0.2,
            shade=0.95,
        ),
        ellipse(
            "crown", "leaves", (0.0, 0.74), (0.78, 0.5), warp=0.12, sway=0.03, vary=0.12, bulge=0.25
        ),
    ),
)

CONIFER = Prop(
    "tree",
    height=(4.5, 8.0),
    aspect=(0.42, 0.6),
    paints={"bark": palette.BARK, "leaves": palette.NEEDLES},
    pieces=(
        shadow(0.9, height=0.05),
        box("trunk", "bark", (0.0, 0.1), (0.12, 0.2), bulge=0.2),
        box(
            "crown", "leaves", (0.0, 0.34), (1.0, 0.4), taper=0.9, warp=0.08, bulge=0.25, shade=0.85
        ),
        box("crown", "leaves", (0.0, 0.57), (0.8, 0.38), taper=0.9, warp=0.08, bulge=0.25),
        box(
            "crown", "leaves", (0.0, 0.8), (0.56, 0.4), taper=1.0, warp=0.08, bulge=0.25, shade=1.1
        ),
    ),
)

PALM = Prop(
    "tree",
    height=(4.5, 6.5),
    aspect=(0.7, 0.9),
    paints={"bark": palette.BARK, "leaves": palette.PALM_LEAVES},
    pieces=(
        shadow(0.7, height=0.06),
        box("trunk", "bark", (0.0, 0.42), (0.085, 0.86), taper=0.35, shear=0.1, bulge=0.3),
        *(
            ellipse(
                "crown", "leaves", at, (0.6, 0.11), angle=angle, warp=0.3, waves=4.0, shade=shade
            )
            for at, angle, shade in (
                ((-0.18, 0.74), 0.85, 0.8),
                ((0.28, 0.74), -0.85, 0.85),
                ((-0.2, 0.88), 0.15, 0.95),
                ((0.32, 0.88), -0.15, 1.0),
                ((0.02, 0.95), 1.2, 1.05),
            )
        ),
    ),
)

BUSH = Prop(
    "bush",
    height=(0.8, 1.5),
    aspect=(1.3, 2.2),
    paints={"leaves": palette.HEDGE},
    pieces=(
        shadow(1.0, height=0.16),
        ellipse(
            None, "leaves", (-0.22, 0.38), (0.6, 0.8), warp=0.14, sway=0.05, bulge=0.2, shade=0.9
        ),
        ellipse(
            None, "leaves", (0.2, 0.42), (0.66, 0.9), warp=0.14, sway=0.05, vary=0.1, bulge=0.25
        ),
    ),
)

FLOWERS = Prop(
    "flower",
    height=(0.6, 1.0),
    aspect=(2.0, 3.5),
    paints={"stem": palette.HEDGE, "petals": palette.PETALS},
    pieces=(
        box(None, "stem", (0.0, 0.3), (0.95, 0.6), warp=0.2, waves=7.0),
        ellipse(
            "bloom",
            "petals",
            (0.02, 0.35),
            (1.0, 0.5),
            grid=((3, 5), 1),
            fill=(0.5, 0.75),
            sway=0.03,
        ),
        ellipse(
            "bloom",
            "petals",
            (-0.03, 0.75),
            (1.0, 0.5),
            grid=((3, 5), 1),
            fill=(0.55, 0.85),
            sway=0.04,
        ),
    ),
)

ROCK = Prop(
    "rock",
    height=(0.7, 1.8),
    aspect=(1.2, 2.0),
    paints={"rock": palette.ROCKS},
    pieces=(
        shadow(1.1, height=0.16),
        ellipse(
            None,
            "rock",
            (-0.12, 0.35),
            (0.8, 1.0),
            warp=0.12,
            waves=2.5,
            cut=-0.7,
            sway=0.05,
            bulge=0.3,
        ),
        ellipse(
            None,
            "rock",
            (0.22, 0.25),
            (0.6, 0.7),
            warp=0.12,
            waves=2.5,
            cut=-0.7,
            sway=0.05,
            bulge=0.3,
            shade=0.88,
        ),
    ),
)

PERSON = Prop(
    "person",
    height=(1.55, 1.9),
    aspect=(0.36, 0.42),
    paints={
        "skin": palette.SKIN,
        "hair": palette.HAIR,
        "top": palette.CLOTHES,
        "bottom": palette.TROUSERS,
    },
    pieces=(
        shadow(1.1, height=0.06),
        box("leg", "bottom", (0.0, 0.24), (0.56, 0.48), grid=(2, 1), fill=(0.82, 1.0), bulge=0.15),
        box("arm", "top", (0.0, 0.63), (0.98, 0.34), grid=(2, 1), fill=(0.4, 1.0), shade=0.85),
        box("torso", "top", (0.0, 0.62), (0.62, 0.38), corner=0.4, bulge=0.15),
        ellipse("hair", "hair", (0.0, 0.93), (0.46, 0.17)),
        ellipse("hair", "hair", (0.0, 0.86), (0.5, 0.22), when=(0.5, 1.0)),
        ellipse("head", "skin", (0.0, 0.885), (0.36, 0.16), bulge=0.15),
    ),
)

COW = Prop(
    "cow",
    height=(1.4, 1.7),
    aspect=(1.4, 1.65),
    paints={"coat": palette.COATS, "patch": palette.COATS},
    pieces=(
        shadow(0.9, height=0.12),
        box("leg", "coat", (0.06, 0.25), (0.66, 0.5), grid=(4, 1), fill=(0.5, 1.0), shade=0.8),
        box("torso", "coat", (0.06, 0.62), (0.74, 0.46), corner=0.7, bulge=0.2),
        ellipse("torso", "patch", (0.2, 0.66), (0.26, 0.3), warp=0.2),
        ellipse("torso", "patch", (-0.08, 0.58), (0.2, 0.26), warp=0.2),
        ellipse("head", "coat", (-0.4, 0.74), (0.24, 0.34), angle=0.5, bulge=0.15, shade=0.95),
    ),
)
