"""Methods of ablation: all give the same predictions, whatever removed units output instead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.toy_classifiers import pooled, scenes

from jaxdissect.classifiers import ablation_methods, replacements
from jaxdissect.classifiers.ablation import ablation_sweep
from jaxdissect.engine.batching import Joined, Stored
from jaxdissect.engine.data.pairs import DONOR
from jaxdissect.networks.ablation_masks import single_unit_masks, unit_set_masks
from jaxdissect.networks.network import as_network
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.scene_classifier import CONVOLUTIONS
from jaxdissect.scenes.shipped import load_classifier

WIDTH, CLASSES, NUMBER = 6, 5, 40
KEEP = np.concatenate(
    [single_unit_masks(WIDTH), unit_set_masks([[0, 3], [1, 2, 5], range(WIDTH)], WIDTH)]
)


@pytest.fixture(scope="module")
def source():
    plain = scenes(NUMBER, CLASSES)
    shifted = np.roll(plain.read(0, NUMBER)["image"], 7, axis=0)
    return Joined(plain, Stored({DONOR: shifted}))


def assert_same(found, expected):
    for name in ("true", "predicted", "correct"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=2 * NUMBER)


@pytest.mark.parametrize("method", [ablation_methods.low_rank, ablation_methods.masked_parameters])
def test_methods_give_the_same_counts(source, method):
    expected = ablation_sweep(pooled(), source, "conv2", KEEP, methods=[ablation_methods.edited])
    found = ablation_sweep(pooled(), source, "conv2", KEEP, methods=[method])
    assert (expected.method, found.method) == ("edited", method.__name__)
    assert len(np.unique(expected.counts.predicted, axis=0)) > 4
    assert_same(found.counts, expected.counts)
    assert_same(found.baseline, expected.baseline)


def test_the_fastest_method_that_applies_is_taken(source):
    assert ablation_sweep(pooled(), source, "conv2", KEEP).method == "low_rank"
    assert ablation_sweep(pooled(), source, "conv1", KEEP).method == "edited"
    with pytest.raises(ValueError, match=r"`methods` \(=\['low_rank'\]\): none applies"):
        ablation_sweep(pooled(), source, "conv1", KEEP, methods=[ablation_methods.low_rank])


def replacements_of(model):
    network = as_network(model)
    means = jnp.arange(WIDTH, dtype=jnp.float32) / 8
    return {
        "zero": replacements.zero,
        "mean": replacements.mean(means),
        "resampled": replacements.resampled(network, "conv2"),
    }


@pytest.mark.parametrize("method", [ablation_methods.low_rank, ablation_methods.edited])
@pytest.mark.parametrize("kind", ["zero", "mean", "resampled"])
def test_removed_units_output_their_replacement(source, kind, method):
    """Maps are changed by hand, condition after condition."""
    model = pooled()
    block = source.read(0, NUMBER)

    def maps_of(images):
        first = nnx.max_pool(nnx.relu(model.conv1(jnp.asarray(images))), (2, 2), (2, 2))
        return np.asarray(model.conv2(first))

    maps = maps_of(block["image"])
    instead = {
        "zero": np.zeros_like(maps),
        "mean": np.broadcast_to(np.arange(WIDTH, dtype=np.float32) / 8, maps.shape),
        "resampled": maps_of(block[DONOR]),
    }[kind]
    found = ablation_sweep(
        model, source, "conv2", KEEP, replacement=replacements_of(model)[kind], methods=[method],
        keep_predictions=True,
    )  # fmt: skip
    assert found.predictions is not None
    np.testing.assert_array_equal(found.labels, block["label"])
    for kept, predictions in zip([np.ones(WIDTH, bool), *KEEP], found.predictions, strict=True):
        changed = jnp.asarray(np.where(kept, maps, instead))
        scores = model.fc(nnx.relu(changed).mean((1, 2)))
        np.testing.assert_array_equal(predictions, np.asarray(scores).argmax(-1))


@pytest.mark.slow
def test_methods_agree_on_the_scene_classifier():
    images = scenes_dataset(30, seed=9)
    model, layer = load_classifier(), CONVOLUTIONS[-1]
    keep = np.concatenate([single_unit_masks(48), unit_set_masks([range(20), range(10, 48)], 48)])
    found, expected = (
        ablation_sweep(
            model, images, layer, keep, methods=[method], label_key="scene", chunk_size=16
        )
        for method in (ablation_methods.low_rank, ablation_methods.edited)
    )
    jax.tree.map(np.testing.assert_array_equal, found.counts[:3], expected.counts[:3])
