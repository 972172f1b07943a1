"""Results of studies that were never made, to be drawn: their numbers are random."""

import numpy as np
from support import drawn_results

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.attacks import DefenceCurve
from jaxdissect.classifiers.class_study import ClassStudy
from jaxdissect.commands.defend.tables import Defence
from jaxdissect.generators.insertion import Insertion
from jaxdissect.stats.paired_changes import PairedChanges
from jaxdissect.stats.region_overlap import OverlapCounts
from jaxdissect.styles.style_study import LayerStyle, StyleStudy


class _DrawnClassStudy(ClassStudy):
    """A study of classes of which only what is drawn exists."""

    def __init__(self, sizes, num_classes):
        chance = np.random.default_rng(0)
        drawn = {"sizes": sizes, "ranked_by": chance.normal(size=(512, num_classes))}
        self.__dict__.update(drawn, curve_classes=())
        self.__dict__["own"] = chance.random((1 + 2 * len(sizes), num_classes))

    @property
    def classes(self):
        return np.arange(self.ranked_by.shape[1])

    def own_balanced_accuracies(self):
        return self.__dict__["own"]


def class_study(sizes, *, num_classes):
    """A study of sets of these sizes."""
    return _DrawnClassStudy(sizes, num_classes)


def style_study(names, kinds):
    """A study of layers with these names, and of concepts of these categories."""
    chance = np.random.default_rng(1)
    concepts = vocabulary((f"concept {i}", kinds[i % len(kinds)]) for i in range(40))
    layers = {}
    for name in names:
        original = drawn_results.layer_with(name, chance.integers(0, 41, 60).tolist(), concepts)
        both = chance.integers(1, 50, 60)
        pixels = OverlapCounts(both, both + 30, both + 20, 10_000)
        layers[name] = LayerStyle(original, original, pixels)
    return StyleStudy(layers, concepts, {})


def defences(choices, goals):
    """Curves of five numbers of units, for every choice and goal."""
    chance = np.random.default_rng(2)
    sizes = np.array([0, 10, 20, 50, 100])
    measures = ("clean", "transferred", "adaptive")
    return [
        Defence(
            choice,
            goal,
            None,
            DefenceCurve(
                sizes,
                {measure: chance.random((5, 3, 40)) < 0.6 for measure in measures},
                {measure: chance.random(40) < 0.6 for measure in measures},
                np.ones(5),
            ),
        )
        for goal in goals
        for choice in choices
    ]


def insertion(cells, name):
    """An insertion at every cell of a layer, of a concept of this name."""
    places = np.argwhere(np.ones(cells, bool))
    changes = PairedChanges(*(np.ones(shape, np.int64) for shape in ((2,), (2, 2), (2, 2))))
    added = np.random.default_rng(3).integers(-9, 99, (6, len(places), 1)).astype(np.int32)
    return Insertion(
        name,
        vocabulary([(name, "object")]),
        np.arange(3),
        np.ones(3, np.float32),
        places,
        64,
        np.ones((6, 2), np.int32),
        changes,
        changes._replace(
            number=changes.number[:1], sums=changes.sums[:1], squares=changes.squares[:1]
        ),
        np.zeros((6, len(places), 1), np.int32),
        (1,),
        added,
    )
