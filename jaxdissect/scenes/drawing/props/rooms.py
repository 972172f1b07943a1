"""Props that make a room: walls with floor and ceiling, what hangs there, and lamps."""

from jaxdissect.scenes.drawing import palette
from jaxdissect.scenes.drawing.world import Prop, box, ellipse, shadow

ROOM = Prop(
    "wall",
    height=(2.5, 2.8),
    aspect=(1.0, 1.0),
    paints={
        "wall": palette.WALLS,
        "floor": palette.FLOORS,
        "ceiling": palette.CEILINGS,
        "trim": palette.TRIM,
    },
    pieces=(
        box(None, "wall", (0.0, 0.5), (9.0, 1.2), fade=0.05),
        box(None, "floor", (0.0, -1.5), (9.0, 3.0), object="floor", plane=True),
        box(None, "ceiling", (0.0, 2.0), (9.0, 2.0), object="ceiling", plane=True),
        box("border", "trim", (0.0, 0.03), (9.0, 0.05)),
        box(
            None,
            "wall",
            (-0.96, 0.5),
            (2.6, 0.5),
            angle=-1.5708,
            taper=0.58,
            shade=0.82,
            when=(0.5, 1.0),
        ),
    ),
)

WINDOW = Prop(
    "window",
    height=(1.1, 1.4),
    aspect=(0.8, 1.2),
    paints={"trim": palette.TRIM, "glass": palette.DAYLIGHT, "leaves": palette.LEAVES[:4]},
    pieces=(
        box("frame", "trim", (0.0, 0.5), (1.0, 1.0)),
        box("pane", "glass", (0.0, 0.5), (0.84, 0.84), fade=0.1),
        ellipse(
            "crown", "leaves", (0.15, 0.2), (0.5, 0.3), object="tree", warp=0.15, when=(0.6, 1.0)
        ),
        box("frame", "trim", (0.0, 0.5), (0.07, 0.9)),
        box("frame", "trim", (0.0, 0.56), (0.9, 0.06)),
        box("frame", "trim", (0.0, 0.01), (1.14, 0.09), shade=0.9),
    ),
)

CURTAIN = Prop(
    "curtain",
    height=(1.7, 2.0),
    aspect=(0.9, 1.2),
    paints={"cloth": palette.DRAPES, "rod": palette.IRON + palette.FRAMES[:2]},
    pieces=(
        box(
            None,
            "cloth",
            (0.0, 0.47),
            (1.2, 0.94),
            grid=(2, 1),
            fill=(0.42, 1.0),
            ribs=2.0,
            taper=-0.1,
        ),
        box("rod", "rod", (0.0, 0.96), (1.3, 0.045)),
    ),
)

ROOM_DOOR = Prop(
    "door",
    height=(2.0, 2.15),
    aspect=(0.42, 0.48),
    paints={
        "trim": palette.TRIM,
        "door": palette.DOORS,
        "knob": palette.CHROME,
        "glass": palette.DAYLIGHT,
    },
    pieces=(
        box("frame", "trim", (0.0, 0.515), (1.16, 1.03)),
        box("door panel", "door", (0.0, 0.49), (0.94, 0.98)),
        box(
            "door panel",
            "door",
            (0.0, 0.49),
            (0.86, 0.9),
            grid=(1, 2),
            fill=(0.7, 0.78),
            shade=0.85,
            when=(0.0, 0.6),
        ),
        box("pane", "glass", (0.0, 0.7), (0.6, 0.4), when=(0.6, 1.0)),
        ellipse("knob", "knob", (0.36, 0.46), (0.16, 0.07)),
    ),
)

PAINTING = Prop(
    "painting",
    height=(0.55, 0.95),
    aspect=(0.8, 1.5),
    paints={"frame": palette.FRAMES, "canvas": palette.CANVASES, "brush": palette.BRUSHWORK},
    pieces=(
        box("frame", "frame", (0.0, 0.5), (1.0, 1.0)),
        box("canvas", "canvas", (0.0, 0.5), (0.78, 0.78)),
        box("canvas", "brush", (0.0, 0.26), (0.78, 0.3), when=(0.0, 0.6)),
        ellipse("canvas", "brush", (0.05, 0.52), (0.4, 0.4), warp=0.15, when=(0.4, 1.0)),
    ),
)

MIRROR = Prop(
    "mirror",
    height=(0.8, 1.2),
    aspect=(0.6, 0.8),
    paints={"frame": palette.FRAMES, "glass": palette.MIRRORS},
    pieces=(
        box("frame", "frame", (0.0, 0.5), (1.0, 1.0), corner=0.5),
        box("pane", "glass", (0.0, 0.5), (0.8, 0.84), corner=0.5, bulge=0.25),
    ),
)

RUG = Prop(
    "rug",
    height=(0.3, 0.55),
    aspect=(5.0, 6.5),
    paints={"cloth": palette.RUGS, "border": palette.RUGS},
    pieces=(
        box("border", "border", (0.0, 0.5), (1.0, 1.0), taper=0.16, plane=True),
        box(None, "cloth", (0.0, 0.5), (0.86, 0.7), taper=0.13, plane=True),
    ),
)

FLOOR_LAMP = Prop(
    "lamp",
    height=(1.5, 1.8),
    aspect=(0.28, 0.36),
    paints={"shade": palette.SHADES, "base": palette.IRON + palette.FRAMES},
    pieces=(
        shadow(0.8, height=0.05),
        box("lamp base", "base", (0.0, 0.4), (0.1, 0.8)),
        ellipse("lamp base", "base", (0.0, 0.02), (0.6, 0.06)),
        box("lampshade", "shade", (0.0, 0.86), (1.0, 0.28), taper=0.4, fade=-0.1),
    ),
)

TABLE_LAMP = Prop(
    "lamp",
    height=(0.5, 0.65),
    aspect=(0.62, 0.78),
    paints={"shade": palette.SHADES, "base": palette.POTS + palette.CHROME},
    pieces=(
        ellipse("lamp base", "base", (0.0, 0.2), (0.42, 0.42), bulge=0.25),
        box("lamp base", "base", (0.0, 0.45), (0.12, 0.2)),
        box("lampshade", "shade", (0.0, 0.76), (1.0, 0.5), taper=0.38, fade=-0.1),
    ),
)

PENDANT = Prop(
    "lamp",
    height=(0.75, 1.0),
    aspect=(0.55, 0.8),
    paints={
        "shade": palette.SHADES + palette.of("metal", palette.RED, palette.BLACK),
        "cord": palette.DARK_METAL,
    },
    pieces=(
        box("lamp base", "cord", (0.0, 0.9), (0.04, 1.2)),
        box("lampshade", "shade", (0.0, 0.2), (1.0, 0.4), taper=0.65),
    ),
)
