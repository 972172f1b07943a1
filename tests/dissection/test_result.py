"""What a dissection remembers of how its layers were read, also when it was saved."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from support.damaged_files import DAMAGE, flipped

from jaxdissect.arrays import resampling
from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection import presets
from jaxdissect.dissection.result import load_dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.dissection.unit_images import top_images
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.engine.saved_files import read_json, write_json
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


def without_checksums(folder, version):
    """Make the files of an earlier version of those of this one."""
    path = folder / "dissection.json"
    description = json.loads(path.read_text())
    del description["sha256"], description["arrays"]
    if version == 1:
        del description["provenance"], description["on_grid"]
    path.write_text(json.dumps({**description, "format": version}))


def test_results_of_version_0_1_still_load(tmp_path):
    result = run(resampling.pixel_centers)
    result.save(tmp_path)
    without_checksums(tmp_path, 1)
    loaded = load_dissection(tmp_path)
    assert loaded.provenance is None and loaded["half"].on_grid is None
    np.testing.assert_array_equal(loaded["half"].iou, result["half"].iou)
    with pytest.raises(ValueError, match="saved before version 0.2"):
        top_images(loaded, network(), source(), units={"half": [0]})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    run(resampling.pixel_centers).save(folder)
    return folder


def refusal(folder):
    with pytest.raises(ValueError) as caught:
        load_dissection(folder)
    message = str(caught.value)
    assert "\n" not in message and "dissect again" in message
    return message


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["dissection.json", "arrays.npz"])
def test_damaged_results_are_refused(saved, tmp_path, name, version):
    folder = shutil.copytree(saved, tmp_path / "copy")
    if version < 3:
        without_checksums(folder, version)
    path, content = folder / name, (folder / name).read_bytes()
    for kind, damage in DAMAGE.items():
        if version == 3 or kind != "flipped":
            path.write_bytes(damage(content))
            assert f"{path} is damaged (" in refusal(folder)
    path.unlink()
    path.mkdir()
    assert f"{path} is damaged (it is " in refusal(folder)


def test_every_byte_of_a_description_counts(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "copy")
    path, content = folder / "dissection.json", (folder / "dissection.json").read_bytes()
    for place in range(0, len(content), 3):
        path.write_bytes(flipped(content, place))
        assert str(path) in refusal(folder)


def test_flipped_arrays_of_earlier_versions_are_refused_or_the_same(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "copy")
    without_checksums(folder, 2)
    path, content = folder / "arrays.npz", (folder / "arrays.npz").read_bytes()
    refused = 0
    for place in range(0, len(content), 11):
        path.write_bytes(flipped(content, place))
        try:
            found = load_dissection(folder)["half"]
        except ValueError as problem:
            assert f"{path} is damaged (" in str(problem) or "it does not fit" in str(problem)
            refused += 1
            continue
        expected = load_dissection(saved)["half"]
        for array in ("iou", "thresholds", "top_values", "top_examples", "scope_of"):
            np.testing.assert_array_equal(getattr(found, array), getattr(expected, array))
    assert refused > len(content) / 11 / 2


def test_arrays_that_are_missing_or_do_not_fit_are_refused(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "copy")
    path = folder / "arrays.npz"
    with np.load(path) as file:
        arrays = dict(file)
    for change in ({"0/iou": arrays["0/iou"][:, :1]}, {"0/scope_of": arrays["0/iou"]}):
        np.savez_compressed(path, **arrays | change)
        assert f"{path} is damaged (its checksum does not match)" in refusal(folder)
        without = shutil.copytree(folder, tmp_path / f"without {len(list(tmp_path.iterdir()))}")
        without_checksums(without, 2)
        assert "it does not fit arrays.npz: " in refusal(without)
    np.savez_compressed(path, **{name: arrays[name] for name in arrays if name != "0/iou"})
    without_checksums(folder, 2)
    assert "KeyError('0/iou')" in refusal(folder)
    path.unlink()
    assert f"{path} is damaged (it is missing)" in refusal(folder)


def test_what_is_no_result_of_this_version_is_refused(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="dissection.json is missing"):
        load_dissection(tmp_path)
    content = read_json(saved / "dissection.json", way_out="")
    write_json(tmp_path / "dissection.json", content | {"format": 9})
    assert "has format 9, and this version reads 1 to 3: update jaxdissect" in refusal(tmp_path)


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
