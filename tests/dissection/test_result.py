"""What a dissection remembers of how its layers were read, also when it was saved."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.arrays import resampling
from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection import presets
from jaxdissect.dissection.result import load_dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.dissection.unit_images import top_images
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.staged_network import StagedNetwork

CONCEPTS = vocabulary([("cat", "object"), ("dog", "object")])
FIELD = resampling.ReceptiveField((2.0, 2.0), (0.5, 0.5))
ALIGNMENTS = {
    "centers": resampling.pixel_centers,
    "fields": resampling.align_receptive_field(FIELD, (8, 8)),
    "corners": resampling.align_corners(FIELD, image=(8, 8), declared_shape=(4, 4)),
}


def shrink(params, x):
    return x[:, ::2, ::2] * params


def source(seed=0):
    rng = np.random.default_rng(seed)
    image = rng.random((6, 8, 8, 3)).astype(np.float32)
    return Stored({"image": image, "labels": rng.integers(0, 3, (6, 8, 8, 1)).astype(np.int32)})


def network(scale=1.0):
    return StagedNetwork({"half": shrink}, jnp.float32(scale))


def run(alignment, preset=presets.PNAS2020):
    return dissect(
        network(),
        source(),
        annotated(CONCEPTS),
        layers=["half"],
        preset=preset,
        grid=(8, 8),
        alignments={"half": alignment},
        batch_size=4,
    )


@pytest.mark.parametrize("alignment", ALIGNMENTS.values(), ids=ALIGNMENTS)
@pytest.mark.parametrize("preset", [presets.PNAS2020, presets.REFERENCE], ids=lambda p: p.name)
def test_how_layers_were_read_is_saved(tmp_path, alignment, preset):
    result = run(alignment, preset)
    result.save(tmp_path)
    loaded = load_dissection(tmp_path)
    assert loaded.provenance == result.provenance
    on_grid = loaded["half"].on_grid
    assert on_grid is not None and on_grid == result["half"].on_grid
    assert on_grid.alignment == alignment and on_grid.border is preset.border
    units = {"half": [0, 2]}
    before, after = (
        top_images(r, network(), source(), units=units)["half"] for r in (result, loaded)
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.active, other.active)
        # The image is as large as the grid: pixels are those that were counted.
        assert one.active.sum() == result["half"].counts.unit[one.unit]


def own_alignment(grid, shape):
    return resampling.pixel_centers(grid, shape)


def test_an_alignment_of_the_users_own_is_known_until_it_is_saved(tmp_path):
    result = run(own_alignment)
    assert top_images(result, network(), source(), units={"half": [0]})["half"]
    result.save(tmp_path)
    loaded = load_dissection(tmp_path)
    assert loaded["half"].on_grid is None
    with pytest.raises(ValueError, match="does not know how layer 'half' was read"):
        top_images(loaded, network(), source(), units={"half": [0]})


def test_results_of_version_0_1_still_load(tmp_path):
    result = run(resampling.pixel_centers)
    result.save(tmp_path)
    path = tmp_path / "dissection.json"
    description = json.loads(path.read_text())
    del description["provenance"], description["on_grid"]
    path.write_text(json.dumps({**description, "format": 1}))
    loaded = load_dissection(tmp_path)
    assert loaded.provenance is None and loaded["half"].on_grid is None
    np.testing.assert_array_equal(loaded["half"].iou, result["half"].iou)
    with pytest.raises(ValueError, match="saved before version 0.2"):
        top_images(loaded, network(), source(), units={"half": [0]})


def test_another_network_input_or_source_is_refused():
    result = run(resampling.pixel_centers)
    with pytest.raises(ValueError, match="`network` is not the one that was dissected"):
        top_images(result, network(2.0), source(), units={"half": [0]})
    with pytest.raises(ValueError, match="`inputs` and `source` must be those"):
        top_images(result, network(), source(seed=1), units={"half": [0]})
    with pytest.raises(ValueError, match="`inputs` and `source` must be those"):
        top_images(
            result,
            network(),
            source(),
            inputs=lambda batch: 2 * batch["image"] - 1,
            units={"half": [0]},
        )


def test_some_layers_alone():
    result = run(resampling.pixel_centers)
    assert result.only("half").provenance == result.provenance
    with pytest.raises(KeyError, match="no layer 'whole'"):
        result.only("whole")
