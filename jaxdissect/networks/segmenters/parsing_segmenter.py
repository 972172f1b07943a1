"""Unified perceptual parsing: objects, their halves, materials, and parts of objects.

A network (Xiao et al., "Unified perceptual parsing for scene understanding", ECCV 2018) answers
at every pixel which object it shows, which material, and for each object that has parts, which of
these it would be if the object was that one. Bau et al. (PNAS 2020) make labels of the answers:
the most probable object; the most probable material; the most probable part of that object; and,
of every object that stands by itself, top or bottom and left or right.

Letters of shapes: B batch, h w image, H W grid of labels, K labels per pixel, O objects, M
materials, P parts of one owner, "none" counted among each.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxdissect.arrays.components import halves
from jaxdissect.arrays.concepts import (
    FREQUENT_OWNERS,
    QUADRANTS,
    Vocabulary,
    read_unified_parsing,
)
from jaxdissect.networks.models.upernet import prepare
from jaxdissect.networks.segmenters.rules import DEFAULT_RULES, Rules
from jaxdissect.networks.segmenters.segmenter import (
    Grid,
    Segmenter,
    check_concept,
    check_sizes,
    predict_at_sizes,
)


@runtime_checkable
class Parsing(Protocol):
    """What the network answers: probabilities, of which those of alternatives add up to 1."""

    @property
    def objects(self) -> Float[Array, "B H W O"]:
        """Of objects."""
        ...

    @property
    def parts(self) -> tuple[Float[Array, "B H W _"], ...]:
        """Of parts [B, H, W, P], for every object that has some, ascending by object."""
        ...

    @property
    def materials(self) -> Float[Array, "B H W M"]:
        """Of materials."""
        ...


def unified_parsing(
    predict: Callable[[PyTree, Array, Grid], Parsing],
    params: PyTree,
    label_content: Mapping[str, Any],
    *,
    quadrants: bool = True,
    all_parts: bool = True,
    sizes: Sequence[Grid] = ((256, 256),),
    rules: Rules = DEFAULT_RULES,
) -> Segmenter:
    """Make a segmenter of a network for unified parsing.

    Its labels are objects, materials, parts and, with `quadrants`, (top or bottom) and (left or
    right): K is 3 or 5. They are numbered by `jaxdissect.arrays.concepts.read_unified_parsing`.

    The score of a part is the sum over its owners of P(owner) P(part | owner). Where an object
    bears its name, as `door` does, the object's probability comes on top: these are different
    answers to what the pixel shows, so that their sum is a probability. The score of a half is
    the object's inside the half, and 0 outside, where it has no gradient.

    Args:
        predict: ``predict(params, inputs, grid)``, where inputs [B, h, w, 3] are those of UPerNet,
            see `jaxdissect.networks.models.upernet.prepare`.
        params: Its parameters.
        label_content: The label file that comes with the network: lists `object` and `material`
            of names, and `object_part` from objects to lists of parts, all beginning with "-".
        quadrants: Whether objects have halves.
        all_parts: Whether all objects have parts, or those of `FREQUENT_OWNERS` alone. `predict`
            answers for all in any case.
        sizes: Heights and widths at which the network sees the images; the answers are joined.
        rules: How probabilities become labels and scores.

    Raises:
        ValueError: If `label_content` or `sizes` are malformed; and in use, if the answers do not
            fit the labels, the images have other axes or are no floats, or the grid is empty.
    """
    check_sizes(sizes)
    known = read_unified_parsing(label_content, quadrants=quadrants, all_parts=all_parts)
    layout = _layout(label_content, known, all_parts=all_parts)
    num_objects = layout.num_objects
    num_halves = len(QUADRANTS) * num_objects if quadrants else 0
    ids_of_halves = range(num_objects + 1, num_objects + 1 + num_halves)
    divided = rules.divided if quadrants else None

    def answer(params: PyTree, inputs: Array, grid: Grid) -> Parsing:
        answers = predict(params, inputs, grid)
        _check(answers, label_content, (inputs.shape[0], *grid))
        return answers

    parse = functools.partial(predict_at_sizes, answer, sizes=sizes, prepare=prepare, rules=rules)

    def segment(params: PyTree, images: Any, grid: Grid) -> Array:
        return _labels(parse(params, images, grid), layout, divided)

    def score(params: PyTree, images: Any, concept_id: int, grid: Grid) -> tuple[Array, Array]:
        check_concept(known, concept_id)
        is_half = concept_id in ids_of_halves
        if is_half and not rules.halves_have_scores:
            name = known.names[concept_id]
            raise ValueError(f"`concept_id` (={concept_id}): {name!r}, a half, has no score")
        answers = parse(params, images, grid)
        labels = _labels(answers, layout, divided if is_half else None)
        mask = (labels == concept_id).any(-1)
        if is_half:
            whole = answers.objects[..., 1 + (concept_id - 1) % num_objects]
            return jnp.where(mask, whole, 0), mask
        return _score(answers, layout, concept_id, rules), mask

    return Segmenter(known, params, segment, score)


class _Owner(NamedTuple):
    """An object with parts: its id, its place among the answers, and the ids of these [P]."""

    object_id: int
    place: int
    part_ids: np.ndarray


class _Layout(NamedTuple):
    """Ids of what a network answers; those of objects are their places, 1 to `num_objects`."""

    num_objects: int
    material_ids: np.ndarray
    owners: tuple[_Owner, ...]


def _layout(content: Mapping[str, Any], known: Vocabulary, *, all_parts: bool) -> _Layout:
    objects, materials, owned = (content[key] for key in ("object", "material", "object_part"))

    def part_ids(owner: str) -> np.ndarray:
        """Ids of an owner's parts; one that bears the name of an object is that object."""
        ids = (
            known.index(name, category="object" if name in objects else "part")
            for name in owned[owner][1:]
        )
        return np.array([0, *ids], np.int32)

    material_ids = [0, *(known.index(name, category="material") for name in materials[1:])]
    owners = tuple(
        _Owner(known.index(owner, category="object"), place, part_ids(owner))
        for place, owner in enumerate(_owners(content))
        if all_parts or owner in FREQUENT_OWNERS
    )
    return _Layout(len(objects) - 1, np.array(material_ids, np.int32), owners)


def _owners(content: Mapping[str, Any]) -> list[str]:
    """Objects that have parts, in the order in which a network answers for them."""
    return [name for name in content["object"] if name in content["object_part"]]


def _labels(answers: Parsing, layout: _Layout, divided: Callable[[Array], Array] | None) -> Array:
    """Labels [B, H, W, K]: object, material, part, and halves of the components `divided`."""
    objects = jnp.argmax(answers.objects, axis=-1).astype(jnp.int32)
    materials = jnp.asarray(layout.material_ids)[jnp.argmax(answers.materials, axis=-1)]
    parts = jnp.zeros_like(objects)
    # One by one: XLA makes a single loop over the pixels of it, 16 times as fast on CPU as the
    # maximum over all parts, laid side by side and masked by owner.
    for owner in layout.owners:
        best = jnp.asarray(owner.part_ids)[jnp.argmax(answers.parts[owner.place], axis=-1)]
        parts = jnp.where(objects == owner.object_id, best, parts)
    labels = jnp.stack([objects, materials, parts], axis=-1)
    if divided is None:
        return labels
    with jax.named_scope("halves"):
        of_objects = halves(objects, layout.num_objects, divided=divided)
    return jnp.concatenate([labels, of_objects], axis=-1)


def _score(answers: Parsing, layout: _Layout, concept_id: int, rules: Rules) -> Array:
    """Score [B, H, W] of an object, a material, or a part."""
    terms = [answers.materials[..., i] for i in np.flatnonzero(layout.material_ids == concept_id)]
    if concept_id <= layout.num_objects:
        terms.append(answers.objects[..., concept_id])
    terms += [
        rules.within(answers.parts[owner.place][..., i], answers.objects[..., owner.object_id])
        for owner in layout.owners
        # A part called as its owner would count as the whole once more.
        if owner.object_id != concept_id
        for i in np.flatnonzero(owner.part_ids == concept_id)
    ]
    return sum(terms[1:], start=terms[0])


def _check(answers: Parsing, content: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Refuse answers whose number or shapes are not those of the labels."""
    owners = _owners(content)
    lists = {"objects": content["object"], "materials": content["material"]}
    lists |= {f"parts[{i}] ({name})": content["object_part"][name] for i, name in enumerate(owners)}
    expected = {key: (*shape, len(names)) for key, names in lists.items()}
    maps = (answers.objects, answers.materials, *answers.parts)
    found = [jnp.shape(answer) for answer in maps]
    if len(found) != len(expected):
        raise ValueError(
            f"`predict` answers for {len(answers.parts)} owners of parts, and the labels have "
            f"{len(owners)}"
        )
    if wrong := [
        f"{key} {came}, not {due}"
        for (key, due), came in zip(expected.items(), found, strict=True)
        if came != due
    ]:
        raise ValueError(f"`predict` gives other shapes than the labels ask: {'; '.join(wrong)}")
