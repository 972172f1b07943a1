"""Props to cook and eat with."""

from jaxdissect.scenes.drawing import palette
from jaxdissect.scenes.drawing.world import Prop, box, ellipse, shadow

COUNTER = Prop(
    "cabinet",
    height=(0.9, 0.95),
    aspect=(2.2, 3.2),
    paints={"wood": palette.CUPBOARDS, "top": palette.WORKTOPS, "knob": palette.CHROME},
    pieces=(
        shadow(1.02, height=0.12),
        box(None, "wood", (0.0, 0.48), (1.0, 0.96), shade=0.75),
        box("door panel", "wood", (0.0, 0.46), (0.98, 0.84), grid=((3, 4), 1), fill=(0.92, 1.0)),
        ellipse("knob", "knob", (0.0, 0.66), (0.98, 0.2), grid=((3, 4), 1), fill=(0.14, 0.55)),
        box("worktop", "top", (0.0, 0.97), (1.03, 0.16), taper=0.04),
    ),
)

CUPBOARD = Prop(
    "cabinet",
    height=(0.6, 0.7),
    aspect=(1.6, 3.0),
    paints={"wood": palette.CUPBOARDS, "knob": palette.CHROME},
    pieces=(
        box(None, "wood", (0.0, 0.5), (1.0, 1.0), shade=0.75),
        box("door panel", "wood", (0.0, 0.5), (0.98, 0.94), grid=((2, 3), 1), fill=(0.92, 1.0)),
        ellipse("knob", "knob", (0.0, 0.2), (0.98, 0.3), grid=((2, 3), 1), fill=(0.12, 0.5)),
    ),
)

STOVE = Prop(
    "stove",
    height=(0.92, 1.0),
    aspect=(0.75, 0.95),
    paints={
        "metal": palette.APPLIANCES,
        "dark": palette.DARK_METAL,
        "glass": palette.OVEN_GLASS,
        "knob": palette.CHROME + palette.DARK_METAL,
    },
    pieces=(
        shadow(1.02, height=0.12),
        box(None, "metal", (0.0, 0.5), (1.0, 1.0)),
        box("oven", "glass", (0.0, 0.34), (0.76, 0.42), corner=0.15, fade=0.2),
        box("oven", "knob", (0.0, 0.62), (0.8, 0.06)),
        ellipse("knob", "knob", (0.0, 0.77), (0.9, 0.12), grid=(4, 1), fill=(0.5, 1.0)),
        box("worktop", "metal", (0.0, 0.97), (1.02, 0.18), taper=0.08, shade=0.9),
        ellipse("burner", "dark", (0.0, 0.98), (0.92, 0.14), grid=(2, 1), fill=(0.8, 1.0)),
    ),
)

IRON_STOVE = Prop(
    "stove",
    height=(1.2, 1.5),
    aspect=(0.55, 0.7),
    paints={
        "iron": palette.DARK_METAL + palette.IRON,
        "glow": palette.of("glass", (0.96, 0.52, 0.12), (0.90, 0.38, 0.10)),
    },
    pieces=(
        shadow(1.1, height=0.1),
        box("chimney", "iron", (0.0, 1.4), (0.2, 1.6), bulge=0.25),
        box("leg", "iron", (0.0, 0.06), (1.2, 0.12), grid=(2, 1), fill=(0.16, 1.0)),
        box(None, "iron", (0.0, 0.36), (1.0, 0.6), corner=0.25, bulge=0.25),
        box("oven", "glow", (0.0, 0.38), (0.62, 0.34), corner=0.3, fade=-0.3),
        box("worktop", "iron", (0.0, 0.68), (1.1, 0.08), shade=1.4),
    ),
)

REFRIGERATOR = Prop(
    "refrigerator",
    height=(1.7, 1.95),
    aspect=(0.38, 0.46),
    paints={
        "metal": palette.APPLIANCES + palette.of("metal", (0.62, 0.20, 0.18), (0.60, 0.76, 0.74)),
        "knob": palette.CHROME,
    },
    pieces=(
        shadow(1.1, height=0.06),
        box(None, "metal", (0.0, 0.5), (1.0, 1.0), shade=0.78, corner=0.1),
        box("door panel", "metal", (0.0, 0.34), (0.94, 0.62), corner=0.1),
        box("door panel", "metal", (0.0, 0.82), (0.94, 0.28), corner=0.1),
        box("knob", "knob", (-0.34, 0.62), (0.08, 0.42), grid=(1, 2), fill=(1.0, 0.6)),
    ),
)

SINK = Prop(
    "sink",
    height=(0.42, 0.52),
    aspect=(1.4, 1.9),
    paints={"basin": palette.PORCELAIN[:2] + palette.CHROME, "tap": palette.CHROME},
    pieces=(
        box("tap", "tap", (0.0, 0.62), (0.07, 0.7)),
        box("tap", "tap", (0.08, 0.94), (0.22, 0.12)),
        box("basin", "basin", (0.0, 0.16), (1.0, 0.4), taper=0.1, corner=0.4),
        ellipse("basin", "basin", (0.0, 0.22), (0.76, 0.24), shade=0.62),
    ),
)

PLATE = Prop(
    "plate",
    height=(0.1, 0.13),
    aspect=(3.0, 3.8),
    paints={"glaze": palette.PORCELAIN},
    pieces=(
        ellipse(None, "glaze", (0.0, 0.42), (1.0, 1.0), shade=0.8),
        ellipse("border", "glaze", (0.0, 0.54), (1.0, 1.0)),
        ellipse(None, "glaze", (0.0, 0.56), (0.62, 0.56), shade=0.86),
    ),
)
