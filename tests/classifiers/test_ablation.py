"""Removing units of a classifier: brute force, the reference, invariances, faults."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support import golden
from support.probed_networks import KINDS, NUM_UNITS, normal, probed_network
from support.toy_classifiers import Pooled, pooled, scenes

from jaxdissect.classifiers import ablation, ablation_methods, replacements
from jaxdissect.classifiers.ablation import ablation_sweep
from jaxdissect.engine.batching import Stored, batches
from jaxdissect.networks.ablation_masks import single_unit_masks, unit_set_masks
from jaxdissect.networks.edits import keep_units
from jaxdissect.networks.network import as_network
from jaxdissect.stats import accuracy, paired_accuracy

WIDTH, CLASSES, NUMBER = 6, 5, 40
SETS = [[], [0], [2, 4], [5, 1, 3], list(range(WIDTH))]


@pytest.fixture(scope="module")
def source():
    return scenes(NUMBER, CLASSES)


def brute_counts(model, source, keep):
    """Predictions from maps that are masked by hand, one condition after the other."""
    block = source.read(0, len(source))
    first = nnx.max_pool(nnx.relu(model.conv1(jnp.asarray(block["image"]))), (2, 2), (2, 2))
    maps = np.asarray(model.conv2(first))
    labels = block["label"]
    counts = []
    for kept in keep:
        scores = model.fc(nnx.relu(jnp.asarray(maps * kept.astype("f4"))).mean((1, 2)))
        counts.append(tally(scores, labels, CLASSES))
    return np.bincount(labels, minlength=CLASSES), np.array(counts)


def tally(scores, labels, classes):
    """By class: images classified as it, those of them that are of it, confidence."""
    found = np.asarray(scores).argmax(-1)
    return [
        np.bincount(found, minlength=classes),
        np.bincount(found[found == labels], minlength=classes),
        np.bincount(labels, confidence(scores, labels), classes),
    ]


def confidence(scores, labels):
    """Steps of the probability of each image's own class."""
    chances = np.exp(scores - scores.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    return np.round(chances[np.arange(len(labels)), labels] * 2**16)


def assert_counts(found, true, counts):
    np.testing.assert_array_equal(found.true, true)
    np.testing.assert_array_equal(found.predicted, counts[..., 0, :])
    np.testing.assert_array_equal(found.correct, counts[..., 1, :])
    np.testing.assert_allclose(found.confidence, counts[..., 2, :], atol=NUMBER)


def test_counts_are_those_of_brute_force(source):
    keep = np.concatenate([single_unit_masks(WIDTH), unit_set_masks(SETS, WIDTH)])
    true, counts = brute_counts(pooled(), source, keep)
    assert len(np.unique(counts[:, 0], axis=0)) > 5
    found = ablation_sweep(pooled(), source, "conv2", keep, keep_predictions=True)
    assert_counts(found.counts, true, counts)
    assert_counts(found.baseline, true, counts[WIDTH])
    np.testing.assert_array_equal(found.keep, keep)
    assert found.predictions is not None
    before, *after = found.predictions
    paired = paired_accuracy.count(before, np.stack(after), found.labels, CLASSES)
    jax.tree.map(np.testing.assert_array_equal, found.unchanged[:3], paired.unchanged[:3])
    for measure in paired_accuracy.MEASURES:
        expected = paired_accuracy.change(paired, measure)
        jax.tree.map(np.testing.assert_array_equal, found.changes(measure), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network(kind):
    """Counts are those of one forward pass for each condition."""
    network, images = probed_network(kind).network, normal(7, (23, 8, 8, 3))
    layer, num_units = "second", NUM_UNITS["second"]
    keep = np.concatenate(
        [single_unit_masks(num_units), unit_set_masks([[0, 1], [1, 3]], num_units)]
    )

    @jax.jit
    def forward(kept):
        return network.apply(network.params, images, edits={layer: keep_units(kept)})[0]

    every = np.concatenate([np.ones_like(keep[:1]), keep])
    scores = np.array([forward(jnp.asarray(kept)) for kept in every])
    classes = scores.shape[-1]
    labels = np.arange(23, dtype=np.int32) % classes
    true, counts = np.bincount(labels), np.array([tally(each, labels, classes) for each in scores])
    assert len(np.unique(counts[:, 2], axis=0)) > num_units // 2  # some are dead
    source = Stored({"image": np.asarray(images), "label": labels})
    found = ablation_sweep(network, source, layer, keep, batch_size=8, chunk_size=3)
    assert_counts(found.baseline, true, counts[0])
    assert_counts(found.counts, true, counts[1:])


def test_conditions_do_not_depend_on_each_other(source):
    singles = single_unit_masks(WIDTH)
    every = ablation_sweep(pooled(), source, "conv2", singles)
    some = ablation_sweep(pooled(), source, "conv2", singles[[4, 1]], chunk_size=1)
    jax.tree.map(np.testing.assert_array_equal, some.baseline, every.baseline)
    for part, whole in zip(some.counts[1:], every.counts[1:], strict=True):
        np.testing.assert_array_equal(part, whole[[4, 1]])
    nothing = ablation_sweep(pooled(), source, "conv2", np.ones((2, WIDTH), bool))
    for part, whole in zip(nothing.counts[1:], nothing.baseline[1:], strict=True):
        np.testing.assert_array_equal(part, [whole, whole])
    assert not nothing.damage().any()


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 7}, {"chunk_size": 1}, {"chunk_size": 4}, {"memory_budget": 1}],
)
def test_counts_do_not_depend_on_batches_or_chunks(source, options):
    keep = single_unit_masks(WIDTH)
    whole = ablation_sweep(pooled(), source, "conv2", keep)
    parts = ablation_sweep(pooled(), source, "conv2", keep, **options)
    jax.tree.map(np.testing.assert_array_equal, parts.counts, whole.counts)


def test_counts_do_not_depend_on_devices(source):
    mesh = jax.make_mesh((4,), ("data",))
    keep = single_unit_masks(WIDTH)
    whole = ablation_sweep(pooled(), source, "conv2", keep)
    spread = ablation_sweep(pooled(), source, "conv2", keep, batch_size=8, mesh=mesh)
    jax.tree.map(np.testing.assert_array_equal, spread.counts, whole.counts)


@pytest.mark.parametrize("name", ["pra_a", "pra_b"])
def test_rates_are_those_of_the_reference(name):
    arrays, meta = golden.load(name)
    model = Pooled(meta["width"], meta["classes"], rngs=nnx.Rngs(0))
    for layer in ("conv1", "conv2", "fc"):
        weight = arrays[f"w:{layer}.weight"]
        kernel = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        getattr(model, layer).kernel[...] = jnp.asarray(kernel)
        getattr(model, layer).bias[...] = jnp.asarray(arrays[f"w:{layer}.bias"])
    labels = arrays["labels"].astype(np.int32)
    source = Stored({"image": arrays["images"].transpose(0, 2, 3, 1), "label": labels})
    sets = meta["ablation_sets"]
    keep = np.concatenate([unit_set_masks(sets, meta["width"]), single_unit_masks(meta["width"])])
    found = ablation_sweep(model, source, "conv2", keep)
    rates = {
        "precision": accuracy.precision,
        "recall": accuracy.recall,
        "accuracy": accuracy.single_class_accuracy,
        "balanced": accuracy.balanced_accuracy,
    }
    absent = np.bincount(labels, minlength=meta["classes"]) == 0
    for kind, rate in rates.items():
        expected = np.stack([arrays[f"{kind}_ablate{number}"] for number in range(len(sets))])
        # 0 instead of NaN where nothing is predicted; of an absent class, the half that there is.
        if kind == "balanced":
            true_negative_rate = accuracy.single_class_accuracy(found.counts)[: len(sets), absent]
            expected[:, absent] = true_negative_rate / 2
        expected[np.isnan(expected)] = 0
        np.testing.assert_allclose(rate(found.counts)[: len(sets)], expected, atol=1e-6)
        baseline = arrays[f"{kind}_baseline"]
        known = ~np.isnan(baseline)
        np.testing.assert_allclose(rate(found.baseline)[known], baseline[known], atol=1e-6)
    singles = accuracy.balanced_accuracy(found.counts)[len(sets) :, ~absent]
    np.testing.assert_allclose(singles, arrays["single_unit_balanced"][:, ~absent], atol=1e-6)


def test_what_comes_before_the_layer_runs_once(source):
    """The first layer is counted whenever it runs."""
    calls = []

    class Counted(Pooled):
        def __call__(self, images):
            jax.debug.callback(lambda _: calls.append(1), images.sum())
            return super().__call__(images)

    network, keep = Counted(WIDTH, CLASSES, rngs=nnx.Rngs(0)), single_unit_masks(WIDTH)
    found = []
    for _ in range(2):  # the first runs twice to test that examples do not depend on one another
        calls.clear()
        ablation_sweep(network, source, "conv2", keep, batch_size=NUMBER, chunk_size=2)
        jax.effects_barrier()
        found.append(len(calls))
    assert found == [2 + 1, 1]


def test_equal_sweeps_share_a_compiled_program(source):
    """Also of different objects with the same structure, as long as what they do is equal."""
    traced = []

    def counted(case):
        traced.append(case.layer)
        return ablation_methods.edited(case)

    def sweep(means):
        traced.clear()
        replacement = replacements.mean(jnp.asarray(means, jnp.float32))
        keep = single_unit_masks(WIDTH)
        ablation_sweep(pooled(), source, "conv2", keep, replacement=replacement, methods=[counted])
        return len(traced)

    # Once to see that the method applies, and once to compile.
    assert sweep(range(WIDTH)) == 2
    assert sweep(range(WIDTH)) == 1
    assert sweep(range(1, WIDTH + 1)) == 2


def outputs(jaxpr, times=1):
    """Numbers that convolutions and matrix products give, those in loops as often as they run."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in ("conv_general_dilated", "dot_general"):
            yield name, times * equation.outvars[0].aval.size
        runs = times * equation.params["length"] if name == "scan" else times
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from outputs(inner, runs)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 100])
@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_only_what_follows_the_layer_runs_for_every_condition(
    source, monkeypatch, layer, chunk_size
):
    programs = []

    def trace(step, state, source, folder, *, batch_size, **_):
        programs.append(jax.make_jaxpr(step)(state, next(batches(source, batch_size))))
        return state

    monkeypatch.setattr(ablation, "fold_resumably", trace)
    options = {"methods": (ablation_methods.edited,), "batch_size": 8, "chunk_size": chunk_size}
    ablation_sweep(pooled(), source, layer, single_unit_masks(WIDTH), **options)
    found = list(outputs(programs[0].jaxpr))
    first, second = 8 * (8 * 6) * WIDTH, 8 * (4 * 3) * WIDTH
    if layer == "conv1":
        second *= WIDTH + 1  # the conditions, and none
    assert sum(size for name, size in found if name != "dot_general") == first + second
    assert sum(size for name, size in found if name == "dot_general") == 8 * CLASSES * (WIDTH + 1)


def test_damage_is_what_is_lost():
    source = scenes(60, CLASSES, seed=2)
    found = ablation_sweep(pooled(), source, "conv2", single_unit_masks(WIDTH))
    before, after = map(accuracy.balanced_accuracy, (found.baseline, found.counts))
    damage = found.damage()
    for unit in range(WIDTH):
        np.testing.assert_allclose(damage[unit], before - after[unit])
    confident = found.damage(measure=accuracy.confidence)
    np.testing.assert_allclose(
        confident, accuracy.confidence(found.baseline) - accuracy.confidence(found.counts)
    )
    assert np.abs(confident).min() > 0 or (confident != damage).any()
    block = source.read(0, 60)
    labels, keep = block["label"], np.concatenate([np.ones((1, WIDTH)), found.keep])
    network = as_network(pooled())
    scores = [
        network.apply(network.params, block["image"], edits={"conv2": keep_units(jnp.asarray(k))})
        for k in keep.astype(bool)
    ]
    scores = np.array([each for each, _ in scores], np.float64)
    is_own = labels[:, None] == np.arange(CLASSES)
    margins = scores[:, is_own] - np.where(is_own, -np.inf, scores).max(axis=2)
    means = np.stack([margins[:, labels == c].mean(axis=1) for c in range(CLASSES)], axis=1)
    np.testing.assert_allclose(found.margin_lost(), means[0] - means[1:], atol=1e-4)


def test_a_class_without_images_loses_nothing(source):
    """Nor is there damage where only float64 rounds."""
    few = Stored({name: array[source.arrays["label"] < 3] for name, array in source.arrays.items()})
    found = ablation_sweep(pooled(), few, "conv2", single_unit_masks(WIDTH))
    assert found.counts.predicted[:, 3:].any()
    for lost in (found.damage(), found.margin_lost()):
        assert not lost[:, 3:].any() and lost[:, :3].any()
    rounds = found.damage(measure=lambda counts: 1e-14 * counts.predicted + accuracy.recall(counts))
    np.testing.assert_array_equal(
        rounds[:, :3] > 0, found.damage(measure=accuracy.recall)[:, :3] > 0
    )


def test_predictions_beyond_65_536_classes_are_kept():
    class Many(nnx.Module):
        def __init__(self):
            self.layer = nnx.Conv(3, 2, (1, 1), rngs=nnx.Rngs(0))

        def __call__(self, images):
            means = nnx.relu(self.layer(images)).mean((1, 2, 3))
            return jnp.zeros((len(images), 70_000)).at[:, 66_000].set(1 + means)

    source = Stored({"image": np.ones((2, 2, 2, 3), np.float32), "label": np.full(2, 66_000)})
    found = ablation_sweep(Many(), source, "layer", single_unit_masks(2), keep_predictions=True)
    assert found.predictions is not None and (found.predictions == 66_000).all()


def test_sets_of_units():
    np.testing.assert_array_equal(
        unit_set_masks([[1], [], [0, 2]], 3),
        [[True, False, True], [True, True, True], [False, True, False]],
    )
    np.testing.assert_array_equal(single_unit_masks(3), unit_set_masks([[0], [1], [2]], 3))
    for wrong in ([[3]], [[-1]]):
        with pytest.raises(ValueError, match=r"must lie in \[0, 3\)"):
            unit_set_masks(wrong, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": []}, "no examples"),
        ({"label_key": "scene"}, r"`label_key` \(='scene'\) is not .* have: image, label"),
        ({"chunk_size": 0}, r"`chunk_size` \(=0\) must be at least 1"),
        ({"batch_size": 0}, r"`batch_size` \(=0\) must be at least 1"),
        ({"layer": "conv3"}, "no layer 'conv3'; valid names: conv1, conv2, fc"),
        ({"layer": "fc"}, r"layer 'fc' gives \(1, 5\), which must be \[B, h, w, U\]"),
        ({"keep": np.ones((1, WIDTH + 1), bool)}, r"must be bool \[S, 6\]"),
        ({"keep": np.ones((0, WIDTH), bool)}, r"must be bool \[S, 6\]"),
        ({"network": lambda: Pooled(WIDTH, 3, rngs=nnx.Rngs(0))}, "scores the classes 0 to 2"),
    ],
)
def test_what_cannot_be_done_is_refused(source, changes, message):
    arguments = {"source": source, "layer": "conv2", "keep": single_unit_masks(WIDTH), **changes}
    network = arguments.pop("network", pooled)()
    with pytest.raises(ValueError, match=message):
        ablation_sweep(network, arguments.pop("source"), **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda labels: labels.astype("f4"), r"'label' of an example \(=float32\[\]\) must be one"),
        (lambda labels: labels > 2, r"\(=bool\[\]\) must be one integer"),
        (lambda labels: labels[:, None], r"\(=int32\[1\]\) must be one integer"),
        (lambda labels: np.eye(CLASSES)[labels], r"\(=float64\[5\]\) must be one integer"),
        (lambda labels: labels - (np.arange(NUMBER) == 17) * 9, "of example 17 is -"),
        (
            lambda labels: np.where(np.arange(NUMBER) == 39, 5, labels),
            "of example 39 is 5, .* to 4",
        ),
    ],
)
def test_a_class_must_be_an_integer_that_is_scored(source, change, message):
    changed = Stored(source.arrays | {"label": change(source.arrays["label"])})
    with pytest.raises(ValueError, match=message):
        ablation_sweep(pooled(), changed, "conv2", single_unit_masks(WIDTH))


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8"])
def test_classes_may_be_integers_of_any_width(source, dtype):
    """Also where there are more classes than these can number, and a batch is filled up."""
    labels = source.arrays["label"]
    changed = Stored(source.arrays | {"label": labels.astype(dtype)})
    found, expected = (
        ablation_sweep(pooled(classes=300), data, "conv2", single_unit_masks(WIDTH)[:2])
        for data in (changed, source)
    )
    np.testing.assert_array_equal(found.counts.true, np.bincount(labels, minlength=300))
    jax.tree.map(np.testing.assert_array_equal, found.counts, expected.counts)


def test_a_network_must_score_classes(source):
    class Maps(nnx.Module):
        def __init__(self):
            self.conv2 = nnx.Conv(3, WIDTH, (1, 1), rngs=nnx.Rngs(0))

        def __call__(self, images):
            return self.conv2(images)

    with pytest.raises(ValueError, match="must score classes"):
        ablation_sweep(Maps(), source, "conv2", single_unit_masks(WIDTH))
    with pytest.raises(TypeError, match="must be a Network or an nnx.Module"):
        ablation_sweep(lambda images: images, source, "conv2", single_unit_masks(WIDTH))
