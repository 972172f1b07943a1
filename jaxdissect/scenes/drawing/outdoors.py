"""Scenes in the open air, as lists of what may stand where.

Hardly anything is certain and nothing is exclusive: cars stop on farms, ponds lie in parks, and
mountains rise behind harbors, so that no object alone decides the scene.
"""

from dataclasses import replace

from jaxdissect.scenes.drawing.props import (
    buildings,
    furniture,
    kitchen,
    landscape,
    nature,
    vehicles,
)
from jaxdissect.scenes.drawing.world import Place, Scene, row


def _far(prop, **options) -> Place:
    """Place a backdrop."""
    return Place(prop, backdrop=True, **options)


def _sky(*, clouds: float = 0.6, sun: float = 0.3) -> tuple[Place, ...]:
    """Fill the sky: with clouds and sun so likely each."""
    return (
        _far(landscape.SKY, x=(0.5, 0.5)),
        _far(landscape.SUN, x=(0.1, 0.9), rise=(0.16, 0.34), chance=sun),
        *row(_far(landscape.CLOUD, rise=(0.16, 0.36), chance=clouds), 3, jitter=0.5),
    )


def _people(number: int, chance: float, near=(0.4, 0.8), x=(0.05, 0.95)) -> tuple[Place, ...]:
    return row(Place(nature.PERSON, x=x, near=near, chance=chance), number, jitter=0.45)


STREET = Scene(
    "street",
    horizon=(0.44, 0.5),
    camera=(2.2, 2.8),
    back=(0.0, 0.0),
    indoors=False,
    places=(
        *_sky(clouds=0.45, sun=0.15),
        _far(landscape.MOUNTAIN, x=(0.2, 0.8), height=(0.14, 0.22), chance=0.08),
        *row(_far(buildings.TOWER, x=(0.2, 0.8), chance=0.6, when=(0.14, 1.0)), 3),
        _far(landscape.SIDEWALK, x=(0.5, 0.5), when=(0.0, 0.55)),
        _far(landscape.ROAD, x=(0.5, 0.5), near=(0.5, 0.6), chance=0.78, when=(0.0, 0.55)),
        _far(landscape.LAWN, x=(0.5, 0.5), when=(0.7, 1.0)),
        _far(landscape.SIDEWALK, x=(0.5, 0.5), when=(0.55, 0.7)),
        _far(landscape.ROAD_AHEAD, x=(0.44, 0.56), when=(0.55, 1.0)),
        # Frontal view: three fronts and what is before them.
        Place(buildings.HOUSE, x=(0.1, 0.2), near=(0.34, 0.38), chance=0.85, when=(0.0, 0.14)),
        Place(buildings.BUILDING, x=(0.1, 0.2), near=(0.34, 0.38), chance=0.85, when=(0.14, 0.55)),
        Place(buildings.HOUSE, x=(0.42, 0.58), near=(0.34, 0.38), chance=0.6, when=(0.0, 0.55)),
        Place(buildings.BUILDING, x=(0.78, 0.9), near=(0.34, 0.38), chance=0.85, when=(0.1, 0.55)),
        Place(buildings.HOUSE, x=(0.78, 0.9), near=(0.34, 0.38), chance=0.85, when=(0.0, 0.1)),
        *row(Place(nature.TREE, near=(0.36, 0.46), chance=0.45, when=(0.0, 0.55)), 2),
        # The view down the street: fronts on both sides, nearer ones further out.
        Place(buildings.BUILDING, x=(0.0, 0.08), near=(0.4, 0.48), chance=0.9, when=(0.55, 1.0)),
        Place(buildings.BUILDING, x=(0.2, 0.28), near=(0.22, 0.28), chance=0.7, when=(0.55, 1.0)),
        Place(buildings.BUILDING, x=(0.92, 1.0), near=(0.4, 0.48), chance=0.7, when=(0.55, 1.0)),
        Place(buildings.HOUSE, x=(0.78, 0.86), near=(0.26, 0.34), chance=0.6, when=(0.55, 1.0)),
        Place(nature.TREE, x=(0.1, 0.26), near=(0.34, 0.5), chance=0.4, when=(0.55, 1.0)),
        Place(nature.TREE, x=(0.74, 0.9), near=(0.34, 0.5), chance=0.4, when=(0.55, 1.0)),
        Place(vehicles.CAR_AHEAD, x=(0.36, 0.46), near=(0.5, 0.75), chance=0.5, when=(0.55, 1.0)),
        Place(vehicles.CAR_AHEAD, x=(0.56, 0.66), near=(0.35, 0.6), chance=0.5, when=(0.55, 1.0)),
        Place(vehicles.CAR, x=(0.1, 0.5), near=(0.58, 0.68), chance=0.5, when=(0.0, 0.55)),
        Place(vehicles.CAR, x=(0.5, 0.95), near=(0.6, 0.75), chance=0.5, when=(0.0, 0.55)),
        *row(Place(buildings.LAMPPOST, x=(0.1, 0.9), near=(0.42, 0.5), chance=0.4), 2),
        *_people(3, 0.35, near=(0.42, 0.55)),
        Place(buildings.BENCH, near=(0.42, 0.5), chance=0.12),
        Place(nature.BUSH, near=(0.4, 0.48), chance=0.2),
        Place(buildings.PARASOL, near=(0.42, 0.5), chance=0.15, name="parasol"),
        Place(furniture.PEDESTAL, near=(0.46, 0.54), chance=0.15),
        Place(furniture.CHAIR, near=(0.46, 0.54), chance=0.15),
        Place(furniture.POT_PLANT, near=(0.42, 0.48), chance=0.15),
    ),
)

PARK = Scene(
    "park",
    horizon=(0.46, 0.54),
    camera=(2.0, 2.8),
    back=(0.0, 0.0),
    indoors=False,
    places=(
        *_sky(clouds=0.5, sun=0.3),
        _far(landscape.MOUNTAIN, x=(0.1, 0.9), height=(0.1, 0.2), chance=0.22),
        *row(_far(buildings.TOWER, x=(0.1, 0.9), height=(0.1, 0.24), chance=0.3), 3),
        _far(landscape.HILL, x=(0.1, 0.9), chance=0.3),
        _far(landscape.FOREST, x=(0.4, 0.6), chance=0.6),
        _far(landscape.LAWN, x=(0.5, 0.5)),
        _far(landscape.PATH, x=(0.4, 0.6), when=(0.0, 0.5)),
        _far(landscape.TRACK, x=(0.4, 0.6), when=(0.5, 0.65)),
        _far(landscape.POND, x=(0.1, 0.9), near=(0.35, 0.6), chance=0.45),
        _far(landscape.GROUND, x=(0.5, 0.5), near=(0.68, 0.8), chance=0.25),
        Place(buildings.HOUSE, x=(0.1, 0.9), near=(0.28, 0.36), chance=0.3),
        *row(Place(nature.TREE, near=(0.3, 0.5), chance=0.6), 3),
        Place(nature.TREE, x=(0.0, 1.0), near=(0.5, 0.7), chance=0.5),
        Place(nature.CONIFER, near=(0.25, 0.45), chance=0.2),
        *row(Place(nature.BUSH, near=(0.35, 0.6), chance=0.35), 2),
        *row(Place(nature.FLOWERS, near=(0.5, 0.9), chance=0.4), 2),
        Place(nature.ROCK, near=(0.5, 0.8), chance=0.12),
        *row(Place(buildings.BENCH, near=(0.45, 0.7), chance=0.4), 2),
        Place(buildings.LAMPPOST, near=(0.35, 0.5), chance=0.4),
        Place(buildings.FENCE, near=(0.3, 0.5), chance=0.15),
        Place(furniture.TABLE, near=(0.5, 0.75), chance=0.2, name="table"),
        Place(kitchen.PLATE, x=(-0.3, 0.3), rise=(0.96, 1.0), chance=0.4, on="table"),
        Place(furniture.CHAIR, near=(0.5, 0.75), chance=0.12),
        Place(buildings.PARASOL, near=(0.4, 0.6), chance=0.12),
        Place(vehicles.ROWBOAT, near=(0.4, 0.5), chance=0.08),
        *_people(3, 0.4),
    ),
)

BEACH = Scene(
    "beach",
    horizon=(0.5, 0.58),
    camera=(2.4, 3.4),
    back=(0.0, 0.0),
    indoors=False,
    places=(
        *_sky(clouds=0.45, sun=0.45),
        *row(_far(landscape.MOUNTAIN, x=(0.0, 1.0), height=(0.1, 0.2), chance=0.2), 2),
        _far(landscape.HILL, x=(0.0, 0.2), height=(0.05, 0.1), chance=0.2),
        *row(_far(buildings.TOWER, x=(0.7, 1.0), height=(0.08, 0.18), chance=0.18), 2),
        _far(landscape.WATER, x=(0.5, 0.5), chance=0.93),
        *row(Place(vehicles.SAILBOAT, near=(0.1, 0.24), chance=0.3), 2),
        _far(landscape.SHORE, x=(0.5, 0.5), near=(0.28, 0.5), when=(0.0, 0.86)),
        _far(landscape.SCREE, x=(0.5, 0.5), near=(0.4, 0.5), when=(0.86, 1.0)),
        _far(landscape.LAWN, x=(0.5, 0.5), near=(0.78, 0.9), chance=0.25),
        Place(buildings.HOUSE, x=(0.1, 0.9), near=(0.36, 0.42), chance=0.1),
        Place(nature.PALM, x=(0.02, 0.3), near=(0.45, 0.65), chance=0.45),
        Place(nature.PALM, x=(0.6, 0.98), near=(0.45, 0.65), chance=0.4),
        *row(Place(buildings.PARASOL, x=(0.05, 0.95), near=(0.48, 0.75), chance=0.45), 2),
        Place(vehicles.ROWBOAT, near=(0.5, 0.7), chance=0.25),
        Place(buildings.FENCE, near=(0.5, 0.6), chance=0.1),
        *row(Place(nature.ROCK, near=(0.4, 0.8), chance=0.25), 2),
        Place(nature.BUSH, near=(0.5, 0.8), chance=0.12),
        Place(buildings.BENCH, near=(0.5, 0.7), chance=0.08),
        Place(buildings.PIER, x=(0.0, 0.2), near=(0.36, 0.42), chance=0.15),
        Place(furniture.CHAIR, near=(0.55, 0.8), chance=0.2),
        *_people(4, 0.4, near=(0.42, 0.85)),
    ),
)

MOUNTAIN = Scene(
    "mountain",
    horizon=(0.4, 0.48),
    camera=(2.4, 3.4),
    back=(0.0, 0.0),
    indoors=False,
    places=(
        *_sky(clouds=0.5, sun=0.25),
        _far(landscape.MOUNTAIN, x=(0.1, 0.9), height=(0.3, 0.46), chance=0.6),
        *row(_far(landscape.MOUNTAIN, height=(0.18, 0.34), chance=0.55), 2, jitter=0.5),
        _far(landscape.HILL, x=(0.1, 0.9), height=(0.08, 0.14), chance=0.45),
        _far(landscape.FOREST, x=(0.4, 0.6), chance=0.4),
        _far(landscape.MEADOW, x=(0.5, 0.5), when=(0.0, 0.78)),
        _far(landscape.SCREE, x=(0.5, 0.5), when=(0.78, 1.0)),
        _far(landscape.WATER, x=(0.5, 0.5), near=(0.02, 0.05), when=(0.3, 0.66)),
        _far(landscape.LAWN, x=(0.5, 0.5), near=(0.24, 0.32), when=(0.3, 0.5)),
        _far(landscape.SHORE, x=(0.5, 0.5), near=(0.24, 0.32), when=(0.5, 0.66)),
        _far(landscape.TRACK, x=(0.3, 0.7), chance=0.8, when=(0.0, 0.25)),
        *row(Place(nature.CONIFER, near=(0.32, 0.5), chance=0.6), 4),
        Place(nature.CONIFER, near=(0.5, 0.7), chance=0.4),
        Place(nature.TREE, near=(0.3, 0.5), chance=0.15),
        Place(buildings.HOUSE, x=(0.1, 0.9), near=(0.3, 0.36), chance=0.18),
        Place(buildings.BARN, x=(0.1, 0.9), near=(0.3, 0.34), chance=0.15),
        *row(Place(nature.ROCK, near=(0.4, 0.85), chance=0.33), 3),
        *row(Place(nature.BUSH, near=(0.4, 0.8), chance=0.2), 2),
        Place(vehicles.ROWBOAT, near=(0.2, 0.26), chance=0.5, when=(0.3, 0.66)),
        Place(nature.FLOWERS, near=(0.6, 0.9), chance=0.2),
        Place(buildings.FENCE, near=(0.4, 0.55), chance=0.12),
        Place(nature.COW, near=(0.45, 0.7), chance=0.25),
        Place(buildings.BENCH, near=(0.5, 0.65), chance=0.1),
        *_people(2, 0.18, near=(0.5, 0.75)),
    ),
)

HARBOR = Scene(
    "harbor",
    horizon=(0.5, 0.58),
    camera=(3.0, 4.2),
    back=(0.0, 0.0),
    indoors=False,
    places=(
        *_sky(clouds=0.5, sun=0.25),
        _far(landscape.MOUNTAIN, x=(0.1, 0.9), height=(0.12, 0.24), chance=0.5),
        _far(landscape.HILL, x=(0.2, 0.8), height=(0.06, 0.12), chance=0.35),
        *row(_far(buildings.TOWER, height=(0.08, 0.22), chance=0.35), 4),
        _far(landscape.FOREST, x=(0.3, 0.7), height=(0.03, 0.06), chance=0.25),
        _far(landscape.WATER, x=(0.5, 0.5)),
        Place(buildings.EMBANKMENT, x=(0.0, 0.25), near=(0.2, 0.24), chance=0.45, name="left"),
        Place(buildings.HOUSE, x=(-0.2, 0.2), rise=(0.85, 0.95), chance=0.8, on="left"),
        Place(buildings.EMBANKMENT, x=(0.8, 1.0), near=(0.18, 0.22), chance=0.5, name="right"),
        Place(buildings.BUILDING, x=(-0.25, 0.2), rise=(0.85, 0.95), chance=0.8, on="right"),
        *row(Place(vehicles.SAILBOAT, near=(0.22, 0.42), chance=0.34), 2),
        *row(Place(vehicles.FISHING_BOAT, near=(0.36, 0.6), chance=0.33), 2),
        Place(vehicles.ROWBOAT, near=(0.5, 0.7), chance=0.22),
        Place(buildings.PIER, x=(0.0, 0.3), near=(0.4, 0.55), chance=0.3),
        Place(buildings.PIER, x=(0.7, 1.0), near=(0.5, 0.7), chance=0.3),
        _far(landscape.QUAY, x=(0.5, 0.5), near=(0.74, 0.84), when=(0.0, 0.4)),
        _far(landscape.SHORE, x=(0.5, 0.5), near=(0.74, 0.84), when=(0.5, 0.72)),
        _far(landscape.SIDEWALK, x=(0.5, 0.5), near=(0.74, 0.8), when=(0.72, 0.86)),
        _far(landscape.ROAD, x=(0.5, 0.5), near=(0.8, 0.86), when=(0.72, 0.86)),
        _far(landscape.LAWN, x=(0.5, 0.5), near=(0.74, 0.84), when=(0.4, 0.5)),
        Place(nature.ROCK, near=(0.72, 0.9), chance=0.2, when=(0.5, 1.0)),
        Place(buildings.LAMPPOST, near=(0.8, 0.86), chance=0.3, when=(0.0, 0.86)),
        Place(buildings.BENCH, near=(0.84, 0.9), chance=0.12, when=(0.0, 0.86)),
        Place(vehicles.CAR, x=(0.2, 0.8), near=(0.86, 0.92), chance=0.15, when=(0.0, 0.5)),
        *(replace(place, when=(0.0, 0.86)) for place in _people(2, 0.3, near=(0.82, 0.92))),
    ),
)

FARM = Scene(
    "farm",
    horizon=(0.46, 0.54),
    camera=(2.2, 3.0),
    back=(0.0, 0.0),
    indoors=False,
    places=(
        *_sky(clouds=0.5, sun=0.3),
        _far(landscape.MOUNTAIN, x=(0.1, 0.9), height=(0.12, 0.24), chance=0.5),
        _far(landscape.HILL, x=(0.1, 0.9), chance=0.45),
        _far(landscape.FOREST, x=(0.4, 0.6), height=(0.03, 0.07), chance=0.35),
        *row(_far(buildings.TOWER, x=(0.1, 0.9), height=(0.05, 0.12), chance=0.06), 2),
        _far(landscape.MEADOW, x=(0.5, 0.5)),
        _far(landscape.GROUND, x=(0.5, 0.5), near=(0.5, 0.7), chance=0.25),
        _far(landscape.TRACK, x=(0.3, 0.7), chance=0.5),
        _far(landscape.POND, x=(0.1, 0.9), near=(0.45, 0.6), chance=0.3),
        Place(buildings.BARN, x=(0.08, 0.4), near=(0.3, 0.38), chance=0.72),
        Place(buildings.HOUSE, x=(0.62, 0.95), near=(0.28, 0.36), chance=0.55),
        *row(Place(nature.TREE, near=(0.26, 0.42), chance=0.35), 3),
        Place(nature.CONIFER, near=(0.25, 0.35), chance=0.1),
        *row(Place(buildings.FENCE, near=(0.42, 0.55), chance=0.5), 2),
        *row(Place(nature.COW, near=(0.5, 0.8), chance=0.36), 3),
        Place(nature.BUSH, near=(0.4, 0.7), chance=0.3),
        Place(nature.FLOWERS, near=(0.6, 0.9), chance=0.25),
        Place(nature.ROCK, near=(0.5, 0.8), chance=0.12),
        Place(vehicles.CAR, x=(0.2, 0.8), near=(0.42, 0.55), chance=0.2),
        Place(buildings.LAMPPOST, near=(0.35, 0.42), chance=0.1),
        *_people(2, 0.3, near=(0.45, 0.7)),
    ),
)
