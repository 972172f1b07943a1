"""Props to travel in: cars and boats."""

from jaxdissect.scenes.drawing import palette
from jaxdissect.scenes.drawing.world import Prop, box, ellipse, shadow

CAR = Prop(
    "car",
    height=(1.45, 1.7),
    aspect=(2.3, 2.9),
    paints={
        "body": palette.CAR,
        "glass": palette.CAR_GLASS,
        "tyre": palette.TYRES,
        "chrome": palette.CHROME,
        "light": palette.BULB,
    },
    pieces=(
        shadow(1.06, height=0.2, opacity=0.45),
        box("car body", "body", (0.03, 0.72), (0.62, 0.56), taper=0.32, corner=0.3),
        box(
            "car window",
            "glass",
            (0.03, 0.75),
            (0.55, 0.36),
            taper=0.3,
            grid=(2, 1),
            fill=(0.88, 1.0),
            fade=0.2,
        ),
        box("car body", "body", (0.0, 0.38), (1.0, 0.4), corner=0.5),
        ellipse("wheel", "tyre", (0.0, 0.2), (1.12, 0.42), grid=(2, 1), fill=(0.32, 1.0)),
        ellipse("wheel", "chrome", (0.0, 0.2), (1.12, 0.42), grid=(2, 1), fill=(0.13, 0.42)),
        ellipse("headlight", "light", (-0.46, 0.44), (0.07, 0.14)),
    ),
)

CAR_AHEAD = Prop(
    "car",
    height=(1.45, 1.75),
    aspect=(1.1, 1.3),
    paints={
        "body": palette.CAR,
        "glass": palette.CAR_GLASS,
        "tyre": palette.TYRES,
        "light": palette.BULB,
        "plate": palette.of("metal", palette.WHITE),
    },
    pieces=(
        shadow(1.1, height=0.14, opacity=0.45),
        box("wheel", "tyre", (0.0, 0.14), (1.0, 0.28), grid=(2, 1), fill=(0.36, 1.0)),
        box("car body", "body", (0.0, 0.76), (0.84, 0.5), taper=0.25, corner=0.25),
        box("car window", "glass", (0.0, 0.77), (0.7, 0.32), taper=0.25, fade=0.2),
        box("car body", "body", (0.0, 0.4), (1.0, 0.42), corner=0.4),
        ellipse("headlight", "light", (0.0, 0.44), (0.96, 0.15), grid=(2, 1), fill=(0.42, 1.0)),
        box(None, "plate", (0.0, 0.28), (0.3, 0.09)),
    ),
)

SAILBOAT = Prop(
    "boat",
    height=(5.0, 7.5),
    aspect=(0.66, 0.82),
    paints={
        "hull": palette.HULLS,
        "sail": palette.SAILS,
        "jib": palette.SAILS,
        "mast": palette.BARK,
    },
    pieces=(
        shadow(0.95, height=0.06, opacity=0.35),
        box("mast", "mast", (0.03, 0.58), (0.035, 0.84)),
        box("sail", "sail", (-0.19, 0.6), (0.42, 0.76), taper=1.0, shear=0.27, bulge=0.15),
        box("sail", "jib", (0.19, 0.54), (0.3, 0.64), taper=1.0, shear=-0.22, bulge=0.15),
        box("hull", "hull", (0.0, 0.11), (0.72, 0.19), taper=-0.4, bulge=0.15),
        box("hull", "hull", (0.0, 0.2), (1.02, 0.03), shade=1.25),
    ),
)

FISHING_BOAT = Prop(
    "boat",
    height=(2.6, 3.6),
    aspect=(1.7, 2.2),
    paints={
        "hull": palette.HULLS,
        "cabin": palette.of("wood", palette.WHITE, palette.CREAM, palette.ORANGE),
        "glass": palette.CAR_GLASS,
        "mast": palette.BARK,
    },
    pieces=(
        shadow(0.95, height=0.14, opacity=0.35),
        box("mast", "mast", (0.14, 0.66), (0.03, 0.66)),
        box("mast", "mast", (0.27, 0.8), (0.02, 0.5), angle=0.9),
        box("cabin", "cabin", (-0.14, 0.56), (0.34, 0.42)),
        box(
            "pane",
            "glass",
            (-0.14, 0.62),
            (0.32, 0.18),
            object="window",
            grid=(2, 1),
            fill=(0.7, 1.0),
        ),
        box("hull", "hull", (0.0, 0.2), (0.72, 0.4), taper=-0.38, bulge=0.15),
        box("hull", "hull", (0.0, 0.38), (1.02, 0.06), shade=1.25),
    ),
)

ROWBOAT = Prop(
    "boat",
    height=(0.8, 1.1),
    aspect=(2.6, 3.4),
    paints={"hull": palette.HULLS},
    pieces=(
        shadow(1.0, height=0.2, opacity=0.35),
        box("hull", "hull", (0.0, 0.42), (0.78, 0.74), taper=-0.32, bulge=0.15),
        box("hull", "hull", (0.0, 0.8), (1.06, 0.16), shade=1.25),
    ),
)
