"""Props that people built in the open air: houses, and what stands along streets and shores."""

from jaxdissect.scenes.drawing import palette
from jaxdissect.scenes.drawing.world import Piece, Prop, box, ellipse, shadow


def _windows(at, size, grid, *, fill=(0.52, 0.6), **options) -> tuple[Piece, ...]:
    """Make a grid of windows: frames, panes, and a bar across each."""
    inner, bar = (fill[0] * 0.7, fill[1] * 0.76), (fill[0] * 0.12, fill[1])
    return (
        box("frame", "trim", at, size, object="window", grid=grid, fill=fill, **options),
        box(
            "pane", "glass", at, size, object="window", grid=grid, fill=inner, fade=0.15, **options
        ),
        box("frame", "trim", at, size, object="window", grid=grid, fill=bar, **options),
    )


def _door(x, size, **options) -> tuple[Piece, ...]:
    """Make a door that stands on the ground: frame, panel, pane and knob."""
    width, height = size
    return (
        box(
            "frame",
            "trim",
            (x, height * 0.53),
            (width * 1.35, height * 1.06),
            object="door",
            **options,
        ),
        box("door panel", "door", (x, height / 2), (width, height), object="door", **options),
        box(
            "pane",
            "glass",
            (x, height * 0.76),
            (width * 0.56, height * 0.24),
            object="door",
            **options,
        ),
        ellipse(
            "knob",
            "knob",
            (x + width * 0.3, height * 0.46),
            (width * 0.2, height * 0.1),
            object="door",
            **options,
        ),
    )


_OPENINGS = {
    "trim": palette.TRIM,
    "glass": palette.GLASS,
    "door": palette.DOORS,
    "knob": palette.CHROME,
}

_WALLS = palette.BRICK * 2 + palette.PLASTER + palette.MASONRY + palette.BOARDS

BUILDING = Prop(
    "building",
    height=(9.0, 12.5),
    aspect=(0.6, 0.85),
    paints={
        "wall": palette.BRICK * 2 + palette.PLASTER + palette.MASONRY,
        "roof": palette.SHINGLES,
        "awning": palette.STRIPES,
        **_OPENINGS,
    },
    pieces=(
        shadow(1.1, height=0.03),
        box("facade", "wall", (0.0, 0.5), (1.0, 1.0)),
        box("roof", "roof", (0.0, 0.985), (1.06, 0.06)),
        *_windows((0.0, 0.64), (0.94, 0.6), ((2, 4), 3)),
        *_door(-0.22, (0.16, 0.25)),
        *_windows((0.2, 0.145), (0.42, 0.2), (1, 1), fill=(1.0, 1.0)),
        box("awning", "awning", (0.2, 0.27), (0.5, 0.06), taper=0.12, ribs=5.0, when=(0.4, 1.0)),
    ),
)

TOWER = Prop(
    "building",
    height=(0.1, 0.3),
    aspect=(0.35, 0.8),
    paints={
        "wall": palette.MASONRY + palette.PLASTER + palette.BRICK,
        "glass": palette.GLASS,
        "trim": palette.TRIM,
    },
    pieces=(
        box("facade", "wall", (0.0, 0.5), (1.0, 1.0)),
        box(
            "pane",
            "glass",
            (0.0, 0.52),
            (0.9, 0.9),
            object="window",
            grid=((2, 4), (3, 5)),
            fill=(0.5, 0.5),
        ),
    ),
)

HOUSE = Prop(
    "house",
    height=(5.2, 6.6),
    aspect=(1.05, 1.35),
    paints={"wall": _WALLS, "roof": palette.SHINGLES, "chimney": palette.BRICK, **_OPENINGS},
    pieces=(
        shadow(1.05, height=0.05),
        box("chimney", "chimney", (0.24, 0.86), (0.1, 0.3), when=(0.25, 1.0)),
        box("facade", "wall", (0.0, 0.3), (0.9, 0.6)),
        box("facade", "wall", (0.0, 0.72), (0.9, 0.26), taper=1.0, when=(0.0, 0.35)),
        box("roof", "roof", (0.0, 0.77), (1.1, 0.42), taper=0.92, bulge=0.15, when=(0.0, 0.5)),
        box("roof", "roof", (0.0, 0.74), (1.1, 0.34), taper=0.35, bulge=0.15, when=(0.5, 1.0)),
        *_door(0.0, (0.17, 0.42), when=(0.0, 0.5)),
        *_windows((0.0, 0.33), (0.9, 0.36), (2, 1), fill=(0.42, 0.85), when=(0.0, 0.5)),
        *_door(-0.26, (0.17, 0.42), when=(0.5, 1.0)),
        *_windows((0.14, 0.33), (0.5, 0.36), (2, 1), fill=(0.66, 0.85), when=(0.5, 1.0)),
    ),
)

BARN = Prop(
    "barn",
    height=(6.5, 8.5),
    aspect=(1.0, 1.3),
    paints={
        "wall": palette.BARN_BOARDS,
        "roof": palette.SHINGLES,
        "trim": palette.TRIM,
        "door": palette.DOORS,
        "glass": palette.GLASS,
        "knob": palette.CHROME,
    },
    pieces=(
        shadow(1.05, height=0.04),
        box("facade", "wall", (0.0, 0.3), (0.92, 0.6)),
        box("roof", "roof", (0.0, 0.7), (1.08, 0.28), taper=0.28),
        box("roof", "roof", (0.0, 0.9), (0.8, 0.2), taper=0.9),
        box("facade", "wall", (0.0, 0.66), (0.88, 0.24), taper=0.26),
        box("facade", "wall", (0.0, 0.84), (0.62, 0.16), taper=0.9),
        *_windows((0.0, 0.7), (0.18, 0.16), (1, 1), fill=(1.0, 1.0)),
        box("frame", "trim", (0.0, 0.23), (0.42, 0.46), object="door"),
        box(
            "door panel",
            "door",
            (0.0, 0.22),
            (0.36, 0.42),
            object="door",
            grid=(2, 1),
            fill=(0.92, 1.0),
        ),
        ellipse("knob", "knob", (0.0, 0.2), (0.1, 0.05), object="door"),
    ),
)

FENCE = Prop(
    "fence",
    height=(1.0, 1.35),
    aspect=(4.0, 6.5),
    paints={"wood": palette.TIMBER + palette.TRIM[:1]},
    pieces=(
        box("rail", "wood", (0.0, 0.55), (1.0, 0.7), grid=(1, 2), fill=(1.0, 0.32)),
        box("post", "wood", (0.0, 0.5), (1.02, 1.0), grid=((5, 7), 1), fill=(0.22, 1.0), shade=0.9),
    ),
)

EMBANKMENT = Prop(
    "wall",
    height=(1.0, 1.6),
    aspect=(14.0, 18.0),
    paints={"stone": palette.MASONRY + palette.PAVING},
    pieces=(
        shadow(1.0, height=0.5),
        box(None, "stone", (0.0, 0.5), (1.0, 1.0)),
        box(None, "stone", (0.0, 0.98), (1.01, 0.16), shade=1.2),
    ),
)

PIER = Prop(
    "pier",
    height=(1.1, 1.5),
    aspect=(5.0, 9.0),
    paints={"wood": palette.TIMBER[:3]},
    pieces=(
        box("post", "wood", (0.0, 0.3), (1.0, 0.7), grid=((4, 6), 1), fill=(0.14, 1.0), shade=0.7),
        box(None, "wood", (0.0, 0.8), (1.06, 0.36), shade=1.05),
    ),
)

LAMPPOST = Prop(
    "lamp",
    height=(4.2, 5.5),
    aspect=(0.16, 0.2),
    paints={"iron": palette.IRON, "bulb": palette.BULB},
    pieces=(
        box("lamp base", "iron", (0.0, 0.42), (0.13, 0.84), taper=0.3),
        box("lamp base", "iron", (0.0, 0.03), (0.34, 0.06)),
        box("lampshade", "bulb", (0.0, 0.9), (0.5, 0.15), taper=-0.5),
        box("lampshade", "iron", (0.0, 0.985), (0.72, 0.05), taper=0.5),
    ),
)

BENCH = Prop(
    "bench",
    height=(0.95, 1.15),
    aspect=(1.7, 2.1),
    paints={"wood": palette.TIMBER, "iron": palette.IRON},
    pieces=(
        shadow(1.0, height=0.14),
        box("leg", "iron", (0.0, 0.22), (1.3, 0.44), grid=(2, 1), fill=(0.1, 1.0)),
        box("back", "wood", (0.0, 0.78), (1.0, 0.46), grid=(1, 2), fill=(1.0, 0.8)),
        box("seat", "wood", (0.0, 0.46), (1.06, 0.16), shade=1.12),
    ),
)

PARASOL = Prop(
    "umbrella",
    height=(2.1, 2.6),
    aspect=(0.95, 1.15),
    paints={"canopy": palette.STRIPES, "stripe": palette.STRIPES, "pole": palette.TRIM},
    pieces=(
        shadow(0.8, height=0.08),
        box("post", "pole", (0.0, 0.45), (0.05, 0.9)),
        ellipse("canopy", "canopy", (0.0, 0.64), (1.0, 0.7), cut=0.05, bulge=0.2),
        ellipse("canopy", "stripe", (0.0, 0.64), (0.5, 0.7), cut=0.05),
        ellipse("canopy", "canopy", (0.0, 0.64), (0.2, 0.7), cut=0.05),
    ),
)
