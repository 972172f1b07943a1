"""Layers are read by programs whose static arguments are functions of the user's."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.classifiers import (
    ablation_sweep,
    correlate_with_classes,
    estimated_damage,
    replacements,
)
from jaxdissect.dissection import dissect
from jaxdissect.engine import Stored, colored
from jaxdissect.engine.layer_reader import LayerReader, as_static, image_input
from jaxdissect.networks import single_unit_masks
from jaxdissect.networks.network import as_network


@dataclass
class Shift:
    """Has equality, and so no hash."""

    by: float

    def __call__(self, batch):
        return batch["image"] - self.by


class Classifier(nnx.Module):
    def __init__(self):
        self.conv = nnx.Conv(3, 3, (1, 1), rngs=nnx.Rngs(0))

    def __call__(self, images):
        return self.conv(images).mean((1, 2))


IMAGES = np.linspace(0.0, 1.0, 2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)


def test_functions_without_hash_are_static_and_those_with_one_stay_themselves():
    assert as_static(image_input) is image_input
    shift = Shift(0.5)
    first, second = as_static(shift), as_static(shift)
    assert hash(first) == hash(first) and first == first and first != second
    network = as_network(Classifier())
    batch = {"image": IMAGES}
    for by in (0.5, 0.25):
        shift.by = by
        found = LayerReader.of(network, ("conv",), inputs=shift).read(network.params, batch)
        expected = LayerReader.of(network, ("conv",)).read(network.params, {"image": IMAGES - by})
        assert jnp.allclose(found.maps["conv"], expected.maps["conv"], atol=1e-6)


@pytest.mark.slow
def test_experiments_take_inputs_without_hash():
    network, inputs = as_network(Classifier()), Shift(0.5)
    source = Stored({"image": IMAGES, "label": np.array([0, 1], np.int32)})
    options = {"inputs": inputs, "batch_size": 2}
    result = dissect(network, source, colored(), layers=("conv",), grid=(4, 4), **options)
    assert result["conv"].num_units == 3
    assert replacements.mean_activations(network, source, "conv", **options).shape == (3,)
    assert estimated_damage(network, source, "conv", 3, **options).shape == (3, 3)
    assert correlate_with_classes(network, source, "conv", **options).correlation.shape == (3, 3)
    removals = ablation_sweep(
        network,
        source,
        "conv",
        single_unit_masks(3),
        replacement=lambda params, batch: jnp.zeros((), jnp.float32),
        **options,
    )
    assert removals.counts.true.sum() == 2
