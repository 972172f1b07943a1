"""The concepts of the small world, and their ids in its label maps.

One vocabulary serves all channels of a label map, so an id means the same wherever it stands.
"""

from jaxdissect.arrays.colors import COLOR_NAMES
from jaxdissect.arrays.concepts import Vocabulary, vocabulary

CHANNELS = ("object", "part", "material", "color")
"""What each of the K = 4 channels of a label map names."""

OBJECTS = (
    *("sky", "cloud", "sun", "mountain", "hill", "tree", "bush", "grass", "flower", "rock"),
    *("water", "sand", "building", "house", "barn", "door", "window", "fence", "road", "sidewalk"),
    *("pier", "car", "boat", "person", "cow", "bench", "umbrella", "lamp"),
    *("wall", "floor", "ceiling", "rug", "table", "chair", "sofa", "bed", "cabinet", "stove"),
    *("refrigerator", "sink", "plate", "painting", "mirror", "curtain", "plant", "shelf"),
    "television",
)

PARTS = (
    *("trunk", "crown", "bloom", "peak", "facade", "roof", "chimney", "awning"),
    *("door panel", "pane", "frame", "knob", "post", "rail", "car body", "car window", "wheel"),
    *("headlight", "hull", "sail", "mast", "cabin", "head", "hair", "torso", "arm", "leg"),
    *("seat", "back", "cushion", "tabletop", "headboard", "mattress", "blanket", "pillow"),
    *("drawer", "worktop", "burner", "oven", "tap", "basin", "canopy", "lampshade", "lamp base"),
    *("canvas", "rod", "pot", "board", "book", "screen", "border"),
)

MATERIALS = (
    *("wood", "brick", "stone", "plaster", "shingle", "metal", "glass", "ceramic", "fabric"),
    *("paper", "rubber", "foliage", "grass", "petal", "water", "sand", "earth", "asphalt"),
    *("snow", "vapor", "skin", "fur"),
)

CONCEPTS: tuple[tuple[str, str], ...] = tuple(
    (name, category)
    for category, names in zip(CHANNELS, (OBJECTS, PARTS, MATERIALS, COLOR_NAMES), strict=True)
    for name in names
)
"""(name, category) of the label ids from 1 on."""


def scene_vocabulary() -> Vocabulary:
    """Number the concepts: objects, parts, materials, colors."""
    return vocabulary(CONCEPTS)


def label(name: str | None, category: str) -> int:
    """Return the id of a concept, 0 for None.

    Raises:
        ValueError: If there is no such concept.
    """
    return 0 if name is None else 1 + CONCEPTS.index((name, category))


FIRST_COLOR = label(COLOR_NAMES[0], "color")
"""The id of the first color; the others follow in the order of `COLOR_NAMES`."""
