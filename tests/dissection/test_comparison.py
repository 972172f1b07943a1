"""Two dissections side by side: what is counted, matched, stated and refused."""

from dataclasses import replace

import numpy as np
import pytest
from support.dissected import LAYERS, PRESET, dissected
from support.drawn_results import dissection_with, layer_with

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.comparison import compare
from jaxdissect.dissection.presets import annotated_pixels
from jaxdissect.dissection.result import Dissection

MANY = vocabulary((f"thing {i}", ("object", "part", "color")[i % 3]) for i in range(12))
OTHERS = vocabulary((f"thing {i}", ("object", "part", "color")[i % 3]) for i in range(15, 2, -1))


def random_result(seed, concepts=MANY, layers=(("first", 20), ("second", 9))):
    """Results with equal IoUs among others, and units without any."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, units in layers:
        layer = layer_with(name, [0] * units, concepts)
        iou = rng.choice([0.0, 0.03, 0.1, 0.2, 0.3], layer.iou.shape)
        iou[0], iou[:, 0] = 0, 0
        top = rng.integers(0, 9, (units, 1))
        found[name] = replace(layer, iou=iou, top_examples=top)
    return Dissection(found, concepts)


def restated(a, b, limit):
    """All that is compared, by loops over single units and concepts."""

    def concepts_of(result):
        names = zip(result.vocabulary.names[1:], result.vocabulary.categories[1:], strict=True)
        return dict(zip(names, range(1, len(result.vocabulary)), strict=True))

    ids = concepts_of(a), concepts_of(b)
    shared = [concept for concept in ids[0] if concept in ids[1]]
    shared.sort(key=lambda concept: ("object", "part", "color").index(concept[1]))
    sides = []
    for result, own in zip((a, b), ids, strict=True):
        detectors = {}
        for name, layer in result.layers.items():
            for unit in range(layer.num_units):
                best, iou = None, 0.0
                for concept in sorted(shared, key=own.__getitem__):
                    if layer.iou[own[concept], unit] > iou:
                        best, iou = concept, float(layer.iou[own[concept], unit])
                if iou > limit:
                    detectors.setdefault(best, []).append((name, unit, iou))
        for units in detectors.values():
            units.sort(key=lambda unit: -unit[2])
        sides.append(detectors)
    pairs = []
    for concept in shared:
        one, two = sides[0].get(concept, []), sides[1].get(concept, [])
        pairs += [(one[i], two[i], concept) for i in range(min(len(one), len(two)))]
    return shared, sides, pairs


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("concepts", [MANY, OTHERS], ids=["same", "other"])
def test_a_comparison_is_what_loops_over_units_find(seed, concepts):
    a, b = random_result(seed), random_result(seed + 100, concepts, layers=(("third", 25),))
    found = compare(a, b, names=("old", "new"), min_iou=0.05)
    shared, sides, pairs = restated(a, b, 0.05)
    for side, detectors, result, name in zip(
        (found.a, found.b), sides, (a, b), ("old", "new"), strict=True
    ):
        assert side.name == name and side.layers == tuple(result.layers)
        assert side.units == sum(layer.num_units for layer in result.layers.values())
        assert side.detectors == sum(map(len, detectors.values()))
        assert side.concepts == len(detectors)
        assert side.by_category == {
            kind: (
                sum(len(units) for concept, units in detectors.items() if concept[1] == kind),
                sum(concept[1] == kind for concept in detectors),
            )
            for kind in ("object", "part", "color")
        }
    assert list(found.both) == [c for c in shared if c in sides[0] and c in sides[1]]
    for alone, own, other in ((found.only_a, *sides), (found.only_b, *sides[::-1])):
        expected = [c for c in shared if c in own and c not in other]
        assert [one[:2] for one in alone] == expected
        assert [one[2:] for one in alone] == [(len(own[c]), *own[c][0]) for c in expected]
    assert len(found.matched) == len(pairs) > 0
    assert {pair[:8] for pair in found.matched} == {(*c, *one, *two) for one, two, c in pairs}
    lower = [min(pair.iou_a, pair.iou_b) for pair in found.matched]
    assert lower == sorted(lower, reverse=True)
    for pair in found.matched:
        tops = [a[pair.layer_a].top_examples, b[pair.layer_b].top_examples]
        both = set(tops[0][pair.unit_a]) & set(tops[1][pair.unit_b])
        assert pair.shared_examples == len(both)
    assert [row["unit_b"] for row in found.rows()] == [pair.unit_b for pair in found.matched]
    assert bool(found.notes) == (concepts is OTHERS)


def test_a_result_compared_with_itself_is_the_same():
    result = dissected()
    found = compare(result, result)
    assert found.a._replace(name="b") == found.b and not found.only_a and not found.only_b
    assert found.notes == () and len(found.matched) == found.a.detectors > 0
    for pair in found.matched:
        assert (pair.layer_a, pair.unit_a, pair.iou_a) == (pair.layer_b, pair.unit_b, pair.iou_b)
        assert pair.shared_examples == 6
    counts = [result[name].category_counts() for name in LAYERS]
    for kind, count in found.a.by_category.items():
        assert count.units == sum(own[kind].units for own in counts)


def test_layers_are_compared_under_their_names():
    result = dissected()
    found = compare(result["early"], result["late"])
    assert (found.a.name, found.b.name) == LAYERS and found.a.layers == ("early",)
    assert found.notes == ()
    same = compare(result["early"], result["early"])
    assert (same.a.name, same.b.name) == ("a", "b")
    assert compare(result.only("early"), result["late"]).matched == found.matched


# --- what differs besides the units ---------------------------------------------------------------


def notes_of(a, b, **options):
    return " ".join(compare(a, b, names=("old", "new"), **options).notes)


def test_other_images_are_stated_and_their_positions_not_compared():
    for other, said in (
        (dissected(seed=1), "4 of 4 concepts have other numbers of pixels: images or labels"),
        (dissected(number=5), "The numbers of images differ: 6 in old and 5 in new."),
    ):
        found = compare(dissected(), other, names=("old", "new"))
        assert said in " ".join(found.notes)
        assert found.matched and {pair.shared_examples for pair in found.matched} == {None}


def test_other_vocabularies_are_stated():
    a, b = random_result(0), random_result(1, OTHERS)
    assert notes_of(a, b) == (
        "3 concepts of old are unknown to new and are left out: thing 0, thing 1, thing 2. "
        "4 concepts of new are unknown to old and are left out: thing 15, thing 14, thing 13, "
        "thing 12."
    )
    with pytest.raises(ValueError, match=r"no concept in common: a knows road, .*one labeler"):
        compare(dissected(), a)


def test_other_presets_are_refused_or_stated():
    result = dissected()
    for preset, said in (
        (replace(PRESET, fraction=0.2), "other fractions of active pixels, 0.1 in a and 0.2 in b"),
        (replace(PRESET, scope=annotated_pixels), "scopes, all_pixels in a and annotated_pixels"),
    ):
        with pytest.raises(ValueError, match=f"{said}.*with one `preset`"):
            compare(result, dissected(preset=preset))
    mine = dissected(preset=replace(PRESET, name="mine"))
    assert "Presets are pnas2020 in old and mine in new" in notes_of(result, mine)
    given = dissected(thresholds={name: result[name].thresholds for name in LAYERS})
    assert "Thresholds of new were given" in notes_of(result, given)
    # Layers alone do not know their preset; how much of the pixels units are active on shows it.
    wide = dissected(preset=replace(PRESET, fraction=0.2))
    assert "active on at most 9.90% of all pixels in old and 19.79% in new" in notes_of(
        result["early"], wide["early"]
    )


def test_other_limits_need_one_for_both():
    result = dissected()
    other = result.with_min_iou(0.2)
    with pytest.raises(ValueError, match=r"`min_iou` must be given.* 0.04 in a and 0.2 in b"):
        compare(result, other)
    found = compare(result, other, min_iou=0.2)
    assert found.min_iou == 0.2 and found.a.detectors == found.b.detectors
    assert found.a.detectors == sum(len(other[name].detectors()) for name in LAYERS)


def test_names_are_two_and_differ():
    result = dissection_with(one=[1, 2])
    for names in (("a", "a"), ("a",), "ab"):
        with pytest.raises(ValueError, match="`names` .* must be two different names"):
            compare(result, result, names=names)


# --- how it shows itself --------------------------------------------------------------------------


def test_a_comparison_shows_itself_in_short():
    a, b = random_result(0), random_result(1, OTHERS)
    found = compare(a, b, names=("old", "<new>"))
    assert repr(found).startswith("Comparison('old': ") and "2 notes" in repr(found)
    assert len(repr(found)) < 200 and "\n" not in repr(found)
    page = found._repr_html_()
    assert "&lt;new&gt;" in page and "<new>" not in page and len(page) < 20_000
    for part in (*found.notes[:1], f"Matched units: {len(found.matched)} pairs"):
        assert part.replace("<new>", "&lt;new&gt;") in page
    assert str(found.a.detectors) in page
