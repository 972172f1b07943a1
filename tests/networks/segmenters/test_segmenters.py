"""Segmenters: labels and scores of the reference and by our rules, gradients, batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.toy_segmenters import (
    MASKED,
    PARSED,
    Parsed,
    constant,
    golden_case,
    labels_and_scores_of,
    labels_of,
    parsing_answers,
    part_lists,
    random_images,
    semantic_answers,
    small_parsing,
    small_semantic,
    softmax_maps,
)

from jaxdissect.arrays.components import halves
from jaxdissect.networks.segmenters.parsing_segmenter import unified_parsing
from jaxdissect.networks.segmenters.rules import REFERENCE_RULES, Rules, antialiased, shares
from jaxdissect.networks.segmenters.segmenter import predict_labels, predict_single_concept
from jaxdissect.networks.segmenters.semantic_segmenter import semantic_segmentation


def ids_without_halves(known):
    return [i for i in range(1, len(known)) if known.names[i][-2] != "-"]


# --- unified parsing ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["upp_labels_a", "upp_labels_b"])
@pytest.mark.parametrize("code", ["plain", "p", "q", "pq"])
def test_parsing_of_the_reference(name, code):
    case = golden_case(name, parsing_answers)
    options = {"quadrants": "q" in code, "all_parts": code in ("p", "pq")}
    segmenter = unified_parsing(
        constant, case.answers, case.content, sizes=case.sizes, rules=REFERENCE_RULES, **options
    )
    scored = "q" not in code
    assert_labels_and_scores_of_reference(segmenter, case, f"seg_{code}", f"single_{code}_", scored)


def assert_labels_and_scores_of_reference(segmenter, case, key, prefix, scored=True):
    concepts = range(1, len(segmenter.vocabulary)) if scored else ()
    labels, found = labels_and_scores_of(segmenter, case.images, concepts, case.grid)
    assert labels.dtype == jnp.int32
    np.testing.assert_array_equal(labels, case.labels(key))
    for concept_id, (score, mask) in enumerate(found, 1):
        reference_mask = case.arrays[f"{prefix}{concept_id}_mask"].astype(bool)
        np.testing.assert_array_equal(mask, reference_mask)
        if (key := f"{prefix}{concept_id}_score") in case.arrays:
            np.testing.assert_allclose(score, case.arrays[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "make", "answers_of"),
    [
        ("upp_labels_a", unified_parsing, parsing_answers),
        ("upp_labels_b", unified_parsing, parsing_answers),
        ("semantic_color", semantic_segmentation, semantic_answers),
        ("semantic_masked", semantic_segmentation, semantic_answers),
    ],
)
def test_segmenter_networks_see_what_they_see_in_the_reference(name, make, answers_of):
    case = golden_case(name, answers_of)
    seen = []

    def look(answers, inputs, grid):
        seen.append(inputs)
        return answers

    segmenter = make(look, case.answers, case.content, sizes=case.sizes, rules=REFERENCE_RULES)

    @jax.jit
    def run(images):
        segmenter.segment(case.answers, images, case.grid)
        return seen

    first, *others = run(case.images)
    np.testing.assert_allclose(first, case.labels("network_input_first_size"), rtol=1e-5, atol=1e-3)
    assert [image.shape[1:3] for image in (first, *others)] == list(case.sizes)


def test_parsing_by_our_rules():
    """Means over sizes, P(owner) P(part | owner), every component halved; otherwise the same."""
    case = golden_case("upp_labels_b", parsing_answers)
    content, answers = case.content, case.answers
    ours = unified_parsing(constant, answers, content, sizes=case.sizes)
    known = ours.vocabulary
    concepts = ids_without_halves(known)
    labels, found = labels_and_scores_of(ours, case.images, concepts, case.grid)
    reference = case.labels("seg_pq")
    np.testing.assert_array_equal(labels[..., :3], reference[..., :3])
    num_objects = len(content["object"]) - 1
    of_objects = jax.jit(halves, static_argnums=1)(labels[..., 0], num_objects)
    np.testing.assert_array_equal(labels[..., 3:], of_objects)
    assert ((reference[..., 3] == 0) & (reference[..., 0] > 0)).any()  # its last components

    owners = [name for name in content["object"] if name in content["object_part"]]
    for concept_id, (score, mask) in zip(concepts, found, strict=True):
        name, category = known.names[concept_id], known.categories[concept_id]
        expected = np.zeros(labels.shape[:-1])
        for kind, maps in (("object", answers.objects), ("material", answers.materials)):
            if category == kind:
                expected += maps[..., content[kind].index(name)]
        for owner, names, maps in zip(owners, part_lists(content), answers.parts, strict=True):
            if name in names and category != "material":
                of_owner = answers.objects[..., content["object"].index(owner)]
                expected += maps[..., names.index(name)] * of_owner
        np.testing.assert_allclose(score, expected, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(mask, (labels == concept_id).any(-1))


def test_scores_of_halves_are_the_objects_inside_them():
    grid, images = (9, 10), random_images(2, 8, 8)
    answers = parsing_answers(PARSED, 7, grid, n=2, coarse=(3, 4))
    segmenter = unified_parsing(constant, answers, PARSED)
    names = [f"{name}{half}" for name in ("sky", "lamp") for half in ("-t", "-l", "-b", "-r")]
    concepts = [segmenter.vocabulary.index(name, category="part") for name in names]
    labels, found = labels_and_scores_of(segmenter, images, concepts, grid)
    for name, concept_id, (score, mask) in zip(names, concepts, found, strict=True):
        assert mask.any(), name
        np.testing.assert_array_equal(mask, (labels == concept_id).any(-1))
        whole = answers.objects[..., PARSED["object"].index(name[:-2])]
        np.testing.assert_array_equal(score, np.where(mask, whole, 0))


def test_halves_have_no_scores_in_the_reference():
    segmenter = small_parsing(rules=REFERENCE_RULES)
    with pytest.raises(ValueError, match=r"`concept_id` \(=5\): 'wall-t', a half, has no score"):
        predict_single_concept(segmenter, random_images(1, 8, 8), "wall-t")


def test_a_part_called_as_its_owner_counts_once():
    content = {"object": ["-", "door"], "material": ["-"], "object_part": {"door": ["-", "door"]}}
    even = jnp.full((1, 2, 2, 2), 0.5)
    segmenter = unified_parsing(constant, Parsed(even, (even,), even[..., :1]), content)
    score, _ = predict_single_concept(segmenter, random_images(1, 8, 8), "door")
    np.testing.assert_array_equal(score, np.full((1, 2, 2), 0.5))


def test_without_owners_there_are_no_parts():
    content = {"object": ["-", "lamp"], "material": ["-"], "object_part": {"lamp": ["-", "knob"]}}
    second = jnp.array([0.1, 0.9]).reshape(1, 1, 1, 2)
    answers, images = Parsed(second, (second,), second[..., :1]), random_images(1, 4, 4)
    few = unified_parsing(constant, answers, content, quadrants=False, all_parts=False)
    assert few.vocabulary.names == ("-", "lamp")
    np.testing.assert_array_equal(predict_labels(few, images), [[[[1, 0, 0]]]])
    every = unified_parsing(constant, answers, content, quadrants=False)
    np.testing.assert_array_equal(predict_labels(every, images), [[[[1, 0, 2]]]])


# --- semantic segmentation ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["semantic_color", "semantic_masked"])
def test_semantic_segmentation_of_the_reference(name):
    case = golden_case(name, semantic_answers)
    segmenter = semantic_segmentation(
        constant, case.answers, case.content, sizes=case.sizes, rules=REFERENCE_RULES
    )
    assert_labels_and_scores_of_reference(segmenter, case, "seg", "single_")


def test_colors_by_our_rules_have_the_probabilities_of_the_network():
    case = golden_case("semantic_color", semantic_answers)
    segmenter = semantic_segmentation(constant, case.answers, case.content, sizes=case.sizes)
    labels, found = labels_and_scores_of(segmenter, case.images, range(1, 12), case.grid)
    np.testing.assert_array_equal(labels[..., 0], case.answers.argmax(-1) + 1)
    scores = np.stack([score for score, _ in found], axis=-1)
    np.testing.assert_allclose(scores, case.answers, rtol=1e-5)


def test_masked_categories_by_our_rules():
    images, grid = random_images(2, 12, 12), (6, 7)
    answers = softmax_maps(1, 5, grid, n=2, coarse=grid, scale=3)
    ground, wood, thing, metal, more_wood = np.moveaxis(np.asarray(answers), -1, 0)
    segmenter = semantic_segmentation(constant, answers, MASKED)
    assert segmenter.vocabulary.names == ("-", "wood", "thing", "metal")
    is_thing, is_metal = thing > ground, metal > np.maximum(wood, more_wood)
    labels, scores = labels_and_scores_of(segmenter, images, (1, 2), grid)
    np.testing.assert_array_equal(labels[..., 0], np.where(is_thing, 2, 0))
    np.testing.assert_array_equal(labels[..., 1], np.where(is_thing, np.where(is_metal, 3, 1), 0))

    (wood_score, _), (thing_score, _) = scores
    of_thing = thing / (thing + ground)
    of_wood = (wood + more_wood) / (wood + more_wood + metal)
    np.testing.assert_allclose(thing_score, of_thing, rtol=1e-5)
    np.testing.assert_allclose(wood_score, of_thing * of_wood, rtol=1e-5)


def test_shares_of_nothing_are_zero_with_finite_gradients():
    nothing = jnp.zeros((1, 1, 1, 3))
    np.testing.assert_array_equal(shares(nothing), nothing)
    assert np.isfinite(jax.grad(lambda p: shares(p)[..., 0].sum())(nothing)).all()


# --- for both -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [small_parsing, small_semantic])
def test_scores_are_probabilities_and_masks_the_labels(make):
    segmenter, grid, images = make(), (9, 10), random_images(2, 8, 8)
    known = segmenter.vocabulary
    concepts = ids_without_halves(known)
    labels, found = labels_and_scores_of(segmenter, images, concepts, grid)
    for concept_id, (score, mask) in zip(concepts, found, strict=True):
        assert score.shape == mask.shape == (2, *grid)
        assert 0 <= score.min() and 0.1 < score.max() <= 1 + 1e-6
        np.testing.assert_array_equal(mask, (labels == concept_id).any(-1))
    masks = zip(concepts, (mask for _, mask in found), strict=True)
    assert {known.categories[i] for i, mask in masks if mask.any()} == set(known.category_names)


@pytest.mark.parametrize("make", [small_parsing, small_semantic])
def test_labels_do_not_depend_on_how_they_are_computed(make):
    segmenter = make()
    images, grid = random_images(4, 14, 10), (6, 9)
    segment = jax.jit(segmenter.segment, static_argnums=2)
    expected = segment(segmenter.params, images, grid)
    assert expected.shape[:3] == (4, *grid) and expected.dtype == jnp.int32
    alone = jax.vmap(
        lambda params, image: segmenter.segment(params, image[None], grid)[0], (None, 0)
    )
    np.testing.assert_array_equal(jax.jit(alone)(segmenter.params, images), expected)
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(images, jax.NamedSharding(mesh, jax.P("batch")))
    np.testing.assert_array_equal(segment(segmenter.params, spread, grid), expected)


def assert_gradients_are_finite_differences(segmenter, images, concepts, grid):
    """Of the sums of scores, along a random direction."""

    def sums(images, params):
        given = segmenter._replace(params=params)
        found = [
            predict_single_concept(given, images, name, category=category, grid=grid)
            for name, category in concepts
        ]
        return jnp.stack([score.sum() for score, _ in found]), [mask for _, mask in found]

    gradients, masks = jax.jit(jax.jacrev(sums, has_aux=True))(images, segmenter.params)
    assert np.isfinite(gradients).all()
    for gradient, concept in zip(gradients, concepts, strict=True):
        assert np.abs(gradient).max() > 1e-4, concept

    direction = np.random.RandomState(8).standard_normal(images.shape).astype(np.float32) / 1000
    run = jax.jit(sums)
    above, masks_above = run(images + direction, segmenter.params)
    below, masks_below = run(images - direction, segmenter.params)
    # Labels jump, scores do not: the differences are taken where no label changes.
    jax.tree.map(np.testing.assert_array_equal, [masks_above, masks_below], [masks, masks])
    slopes = np.tensordot(gradients, direction, 4)
    np.testing.assert_allclose(slopes, (above - below) / 2, rtol=0.02, atol=2e-5)


@pytest.mark.slow
def test_gradients_of_parsing_scores():
    segmenter, images, grid = small_parsing(), random_images(1, 12, 16), (5, 6)
    half = segmenter.vocabulary.names[int(labels_of(segmenter, images, grid)[0, 0, 0, 3])]
    assert half[-2:] in ("-t", "-b")
    concepts = [("door", "object"), ("glass", "material"), ("knob", "part"), (half, "part")]
    assert_gradients_are_finite_differences(segmenter, images, concepts, grid)


@pytest.mark.slow
def test_gradients_of_semantic_scores():
    segmenter, images = small_semantic(), random_images(1, 12, 16)
    concepts = [("wood", None), ("thing", None)]
    assert_gradients_are_finite_differences(segmenter, images, concepts, (5, 6))


def test_segmenter_parameters_are_no_constants_of_the_program():
    segmenter, images = small_parsing(), random_images(1, 12, 12)
    run = jax.make_jaxpr(segmenter.segment, static_argnums=2)
    largest = max(np.size(held) for held in run(segmenter.params, images, (4, 4)).consts)
    assert largest < min(leaf.size for leaf in jax.tree.leaves(segmenter.params))


def test_a_quarter_of_the_image_is_the_usual_grid():
    segmenter, images = small_semantic(), random_images(1, 12, 18)

    @jax.jit
    def run(params, images):
        given = segmenter._replace(params=params)
        labels = predict_labels(given, images), predict_labels(given, images, grid=(3, 4))
        return labels, predict_single_concept(given, images, "wood")

    labels, (score, mask) = run(segmenter.params, images)
    np.testing.assert_array_equal(*labels)
    assert score.shape == mask.shape == (1, 3, 4)


@pytest.mark.slow
def test_segmenters_in_half_precision():
    segmenter, images, grid = small_parsing(), random_images(1, 12, 12), (4, 4)
    knob = [segmenter.vocabulary.index("knob")]
    _, ((wide, _),) = labels_and_scores_of(segmenter, images, knob, grid)
    narrow_images = images.astype(jnp.bfloat16)
    _, ((score, _),) = labels_and_scores_of(segmenter, narrow_images, knob, grid)
    assert score.dtype == jnp.bfloat16
    np.testing.assert_allclose(score.astype(jnp.float32), wide, atol=0.1)


def test_our_resizing_keeps_what_is_fine_from_aliasing():
    stripes = jnp.asarray(np.indices((1, 32, 32, 3))[1] % 2, jnp.float32)
    assert np.abs(antialiased(stripes, (9, 9))[:, 1:-1] - 0.5).max() < 0.05
    assert antialiased(stripes, (40, 50)).shape == (1, 40, 50, 3)


def test_images_of_the_size_of_a_segmenter_are_not_resized():
    def refuse(images, size):
        raise AssertionError("resized")

    segmenter = small_parsing(sizes=((8, 12),), rules=Rules(resize=refuse))
    assert labels_of(segmenter, random_images(1, 8, 12), (2, 3)).shape == (1, 2, 3, 5)
