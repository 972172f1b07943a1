"""Props to furnish rooms with."""

from jaxdissect.scenes.drawing import palette
from jaxdissect.scenes.drawing.world import Prop, box, ellipse, shadow

TABLE = Prop(
    "table",
    height=(0.74, 0.82),
    aspect=(1.7, 2.5),
    paints={"wood": palette.TIMBER, "legs": palette.TIMBER},
    pieces=(
        shadow(1.0, height=0.2),
        box("leg", "legs", (0.0, 0.4), (1.5, 0.8), grid=(2, 1), fill=(0.12, 1.0), shade=0.85),
        box("tabletop", "wood", (0.0, 0.84), (1.0, 0.1), shade=0.75),
        box("tabletop", "wood", (0.0, 0.98), (1.0, 0.24), taper=0.22),
    ),
)

PEDESTAL = Prop(
    "table",
    height=(0.7, 0.8),
    aspect=(1.0, 1.4),
    paints={"wood": palette.TIMBER, "legs": palette.IRON},
    pieces=(
        shadow(0.8, height=0.18),
        box("leg", "legs", (0.0, 0.42), (0.1, 0.84)),
        box("leg", "legs", (0.0, 0.04), (0.5, 0.08)),
        ellipse("tabletop", "wood", (0.0, 0.86), (1.0, 0.3), shade=0.8),
        ellipse("tabletop", "wood", (0.0, 0.92), (1.0, 0.3)),
    ),
)

CHAIR = Prop(
    "chair",
    height=(0.9, 1.05),
    aspect=(0.46, 0.58),
    paints={"wood": palette.TIMBER, "seat": palette.TIMBER + palette.UPHOLSTERY[:4]},
    pieces=(
        shadow(1.0, height=0.12),
        box("leg", "wood", (0.0, 0.23), (1.2, 0.46), grid=(2, 1), fill=(0.22, 1.0), shade=0.85),
        box("back", "wood", (0.0, 0.75), (0.92, 0.5), corner=0.2),
        box(
            "back",
            "wood",
            (0.0, 0.72),
            (0.74, 0.36),
            grid=(3, 1),
            fill=(0.45, 1.0),
            shade=0.6,
            when=(0.5, 1.0),
        ),
        box("seat", "seat", (0.0, 0.48), (1.05, 0.16), taper=0.12, shade=1.05),
    ),
)

ARMCHAIR = Prop(
    "chair",
    height=(0.9, 1.05),
    aspect=(0.95, 1.1),
    paints={"cloth": palette.UPHOLSTERY, "leg": palette.TIMBER},
    pieces=(
        shadow(1.0, height=0.14),
        box("leg", "leg", (0.0, 0.06), (1.3, 0.14), grid=(2, 1), fill=(0.14, 1.0)),
        box("back", "cloth", (0.0, 0.62), (0.84, 0.76), corner=0.5),
        box("seat", "cloth", (0.0, 0.3), (0.8, 0.36), shade=1.12),
        box(
            "arm",
            "cloth",
            (0.0, 0.36),
            (1.56, 0.52),
            grid=(2, 1),
            fill=(0.28, 1.0),
            corner=0.6,
            shade=0.85,
        ),
    ),
)

SOFA = Prop(
    "sofa",
    height=(0.85, 1.0),
    aspect=(2.1, 2.7),
    paints={"cloth": palette.UPHOLSTERY, "cushion": palette.LINEN, "leg": palette.TIMBER},
    pieces=(
        shadow(1.0, height=0.16),
        box("leg", "leg", (0.0, 0.06), (1.6, 0.14), grid=(2, 1), fill=(0.07, 1.0)),
        box("back", "cloth", (0.0, 0.66), (0.92, 0.66), corner=0.35),
        box(
            "seat",
            "cloth",
            (0.0, 0.32),
            (0.86, 0.38),
            grid=((2, 3), 1),
            fill=(0.96, 1.0),
            corner=0.2,
            shade=1.14,
        ),
        box(
            "cushion",
            "cushion",
            (0.0, 0.64),
            (0.86, 0.36),
            grid=((2, 3), 1),
            fill=(0.52, 1.0),
            corner=0.5,
            angle=0.06,
            bulge=0.15,
            when=(0.3, 1.0),
        ),
        box(
            "arm",
            "cloth",
            (0.0, 0.4),
            (1.78, 0.58),
            grid=(2, 1),
            fill=(0.14, 1.0),
            corner=0.7,
            shade=0.85,
        ),
    ),
)

BED = Prop(
    "bed",
    height=(1.0, 1.25),
    aspect=(1.5, 1.9),
    paints={
        "wood": palette.TIMBER,
        "sheet": palette.PILLOWCASES,
        "blanket": palette.LINEN,
        "pillow": palette.PILLOWCASES,
    },
    pieces=(
        shadow(1.1, height=0.2),
        box("leg", "wood", (0.0, 0.02), (1.7, 0.2), grid=(2, 1), fill=(0.1, 1.0)),
        box("headboard", "wood", (0.0, 0.6), (0.96, 0.8), corner=0.25),
        box("mattress", "sheet", (0.0, 0.5), (0.94, 0.36), taper=0.08),
        box(
            "pillow",
            "pillow",
            (0.0, 0.66),
            (0.82, 0.22),
            grid=(2, 1),
            fill=(0.84, 1.0),
            corner=0.8,
            bulge=0.2,
        ),
        box("blanket", "blanket", (0.0, 0.36), (1.06, 0.44), taper=0.1, corner=0.15),
        box("blanket", "blanket", (0.0, 0.12), (1.06, 0.18), shade=0.78),
        box("mattress", "sheet", (0.0, 0.56), (0.96, 0.06), shade=0.94),
    ),
)

CABINET = Prop(
    "cabinet",
    height=(0.8, 1.0),
    aspect=(1.2, 1.8),
    paints={
        "wood": palette.CUPBOARDS + palette.TIMBER[:3],
        "knob": palette.CHROME + palette.IRON[:1],
    },
    pieces=(
        shadow(1.02, height=0.12),
        box(None, "wood", (0.0, 0.5), (1.0, 1.0), shade=0.8),
        box("drawer", "wood", (0.0, 0.5), (0.96, 0.94), grid=((1, 2), 3), fill=(0.92, 0.84)),
        ellipse("knob", "knob", (0.0, 0.5), (0.96, 0.94), grid=((1, 2), 3), fill=(0.13, 0.26)),
        box("board", "wood", (0.0, 0.98), (1.06, 0.07), shade=1.1),
    ),
)

WARDROBE = Prop(
    "cabinet",
    height=(1.9, 2.2),
    aspect=(0.5, 0.75),
    paints={"wood": palette.CUPBOARDS + palette.TIMBER, "knob": palette.CHROME},
    pieces=(
        shadow(1.02, height=0.05),
        box(None, "wood", (0.0, 0.5), (1.0, 1.0), shade=0.8),
        box("door panel", "wood", (0.0, 0.52), (0.96, 0.9), grid=(2, 1), fill=(0.94, 1.0)),
        box("knob", "knob", (0.0, 0.5), (0.2, 0.1), grid=(2, 1), fill=(0.4, 1.0)),
    ),
)

SHELF = Prop(
    "shelf",
    height=(1.5, 2.0),
    aspect=(0.6, 0.9),
    paints={"wood": palette.TIMBER, "book": palette.BOOKS, "more": palette.BOOKS},
    pieces=(
        box("board", "wood", (0.0, 0.5), (1.0, 1.0)),
        box(None, "wood", (0.0, 0.5), (0.88, 0.94), grid=(1, 3), fill=(1.0, 0.84), shade=0.55),
        box("book", "book", (-0.02, 0.43), (0.8, 0.94), grid=(5, 3), fill=(0.8, 0.62), vary=0.05),
        box("book", "more", (0.06, 0.41), (0.6, 0.94), grid=(3, 3), fill=(0.5, 0.54), vary=0.05),
    ),
)

WALL_SHELF = Prop(
    "shelf",
    height=(0.35, 0.5),
    aspect=(2.0, 3.0),
    paints={"wood": palette.TIMBER, "book": palette.BOOKS, "more": palette.POTS},
    pieces=(
        box("board", "wood", (0.0, 0.07), (1.0, 0.16)),
        box("book", "book", (-0.16, 0.5), (0.56, 0.7), grid=(5, 1), fill=(0.8, 1.0)),
        ellipse("pot", "more", (0.3, 0.42), (0.22, 0.54), object="plant", bulge=0.2),
    ),
)

TELEVISION = Prop(
    "television",
    height=(0.55, 0.75),
    aspect=(1.55, 1.8),
    paints={"case": palette.DARK_METAL, "screen": palette.SCREENS},
    pieces=(
        box("leg", "case", (0.0, 0.04), (0.4, 0.1)),
        box("frame", "case", (0.0, 0.54), (1.0, 0.9)),
        box("screen", "screen", (0.0, 0.55), (0.9, 0.76), fade=0.25),
    ),
)

POT_PLANT = Prop(
    "plant",
    height=(0.8, 1.4),
    aspect=(0.6, 0.8),
    paints={"pot": palette.POTS, "leaves": palette.PALM_LEAVES + palette.HEDGE},
    pieces=(
        shadow(0.6, height=0.08),
        ellipse("crown", "leaves", (-0.2, 0.6), (0.6, 0.16), angle=-0.8, shade=0.85),
        ellipse("crown", "leaves", (0.2, 0.62), (0.6, 0.16), angle=0.8, shade=0.9),
        ellipse("crown", "leaves", (0.0, 0.72), (0.26, 0.56), warp=0.2),
        ellipse("crown", "leaves", (-0.04, 0.5), (0.8, 0.34), warp=0.25, bulge=0.15),
        box("pot", "pot", (0.0, 0.17), (0.42, 0.34), taper=-0.3, bulge=0.2),
    ),
)
