"""A whole study of an attack: which images are attacked, what makes units important, faults."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import toy_attacked as toy
from support.interrupted import assert_resumes

from jaxdissect.arrays.resampling import resample
from jaxdissect.attacks import PartwiseAttack, attack_study, resumable_attack
from jaxdissect.attacks.attack_examples import find_attack_examples
from jaxdissect.attacks.carlini_wagner_l2 import CarliniWagnerSettings, carlini_wagner
from jaxdissect.attacks.effect_on_units import measure_peaks
from jaxdissect.classifiers.importance import is_important
from jaxdissect.classifiers.taylor_importance import estimated_damage
from jaxdissect.engine.batching import Stored
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.networks.edits import ablate
from jaxdissect.stats import accuracy

FEW = CarliniWagnerSettings(binary_search_steps=3, max_iterations=60, learning_rate=2e-2)
TARGET = 2

attack = partial(carlini_wagner, settings=FEW, refuse_reached=False, slots=3)


def source(number, seed):
    images = toy.images(number, seed=seed)
    labels = np.random.RandomState(seed).randint(0, toy.CLASSES, number).astype(np.int32)
    return Stored({"image": images, "label": labels})


@pytest.fixture(scope="module")
def study():
    return attack_study.study_attack(
        toy.classifier(),
        source(30, 1),
        source(20, 2),
        "conv2",
        TARGET,
        attack,
        num_attacked=5,
        damage=estimated_damage,
        top=2,
        batch_size=4,
    )


def test_images_are_chosen_as_in_the_paper(study):
    judging = source(20, 2)
    images = np.stack([judging[i]["image"] for i in range(20)])
    labels = np.array([judging[i]["label"] for i in range(20)])
    predictions = toy.predictions(images)
    order = np.random.default_rng(0).permutation(20)
    fit = [i for i in order if TARGET not in (labels[i], predictions[i])]
    np.testing.assert_array_equal(study.examples, fit[:5])
    np.testing.assert_array_equal(study.images, images[fit[:5]])
    np.testing.assert_array_equal(study.labels, labels[fit[:5]])
    np.testing.assert_array_equal(study.sources, predictions[fit[:5]])


def test_images_are_attacked_towards_the_target(study):
    after = toy.predictions(study.adversarial)
    assert len(study.succeeded)
    np.testing.assert_array_equal(study.succeeded, np.flatnonzero(after == TARGET))
    apart = np.sqrt(((study.adversarial - study.images) ** 2).sum((1, 2, 3)))
    assert study.median_distance == pytest.approx(np.median(apart[study.succeeded]), 1e-4)
    assert (study.targets == TARGET).all() and study.targets.shape == (5,)


def test_units_are_ranked_on_the_other_images(study):
    expected = estimated_damage(toy.classifier(), source(30, 1), "conv2", toy.CLASSES)
    np.testing.assert_allclose(study.damage, expected, 1e-4, 1e-6)
    np.testing.assert_array_equal(study.important, is_important(study.damage, top=2))
    assert (np.diff(study.damage[study.ranking, TARGET]) <= 0).all()


def test_damage_of_removals_is_what_a_class_loses():
    network, ranking = toy.classifier(), source(30, 1)
    options = {"label_key": "label", "batch_size": 8, "progress": lambda *_: None}
    found = attack_study.removal_damage(accuracy.confidence)(
        network, ranking, "conv2", toy.CLASSES, **options
    )
    images = jnp.asarray(np.stack([ranking[i]["image"] for i in range(30)]))
    labels = np.array([ranking[i]["label"] for i in range(30)])

    def confidence(edits):
        chances = jax.nn.softmax(network.apply(network.params, images, edits=edits)[0])
        return np.asarray(chances)[np.arange(30), labels]

    lost = confidence({}) - confidence({"conv2": ablate([6], toy.UNITS)})
    expected = [lost[labels == c].mean() if (labels == c).any() else 0 for c in range(toy.CLASSES)]
    assert isinstance(found, attack_study.RankedDamage)
    np.testing.assert_allclose(found.damage[6], expected, atol=1e-4)
    assert found.margin_lost.shape == found.damage.shape and found.margin_lost.any()
    with pytest.raises(ValueError, match="no examples"):
        attack_study.removal_damage(accuracy.confidence)(
            network, Stored({"image": np.zeros((0, 2))}), "conv2", toy.CLASSES, **options
        )


def test_examples_show_the_most_changed_unit(study):
    network, there = toy.classifier(), study.succeeded
    peaks = measure_peaks(network, study.images[there], study.adversarial[there], "conv2")
    examples = find_attack_examples(network, study, peaks, number=2, least_change=0.01)
    assert len(examples) == min(2, len(there))
    for place, example in enumerate(examples):
        assert example.unit == peaks.change[place].argmax()
        assert example.source == study.sources[there[place]]
        np.testing.assert_array_equal(example.image, study.images[there[place]])
        np.testing.assert_array_equal(example.adversarial, study.adversarial[there[place]])
        assert not (example.rises & example.falls).any()
        # The threshold is one of pixels, as the region is.
        maps = network.activations(
            network.params, jnp.asarray(study.images[there]), layers=("conv2",)
        )["conv2"][..., example.unit : example.unit + 1]
        pixels = np.asarray(resample(maps, (toy.SIZE, toy.SIZE)))[..., 0]
        share = np.sort(pixels.ravel())[::-1]
        threshold = share[int(0.01 * share.size)]
        np.testing.assert_array_equal(example.active_before, pixels[place] > threshold)
        assert (example.rises | example.falls).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attacked": 0}, "`num_attacked`"),
        ({"target": 5}, r"`target` \(=5\) must lie in \[0, 5\)"),
        ({"judging": Stored({"image": toy.images(2), "label": np.full(2, TARGET, np.int32)})},
         "every image is of this class"),
        ({"top": 9}, "`top`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"judging": Stored({"image": toy.images(2), "label": np.full(2, 5, np.int32)})},
         "'label' of example [01] is 5"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(changes, message):
    given = {"judging": source(4, 2), "target": TARGET} | changes
    network, judging, target = toy.classifier(), given.pop("judging"), given.pop("target")
    with pytest.raises(ValueError, match=message):
        attack_study.study_attack(
            network, source(4, 1), judging, "conv2", target, attack, damage=estimated_damage,
            **given,
        )  # fmt: skip


def test_scores_that_are_not_numbers_are_refused():
    network = toy.classifier()
    params = {**network.params, "shift": jnp.full(toy.CLASSES, jnp.nan)}
    broken = StagedNetwork(toy.stages(), params)
    with pytest.raises(ValueError, match="NaN or infinite scores"):
        attack_study.study_attack(broken, source(4, 1), source(4, 2), "conv2", TARGET, attack)


def test_settings_are_refused_before_units_are_ranked():
    def damage(*arguments, **options):
        raise AssertionError("units are ranked")

    wrong = partial(carlini_wagner, settings=FEW._replace(max_iterations=0))
    with pytest.raises(ValueError, match="`max_iterations`"):
        attack_study.study_attack(
            toy.classifier(), source(4, 1), source(4, 2), "conv2", TARGET, wrong, damage=damage
        )


@pytest.mark.parametrize("lost", ["nothing", "ties"])
def test_units_without_damage_are_not_important(lost):
    margins = np.tile(np.arange(8.0)[:, None], toy.CLASSES)
    damage = np.zeros((8, toy.CLASSES))
    if lost == "ties":
        damage[[1, 3, 5]] = 0.5

    def ranked(*arguments, **options):
        return attack_study.RankedDamage(damage, margins * (lost == "ties"))

    given = (toy.classifier(), source(4, 1), source(20, 2), "conv2", TARGET)
    quick = partial(carlini_wagner, settings=FEW._replace(max_iterations=2), refuse_reached=False)
    study = partial(attack_study.study_attack, *given, quick, num_attacked=1, damage=ranked)
    if lost == "nothing":
        with pytest.raises(ValueError, match="changes anything for this class"):
            study()
    else:
        found = study()
        np.testing.assert_array_equal(np.flatnonzero(found.important[:, 0]), [1, 3, 5])
        np.testing.assert_array_equal(found.ranking[:4], [5, 3, 1, 7])


@pytest.mark.slow
def test_interrupted_studies_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(resumable_attack, "TOGETHER", 3)

    def run(**others):
        others.pop("save_every", None)
        return attack_study.study_attack(
            toy.classifier(),
            source(30, 1),
            source(20, 2),
            "conv2",
            TARGET,
            PartwiseAttack(lambda first: attack, FEW),
            num_attacked=5,
            damage=estimated_damage,
            top=2,
            batch_size=4,
            **others,
        )

    assert_resumes(run, tmp_path, steps=1)
    kept = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("checksums/*"))
    assert kept == [f"{part}.json" for part in (
        "attack/checksums/3", "attack/checksums/5", "damage/checksums/30"
    )]  # fmt: skip
    other = PartwiseAttack(lambda first: attack, FEW._replace(max_iterations=9))
    with pytest.raises(ValueError, match="other settings: attack is not the same"):
        resumable_attack.attack_resumably(
            other,
            toy.scores(),
            toy.scores().params,
            np.zeros((5, *toy.images(1).shape[1:]), np.float32),
            np.zeros(5, np.int32),
            tmp_path / "attack",
            settings={},
        )
