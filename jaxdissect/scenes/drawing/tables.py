"""Turn the props and scenes into arrays, once, when the module is imported.

Letters of shapes: N scenes, S places of a scene, M pieces of a scene, P props, Q paints of a prop,
W swatches of a paint. Scenes with fewer places or pieces are filled up with some that are never
there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxdissect.scenes.concepts import MATERIALS, label
from jaxdissect.scenes.drawing import indoors, outdoors
from jaxdissect.scenes.drawing.world import Piece, Prop, Scene

LAYOUTS: tuple[Scene, ...] = (
    outdoors.STREET,
    outdoors.PARK,
    outdoors.BEACH,
    outdoors.MOUNTAIN,
    outdoors.HARBOR,
    outdoors.FARM,
    indoors.KITCHEN,
    indoors.BEDROOM,
    indoors.LIVING_ROOM,
    indoors.DINING_ROOM,
)

Row = dict[str, float | int | bool | tuple[float, float]]
Table = dict[str, np.ndarray]


class Swatches(NamedTuple):
    """The swatches of all props.

    Attributes:
        number: [P, Q] int32, how many a paint has.
        material: [P, Q, W] int32, rows of `materials.TEXTURE_TABLE`.
        color: [P, Q, W, 3] float32, sRGB.
        by_mood: [P] bool, whether the mood of the image chooses among them.
    """

    number: np.ndarray
    material: np.ndarray
    color: np.ndarray
    by_mood: np.ndarray


def _distinct_props() -> list[Prop]:
    """List every prop of the scenes once; two of equal content are two."""
    props = {id(place.prop): place.prop for scene in LAYOUTS for place in scene.places}
    return list(props.values())


def _swatches(props: Sequence[Prop]) -> Swatches:
    shape = (
        len(props),
        max(len(prop.paints) for prop in props),
        max(len(swatches) for prop in props for swatches in prop.paints.values()),
    )
    number, material = np.ones(shape[:2], np.int32), np.zeros(shape, np.int32)
    color = np.zeros((*shape, 3), np.float32)
    for i, prop in enumerate(props):
        for j, swatches in enumerate(prop.paints.values()):
            number[i, j] = len(swatches)
            for k, swatch in enumerate(swatches):
                named = swatch.material is not None
                material[i, j, k] = 1 + MATERIALS.index(swatch.material) if named else 0
                color[i, j, k] = swatch.color
    return Swatches(number, material, color, np.array([prop.by_mood for prop in props]))


def _place_rows(scene: Scene, props: Sequence[Prop]) -> list[Row]:
    """Write the places of a scene as numbers; ranges are (low, high)."""
    names = {place.name: i for i, place in enumerate(scene.places)}
    positions = {id(prop): i for i, prop in enumerate(props)}
    return [
        {
            "prop": positions[id(place.prop)],
            "parent": i if place.on is None else names[place.on],
            "match": i if place.match is None else names[place.match],
            "x": place.x,
            "near": place.near,
            "rise": place.rise,
            "height": place.height or place.prop.height,
            "aspect": place.aspect or place.prop.aspect,
            "when": place.when,
            "chance": place.chance,
            "behind": place.behind or place.backdrop,
            "backdrop": place.backdrop,
        }
        for i, place in enumerate(scene.places)
    ]


def _piece_row(piece: Piece, prop: Prop, place: int) -> Row:
    """Write a piece as numbers."""
    words = ("part", "paint", "object", "grid")
    columns, rows = (
        (float(cells), float(cells)) if isinstance(cells, int) else cells for cells in piece.grid
    )
    paint = -1 if piece.paint is None else list(prop.paints).index(piece.paint)
    return {name: value for name, value in vars(piece).items() if name not in words} | {
        "place": place,
        "object": 0 if paint < 0 else label(piece.object or prop.object, "object"),
        "part": label(piece.part, "part"),
        "paint": paint,
        "columns": columns,
        "rows": rows,
    }


def _stack(scenes: Sequence[list[Row]], absent: Row) -> Table:
    """Turn the rows of every scene into columns [N, rows, ...]; `absent` marks rows filled in."""
    length = max(map(len, scenes))
    filled = [rows + [rows[-1] | absent] * (length - len(rows)) for rows in scenes]
    columns = {
        name: np.array([[row[name] for row in rows] for rows in filled]) for name in filled[0][0]
    }
    kinds = {"f": np.float32, "i": np.int32, "b": np.bool_}
    return {name: column.astype(kinds[column.dtype.kind]) for name, column in columns.items()}


PROPS = _distinct_props()

SWATCHES = _swatches(PROPS)

PLACES: Table = _stack([_place_rows(scene, PROPS) for scene in LAYOUTS], {"chance": -1.0})
"""Places of the scenes by the names of `world.Place`, each [N, S, ...]."""

PIECES: Table = _stack(
    [
        [
            _piece_row(piece, place.prop, i)
            for i, place in enumerate(scene.places)
            for piece in place.prop.pieces
        ]
        for scene in LAYOUTS
    ],
    {"when": (2.0, 2.0)},
)
"""Pieces of the scenes by the names of `world.Piece`, each [N, M, ...]."""

VIEWS = np.array([(scene.horizon, scene.camera, scene.back) for scene in LAYOUTS], np.float32)
"""[N, 3, 2]: ranges (low, high) of the horizon, the camera's height, and the back."""

INDOORS = np.array([scene.indoors for scene in LAYOUTS])
"""[N]: whether the light is that of a room."""
