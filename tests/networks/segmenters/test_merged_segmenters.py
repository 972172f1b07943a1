"""Several segmenters as one, and what segmenters refuse."""

import inspect
import json

import jax.numpy as jnp
import numpy as np
import pytest
from support import golden
from support.toy_segmenters import (
    MASKED,
    PARSED,
    Parsed,
    constant,
    golden_images,
    labels_of,
    parsing_answers,
    random_images,
    semantic_answers,
    small_parsing,
    small_semantic,
)

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.networks.segmenters.parsing_segmenter import unified_parsing
from jaxdissect.networks.segmenters.rules import DEFAULT_RULES, REFERENCE_RULES
from jaxdissect.networks.segmenters.segmenter import (
    Segmenter,
    check_sizes,
    merge_segmenters,
    predict_labels,
    predict_single_concept,
)
from jaxdissect.networks.segmenters.semantic_segmenter import semantic_segmentation


def uniform_segmenter(concepts, label, score=0.0) -> Segmenter:
    """One label and score everywhere; the score is scaled by the parameter."""

    def segment(params, images, grid):
        return jnp.full((len(images), *grid, 1), label, jnp.int32)

    def scores(params, images, concept_id, grid):
        shape = (len(images), *grid)
        return jnp.full(shape, params * score), jnp.full(shape, concept_id == label)

    return Segmenter(vocabulary(concepts), jnp.float32(1), segment, scores)


def reference_names(known):
    """A vocabulary's concepts as the reference calls them."""
    pairs = zip(known.names, known.categories, strict=True)
    return [["-", "-"] if category == "none" else [name, category] for name, category in pairs]


def merged_of_the_reference(rules):
    """Unified parsing, a segmenter without concepts, and colors."""
    arrays, meta = golden.load("merged_a", allow_pickle=True)
    _, colors = golden.load("semantic_color", allow_pickle=True)
    n, grid, objects, colors = 2, (16, 16), meta["labeldata_upp"], colors["labeldata"]
    parsed = parsing_answers(objects, meta["upp_seed"], grid, n=n, coarse=meta["upp_coarse"])
    colored = semantic_answers(colors, meta["color_seed"], grid, n=n, coarse=meta["color_coarse"])
    merged = merge_segmenters(
        unified_parsing(constant, parsed, objects, rules=rules),
        uniform_segmenter([], 0),
        semantic_segmentation(constant, colored, colors, rules=rules),
        rules=rules,
    )
    return meta, merged, golden_images(arrays), np.moveaxis(arrays["seg"], 1, -1)


def test_merging_of_the_reference():
    meta, merged, images, reference = merged_of_the_reference(REFERENCE_RULES)
    np.testing.assert_array_equal(labels_of(merged, images, (16, 16)), reference)
    assert reference_names(merged.vocabulary)[1:] == meta["labels"][1:]
    assert merged.vocabulary.names[45:47] == ("no concept", "no color")
    with pytest.raises(ValueError, match=r"`concept_id` \(=0\) must lie in 1 to 11"):
        predict_single_concept(merged, images, "no color")


def test_merging_by_our_rules_keeps_none():
    meta, merged, images, reference = merged_of_the_reference(DEFAULT_RULES)
    labels = np.asarray(labels_of(merged, images, (16, 16)))
    assert len(merged.vocabulary) == len(meta["labels"]) - 2
    np.testing.assert_array_equal(labels[..., :3], reference[..., :3])
    np.testing.assert_array_equal(labels[..., 5], 0 * reference[..., 5])
    np.testing.assert_array_equal(labels[..., 6], reference[..., 6] - 2)
    score, mask = predict_single_concept(merged, images, "red")
    assert 0 < score.max() <= 1
    np.testing.assert_array_equal(mask, labels[..., 6] == merged.vocabulary.index("red"))


def test_published_vocabularies_have_1825_entries_with_both_nones():
    arrays, _ = golden.load("labels_netpqc_real")
    folder = golden.labels_folder()
    objects, colors = (
        json.loads((folder / f"{name}_labels.json").read_text()) for name in ("upp", "color")
    )
    segmenters = unified_parsing(constant, (), objects), semantic_segmentation(constant, (), colors)
    known = merge_segmenters(*segmenters, rules=REFERENCE_RULES).vocabulary
    assert len(known) == 1825 and known.names[1813] == "no color"
    reference = [list(pair) for pair in zip(arrays["label"], arrays["category"], strict=True)]
    assert reference_names(known)[1:] == reference[1:]
    assert len(merge_segmenters(*segmenters).vocabulary) == 1824


def test_a_concept_of_several_segmenters():
    red, blue, sky = ("red", "color"), ("blue", "color"), ("sky", "object")
    merged = merge_segmenters(
        uniform_segmenter([red, sky], 1, 0.25), uniform_segmenter([blue, red], 1, 0.5)
    )
    images = random_images(1, 4, 4)
    np.testing.assert_array_equal(predict_labels(merged, images), [[[[1, 3]]]])
    for name, score, mask in (("red", 0.5, True), ("sky", 0.25, False), ("blue", 0.5, True)):
        found = predict_single_concept(merged, images, name)
        np.testing.assert_array_equal(found[0], [[[score]]])
        np.testing.assert_array_equal(found[1], [[[mask]]])
    scaled = merged._replace(params=(jnp.float32(3), jnp.float32(1)))
    np.testing.assert_array_equal(predict_single_concept(scaled, images, "red")[0], [[[0.75]]])


def test_the_reference_cannot_merge_segmenters_of_the_same_concept():
    colors = uniform_segmenter([("red", "color")], 1)
    with pytest.raises(ValueError, match="'red' of category 'color' is listed already"):
        merge_segmenters(colors, colors, rules=REFERENCE_RULES)


@pytest.mark.parametrize("rules", [DEFAULT_RULES, REFERENCE_RULES], ids=["default", "reference"])
@pytest.mark.parametrize("label", [-1, 2, 3])
def test_labels_that_are_in_no_vocabulary_stay_so(rules, label):
    faulty = uniform_segmenter([("red", "color")], label)
    merged = merge_segmenters(faulty, uniform_segmenter([("sky", "object")], 1), rules=rules)
    labels = predict_labels(merged, random_images(1, 4, 4))
    np.testing.assert_array_equal(labels[..., 0], [[[-1]]])


def test_segmenters_without_scores_still_label():
    only_labels = Segmenter(*uniform_segmenter([("red", "color")], 1)[:3])
    merged, images = merge_segmenters(only_labels), random_images(1, 4, 4)
    np.testing.assert_array_equal(predict_labels(merged, images), [[[[1]]]])
    with pytest.raises(ValueError, match="`segmenter` gives labels alone"):
        predict_single_concept(merged, images, "red")


def test_no_segmenters_are_refused():
    with pytest.raises(ValueError, match="`segmenters` must not be empty"):
        merge_segmenters()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 8, 8, 3), np.uint8), r"`images` \(=uint8\) must be RGB floats in \[0, 1\]"),
        (np.zeros((1, 3, 8, 8), np.float32), r"`images` \(=\(1, 3, 8, 8\)\) must have axes"),
        (np.zeros((8, 8, 3), np.float32), r"`images` \(=\(8, 8, 3\)\) must have axes"),
        (np.zeros((1, 3, 8, 3), np.float32), r"`grid` \(=\(0, 2\)\) must have a positive"),
    ],
)
def test_wrong_images_are_refused(images, message):
    segmenter = small_parsing()
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(predict_labels)(segmenter, images)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(predict_single_concept)(segmenter, images, "wall")
    with pytest.raises(ValueError, match=message.replace("2", "[24]")):
        segmenter.segment(segmenter.params, images, (0, 4))


@pytest.mark.parametrize("make", [small_parsing, small_semantic])
def test_ids_without_concept_are_refused(make):
    segmenter, images = make(), random_images(1, 8, 8)
    for concept_id in (-1, 0, len(segmenter.vocabulary)):
        with pytest.raises(ValueError, match=r"`concept_id` \(=.*\) must lie in 1 to"):
            segmenter.score(segmenter.params, images, concept_id, (2, 2))
    with pytest.raises(ValueError, match="`name` .='wal'. is no concept here"):
        predict_single_concept(segmenter, images, "wal")


@pytest.mark.parametrize("sizes", [(), ((8, 0),), ((8,),)])
def test_wrong_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=r"`sizes` \(=.*\) must be pairs"):
        inspect.unwrap(check_sizes)(sizes)


@pytest.mark.parametrize("make", [small_parsing, small_semantic])
def test_segmenters_need_sizes(make):
    with pytest.raises(ValueError, match=r"`sizes` \(=\(\)\) must be pairs"):
        make(sizes=())


def test_answers_that_do_not_fit_the_labels_are_refused():
    images = random_images(1, 4, 4)
    maps = [jnp.ones((1, 1, 1, n)) for n in (5, 3, 3, 2, 2, 3)]
    answers = Parsed(maps[0], tuple(maps[2:]), maps[1])
    parse = unified_parsing(constant, answers, PARSED)
    assert labels_of(parse, images, (1, 1)).shape == (1, 1, 1, 5)
    wrong = {
        r"objects \(1, 1, 1, 3\), not \(1, 1, 1, 5\)": {"objects": maps[1]},
        r"materials \(1, 1, 3\), not \(1, 1, 1, 3\)": {"materials": maps[1][0]},
        r"parts\[0\] \(wall\) \(1, 1, 1, 2\), not \(1, 1, 1, 3": {"parts": (maps[3], *maps[3:])},
        "answers for 3 owners of parts, and the labels have 4": {"parts": tuple(maps[3:])},
    }
    for message, change in wrong.items():
        with pytest.raises(ValueError, match=message):
            predict_labels(parse._replace(params=answers._replace(**change)), images)
    with pytest.raises(ValueError, match=r"`predict` gives \(1, 1, 1, 3\).* ask for \(1, 1, 1, 5"):
        predict_labels(semantic_segmentation(constant, maps[1], MASKED), images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"imageformat": {"byteorder": "GBR"}}, "imageformat must have a byteorder, RGB or BGR"),
        ({"imageformat": MASKED["imageformat"] | {"stdev": [1, 0, 1]}}, "none of the latter 0"),
        ({"categories": []}, r"categories must have names, and are \[\]"),
        ({"categories": [{}]}, "categories must have names"),
        ({"categories": [{"name": "figure"}]}, r"labels\[1\] must have a name, and as category"),
        ({"labels": [{"category": "figure"}]}, r"labels\[0\] must have a name"),
        ({"labels": MASKED["labels"][:2]}, "mask 'thing' of 'stuff' must be a label"),
        ({"labels": MASKED["labels"][:1]}, "no label is of the category 'stuff'"),
        (
            {"labels": [*MASKED["labels"], {"name": "thing", "category": "stuff"}]},
            "mask 'thing' of 'stuff' must be a label of one category",
        ),
    ],
)
def test_faulty_label_files_of_semantic_segmentation_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        semantic_segmentation(constant, (), MASKED | change)
