"""Scenes in rooms, as lists of what may stand where; see `outdoors`."""

from jaxdissect.scenes.drawing.props import furniture, kitchen, nature, rooms
from jaxdissect.scenes.drawing.world import Place, Scene, row

_HORIZON, _CAMERA, _BACK = (0.58, 0.64), (1.42, 1.6), (0.5, 0.6)
_AT_WALL = (0.0, 0.06)  # how near what leans on the wall of a room is


def _room(*, windows: float, curtains: float, doors: float) -> tuple[Place, ...]:
    """Build a room, with windows, curtains and doors so likely each."""
    return (
        Place(rooms.ROOM, x=(0.46, 0.54), behind=True),
        Place(rooms.WINDOW, x=(0.15, 0.5), rise=(0.95, 1.1), chance=windows, name="window"),
        Place(rooms.CURTAIN, x=(0.0, 0.0), rise=(-0.3, -0.25), chance=curtains, on="window"),
        Place(rooms.ROOM_DOOR, x=(0.55, 0.95), chance=doors),
    )


KITCHEN = Scene(
    "kitchen",
    _HORIZON,
    _CAMERA,
    _BACK,
    indoors=True,
    places=(
        *_room(windows=0.5, curtains=0.3, doors=0.15),
        Place(rooms.RUG, x=(0.3, 0.7), near=(0.4, 0.6), chance=0.12, behind=True),
        Place(kitchen.CUPBOARD, x=(0.02, 0.2), rise=(1.45, 1.55), chance=0.6, match="counter"),
        Place(kitchen.CUPBOARD, x=(0.65, 0.9), rise=(1.45, 1.55), chance=0.6, match="counter"),
        Place(rooms.PAINTING, x=(0.5, 0.8), rise=(1.4, 1.6), chance=0.15),
        Place(furniture.WALL_SHELF, x=(0.5, 0.8), rise=(1.4, 1.6), chance=0.2),
        Place(kitchen.COUNTER, x=(0.05, 0.3), near=_AT_WALL, chance=0.88, name="counter"),
        Place(
            kitchen.COUNTER,
            x=(0.65, 0.9),
            near=_AT_WALL,
            chance=0.65,
            name="second",
            match="counter",
        ),
        Place(kitchen.SINK, x=(-0.2, 0.2), rise=(0.96, 0.98), chance=0.7, on="counter"),
        Place(kitchen.PLATE, x=(-0.3, 0.3), rise=(0.98, 1.0), chance=0.35, on="second"),
        Place(kitchen.STOVE, x=(0.4, 0.6), near=(0.06, 0.1), when=(0.0, 0.76)),
        Place(
            kitchen.COUNTER,
            x=(0.4, 0.6),
            near=_AT_WALL,
            when=(0.76, 1.0),
            name="third",
            match="counter",
        ),
        Place(kitchen.SINK, x=(-0.2, 0.2), rise=(0.96, 0.98), chance=0.6, on="third"),
        Place(kitchen.REFRIGERATOR, x=(0.85, 0.98), near=(0.06, 0.1), chance=0.55),
        Place(furniture.TABLE, x=(0.2, 0.8), near=(0.4, 0.6), chance=0.35, name="table"),
        *row(Place(kitchen.PLATE, x=(-0.4, 0.4), rise=(0.95, 1.0), chance=0.55, on="table"), 2),
        Place(furniture.CHAIR, x=(0.1, 0.9), near=(0.5, 0.75), chance=0.4),
        Place(rooms.PENDANT, x=(0.2, 0.8), near=(0.1, 0.25), rise=(1.75, 1.95), chance=0.35),
        Place(furniture.POT_PLANT, x=(0.1, 0.9), near=(0.1, 0.3), chance=0.12),
        Place(nature.PERSON, x=(0.2, 0.8), near=(0.15, 0.35), chance=0.25),
    ),
)

BEDROOM = Scene(
    "bedroom",
    _HORIZON,
    _CAMERA,
    _BACK,
    indoors=True,
    places=(
        *_room(windows=0.55, curtains=0.7, doors=0.25),
        Place(rooms.RUG, x=(0.25, 0.75), near=(0.5, 0.7), chance=0.45, behind=True),
        Place(rooms.PAINTING, x=(0.4, 0.9), rise=(1.4, 1.6), chance=0.45),
        Place(rooms.MIRROR, x=(0.55, 0.95), rise=(0.9, 1.2), chance=0.4),
        Place(furniture.WALL_SHELF, x=(0.5, 0.8), rise=(1.4, 1.6), chance=0.15),
        Place(furniture.WARDROBE, x=(0.75, 0.95), near=_AT_WALL, chance=0.6),
        Place(furniture.WARDROBE, x=(0.1, 0.3), near=_AT_WALL, when=(0.76, 1.0)),
        Place(furniture.CABINET, x=(0.55, 0.75), near=(0.04, 0.1), chance=0.45, name="chest"),
        Place(rooms.TABLE_LAMP, x=(-0.3, 0.3), rise=(0.98, 1.0), chance=0.65, on="chest"),
        Place(rooms.MIRROR, x=(0.4, 0.5), rise=(0.95, 1.15), when=(0.76, 1.0)),
        Place(furniture.CABINET, x=(0.4, 0.5), near=(0.04, 0.1), when=(0.76, 1.0), name="dresser"),
        Place(rooms.TABLE_LAMP, x=(-0.4, -0.2), rise=(0.98, 1.0), chance=0.6, on="dresser"),
        Place(furniture.TELEVISION, x=(0.6, 0.9), rise=(1.1, 1.3), chance=0.08),
        Place(rooms.FLOOR_LAMP, x=(0.03, 0.97), near=(0.05, 0.15), chance=0.3),
        Place(furniture.SHELF, x=(0.02, 0.12), near=_AT_WALL, chance=0.15),
        Place(furniture.BED, x=(0.25, 0.5), near=(0.15, 0.35), when=(0.0, 0.76)),
        Place(furniture.TABLE, x=(0.6, 0.9), near=(0.1, 0.3), chance=0.12),
        Place(furniture.CHAIR, x=(0.6, 0.95), near=(0.15, 0.5), chance=0.3),
        Place(kitchen.IRON_STOVE, x=(0.85, 0.97), near=(0.03, 0.1), chance=0.06),
        Place(furniture.SOFA, x=(0.6, 0.9), near=(0.08, 0.2), chance=0.16),
        Place(kitchen.SINK, x=(0.85, 0.97), rise=(0.85, 0.95), chance=0.06),
        Place(rooms.PENDANT, x=(0.2, 0.8), near=(0.1, 0.25), rise=(1.75, 1.95), chance=0.2),
        Place(furniture.POT_PLANT, x=(0.03, 0.97), near=(0.1, 0.4), chance=0.2),
        Place(nature.PERSON, x=(0.5, 0.9), near=(0.15, 0.4), chance=0.15),
    ),
)

LIVING_ROOM = Scene(
    "living room",
    _HORIZON,
    _CAMERA,
    _BACK,
    indoors=True,
    places=(
        *_room(windows=0.5, curtains=0.6, doors=0.15),
        Place(rooms.RUG, x=(0.3, 0.7), near=(0.4, 0.6), chance=0.55, behind=True),
        Place(rooms.PAINTING, x=(0.02, 0.15), rise=(1.35, 1.6), chance=0.4),
        Place(rooms.PAINTING, x=(0.5, 0.8), rise=(1.35, 1.6), chance=0.45),
        Place(rooms.MIRROR, x=(0.6, 0.9), rise=(1.0, 1.3), chance=0.1),
        Place(furniture.SHELF, x=(0.88, 0.98), near=_AT_WALL, chance=0.4),
        Place(
            furniture.CABINET,
            x=(0.65, 0.85),
            near=(0.03, 0.08),
            height=(0.5, 0.7),
            aspect=(1.8, 2.4),
            chance=0.6,
            name="board",
        ),
        Place(furniture.TELEVISION, x=(-0.1, 0.1), rise=(1.0, 1.02), chance=0.75, on="board"),
        Place(kitchen.IRON_STOVE, x=(0.6, 0.8), near=(0.03, 0.1), chance=0.3),
        Place(rooms.FLOOR_LAMP, x=(0.03, 0.15), near=(0.08, 0.2), chance=0.5),
        Place(furniture.BED, x=(0.2, 0.8), near=(0.1, 0.2), chance=0.08),
        Place(furniture.SOFA, x=(0.2, 0.5), near=(0.12, 0.3), when=(0.0, 0.76)),
        Place(furniture.ARMCHAIR, x=(0.1, 0.3), near=(0.15, 0.4), when=(0.76, 1.0), name="chair"),
        Place(furniture.ARMCHAIR, x=(0.45, 0.6), near=(0.15, 0.4), when=(0.76, 1.0), match="chair"),
        Place(furniture.ARMCHAIR, x=(0.7, 0.95), near=(0.25, 0.55), chance=0.4),
        Place(
            furniture.TABLE,
            x=(0.3, 0.7),
            near=(0.45, 0.65),
            height=(0.42, 0.5),
            aspect=(2.2, 3.0),
            chance=0.5,
            name="table",
        ),
        Place(kitchen.PLATE, x=(-0.3, 0.3), rise=(0.95, 1.0), chance=0.2, on="table"),
        Place(furniture.POT_PLANT, x=(0.03, 0.97), near=(0.1, 0.5), chance=0.45),
        Place(rooms.PENDANT, x=(0.2, 0.8), near=(0.1, 0.25), rise=(1.75, 1.95), chance=0.15),
        Place(nature.PERSON, x=(0.1, 0.9), near=(0.2, 0.5), chance=0.3),
    ),
)

DINING_ROOM = Scene(
    "dining room",
    _HORIZON,
    _CAMERA,
    _BACK,
    indoors=True,
    places=(
        *_room(windows=0.5, curtains=0.5, doors=0.3),
        Place(rooms.RUG, x=(0.35, 0.65), near=(0.35, 0.5), chance=0.3, behind=True),
        Place(rooms.PAINTING, x=(0.5, 0.9), rise=(1.35, 1.6), chance=0.5),
        Place(rooms.MIRROR, x=(0.6, 0.9), rise=(1.0, 1.3), chance=0.15),
        Place(furniture.CABINET, x=(0.7, 0.9), near=(0.03, 0.08), chance=0.5, name="board"),
        Place(rooms.TABLE_LAMP, x=(-0.3, 0.3), rise=(0.98, 1.0), chance=0.2, on="board"),
        Place(furniture.WARDROBE, x=(0.02, 0.12), near=_AT_WALL, chance=0.15),
        Place(furniture.SHELF, x=(0.9, 0.98), near=_AT_WALL, chance=0.12),
        Place(kitchen.IRON_STOVE, x=(0.9, 0.98), near=(0.03, 0.1), chance=0.1),
        Place(kitchen.REFRIGERATOR, x=(0.02, 0.1), near=_AT_WALL, chance=0.12),
        Place(furniture.CHAIR, x=(0.25, 0.42), near=(0.12, 0.25), chance=0.6, name="chair"),
        Place(furniture.CHAIR, x=(0.58, 0.75), near=(0.12, 0.25), chance=0.6, match="chair"),
        Place(
            furniture.TABLE,
            x=(0.42, 0.58),
            near=(0.35, 0.5),
            aspect=(2.1, 2.7),
            chance=0.88,
            name="table",
        ),
        *row(Place(kitchen.PLATE, x=(-0.45, 0.45), rise=(0.94, 1.02), chance=0.55, on="table"), 3),
        Place(furniture.CHAIR, x=(0.05, 0.3), near=(0.45, 0.7), chance=0.42, match="chair"),
        Place(furniture.CHAIR, x=(0.7, 0.95), near=(0.45, 0.7), chance=0.42, match="chair"),
        Place(rooms.PENDANT, x=(0.42, 0.58), near=(0.1, 0.2), rise=(1.65, 1.85), chance=0.7),
        Place(furniture.POT_PLANT, x=(0.03, 0.97), near=(0.08, 0.3), chance=0.3),
        Place(nature.PERSON, x=(0.1, 0.9), near=(0.1, 0.3), chance=0.25),
    ),
)
