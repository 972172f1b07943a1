"""The study of classes, and estimates of importance: against plain removals and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.toy_classifiers import pooled, scenes

from jaxdissect.classifiers import importance
from jaxdissect.classifiers.ablation import ablation_sweep
from jaxdissect.classifiers.class_study import study_classes
from jaxdissect.classifiers.taylor_importance import estimated_damage
from jaxdissect.engine.batching import Stored
from jaxdissect.networks.ablation_masks import unit_set_masks
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.network import as_network
from jaxdissect.stats import accuracy

WIDTH, CLASSES = 6, 5
MEASURES = [accuracy.balanced_accuracy, accuracy.overall_accuracy]


@pytest.fixture(scope="module")
def judging():
    return scenes(50, CLASSES, seed=1)


@pytest.fixture(scope="module")
def study(judging):
    return study_classes(
        pooled(), scenes(60, CLASSES), judging, "conv2", WIDTH, sizes=(2, 3), curve_classes=(1, 4)
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_sets_are_those_of_the_ranking(study, judging, measure):
    for c in range(CLASSES):
        order = study.ranking[c]
        for place, size in enumerate((2, 3)):
            best, rest = order[:size], order[size:]
            found = ablation_sweep(pooled(), judging, "conv2", unit_set_masks([best, rest], WIDTH))
            values = measure(found.counts)
            np.testing.assert_array_equal(study.without_best(measure)[place, c], values[0])
            np.testing.assert_array_equal(study.with_best_alone(measure)[place, c], values[1])


def test_curves_remove_units_from_either_end(study, judging):
    measure = accuracy.balanced_accuracy
    curves = study.curves(measure)
    assert curves.shape == (2, 2, WIDTH - 1, CLASSES)
    for k, c in enumerate((1, 4)):
        order = study.ranking[c]
        for number in range(1, WIDTH):
            sets = unit_set_masks([order[:number], order[::-1][:number]], WIDTH)
            values = measure(ablation_sweep(pooled(), judging, "conv2", sets).counts)
            np.testing.assert_array_equal(curves[k, :, number - 1], values)


def of_classes(source, classes):
    chosen = np.isin(source.arrays["label"], classes)
    return Stored({name: array[chosen] for name, array in source.arrays.items()})


def test_classes_without_images_are_left_out(judging):
    def studied(curve_classes=(), measured=(1, 2, 4)):
        return study_classes(
            pooled(),
            of_classes(scenes(60, CLASSES), (0, 1, 2)),
            of_classes(judging, measured),
            "conv2",
            WIDTH,
            sizes=(2,),
            curve_classes=curve_classes,
        )

    study = studied((2,))
    assert study.classes.tolist() == [1, 2]
    assert not study.ranked_by[:, 3:].any() and study.ranked_by[:, 0].any()
    assert not np.delete(study.important, study.classes, axis=1).any()
    own = study.own_balanced_accuracies()
    for place, c in enumerate(study.classes):
        sets = unit_set_masks([study.ranking[c, :2]], WIDTH)
        source = of_classes(judging, (1, 2, 4))
        found = accuracy.balanced_accuracy(ablation_sweep(pooled(), source, "conv2", sets).counts)
        assert own[1, place] == found[0, c]
        assert study.num_damaging(WIDTH)[place] == (study.ranked_by[:, c] > 0).sum()
    assert len(study.set_removals.keep) == 2 * 2 + 2 * (WIDTH - 1)
    with pytest.raises(ValueError, match=r"no images of class 4 \(to rank with\)"):
        studied((1, 4))
    with pytest.raises(ValueError, match="no class in common"):
        studied(measured=(3, 4))


def test_intervals_hold_the_changes(study):
    measure = accuracy.balanced_accuracy
    found = study.intervals(measure)
    before = measure(study.set_removals.baseline)
    grid = np.concatenate([study.without_best(measure), study.with_best_alone(measure)])
    np.testing.assert_allclose(found.estimate, grid.reshape(-1, CLASSES) - before, atol=1e-12)
    assert (found.low < found.high).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (0,)}, "`sizes`"),
        ({"sizes": (WIDTH,)}, "`sizes`"),
        ({"sizes": ()}, "`sizes`"),
        ({"curve_classes": (CLASSES,)}, "`curve_classes`"),
    ],
)
def test_what_makes_no_sense_is_refused(judging, options, message):
    with pytest.raises(ValueError, match=message):
        study_classes(pooled(), judging, judging, "conv2", WIDTH, **{"sizes": (2,), **options})


def test_images_must_be_there_before_any_work(judging):
    for parts, name in ((([], judging), "ranking"), ((judging, []), "judging")):
        with pytest.raises(ValueError, match=f"`{name}_images` has no examples"):
            study_classes(pooled(), *parts, "conv2", WIDTH, sizes=(2,))


def test_estimates_are_slopes(judging):
    """Activation times gradient is how the log-probability falls as a unit fades."""
    network = as_network(pooled())
    block = judging.read(0, 50)
    labels = jnp.asarray(block["label"])[:, None]

    def certainty(fade):
        edit = Edit(1 - fade, jnp.zeros(WIDTH))
        scores, _ = network.apply(network.params, block["image"], edits={"conv2": edit})
        return jnp.take_along_axis(jax.nn.log_softmax(scores), labels, 1)[:, 0]

    slopes = -jax.jacfwd(certainty)(jnp.zeros(WIDTH))  # [images, units]
    expected = np.stack(
        [np.asarray(slopes)[block["label"] == c].mean(axis=0) for c in range(CLASSES)], axis=1
    )
    for batch_size in (16, 50):
        found = estimated_damage(pooled(), judging, "conv2", CLASSES, batch_size=batch_size)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert np.abs(expected).max() > 1e-3


def test_estimates_rank_units_like_removals(judging):
    estimate = estimated_damage(pooled(), judging, "conv2", CLASSES)
    exact = ablation_sweep(pooled(), judging, "conv2", ~np.eye(WIDTH, dtype=bool))
    damage = exact.damage(measure=accuracy.confidence)
    found = [importance.rank_correlation(a, b) for a, b in zip(damage.T, estimate.T, strict=True)]
    assert np.mean(found) > 0.7
    with pytest.raises(ValueError, match=r"must be a class in \[0, 2\)"):
        estimated_damage(pooled(), judging, "conv2", 2)
