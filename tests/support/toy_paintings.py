"""Paintings for tests, on the images of the small generator."""

from support.toy_generators import SIZES

from jaxdissect.painting import Action, Paint, PaintedStroke, Painting, Stroke

DOTS = {"warm": Paint((1, 4, 7), (2.0, -1.0, 3.5)), "cold": Paint((4, 0), (5.0, 1.5))}


def dab(x, y, *, brush=1.0):
    return Stroke(((float(x), float(y)),), brush)


def painting(*strokes, layer="layer2", **changes):
    made = {
        "layer": layer,
        "image_size": (8, 8),
        "latent_size": SIZES[0],
        "seed": 3,
        "example": 2,
        "paints": DOTS,
        "strokes": strokes,
    }
    return Painting(**made | changes)


def drawn(x, y, paint="warm", *, strength=1.0, brush=1.0, action: Action = "draw"):
    return PaintedStroke(dab(x, y, brush=brush), action, paint, strength)
