"""The whole dissection against a literal oracle, the reference's own run, and its invariances."""

import dataclasses

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from support import golden

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.arrays.resampling import pixel_centers, resample
from jaxdissect.dissection import presets
from jaxdissect.dissection.result import load_dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import Labeler, annotated, colored, segmented, together
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.stats import scores

VOCABULARY = vocabulary(
    [("cat", "object"), ("dog", "object"), ("fur", "material"), ("never", "part")]
)
LAYERS = ("early", "late")


def convolve(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def early(params, x):
    return convolve(x, params["early"], 1)


def late(params, x):
    y = jax.nn.relu(convolve(x, params["late"], 3))
    dead, constant, negative = jnp.zeros_like(y[..., :1]), jnp.full_like(y[..., :1], 0.3), -y
    return jnp.concatenate([y, dead, constant, negative], axis=-1)


def small_network():
    """`early` is larger than the label grid used here, `late` is smaller."""
    rng = np.random.default_rng(0)
    params = {
        "early": jnp.asarray(rng.standard_normal((3, 3, 3, 4)).astype(np.float32)),
        "late": jnp.asarray(rng.standard_normal((3, 3, 4, 6)).astype(np.float32)),
    }
    return StagedNetwork({"early": early, "late": late}, params)


def examples(number=13, size=18, label_size=12, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (number, label_size, label_size, 3)).astype(np.int32)
    return {
        "image": rng.random((number, size, size, 3)).astype(np.float32),
        "labels": labels,
    }


def run(arrays, **options):
    options = {"layers": LAYERS, "grid": (12, 12), "batch_size": 4} | options
    return dissect(small_network(), Stored(arrays), annotated(VOCABULARY), **options)


def assert_same(a, b, *, top=True):
    for name in LAYERS:
        np.testing.assert_array_equal(a[name].thresholds, b[name].thresholds)
        np.testing.assert_array_equal(a[name].counts.intersection, b[name].counts.intersection)
        np.testing.assert_array_equal(a[name].counts.concept, b[name].counts.concept)
        if top:
            np.testing.assert_array_equal(a[name].top_examples, b[name].top_examples)


@pytest.fixture(scope="module")
def baseline():
    return run(examples())


@pytest.mark.parametrize("layer", LAYERS)
def test_oracle(baseline, layer):
    arrays = examples()
    network = small_network()
    maps = network.activations(network.params, jnp.asarray(arrays["image"]), layers=LAYERS)[layer]
    pixels = np.asarray(resample(maps, (12, 12))).reshape(-1, maps.shape[-1])
    rank = len(pixels) // 100
    thresholds = -np.sort(-pixels, axis=0)[rank]
    np.testing.assert_allclose(baseline[layer].thresholds, thresholds, rtol=1e-5, atol=1e-7)
    active = pixels > baseline[layer].thresholds
    labels = arrays["labels"].reshape(-1, 3)
    for concept in range(1, 5):
        present = (labels == concept).any(axis=1)[:, None]
        shared, union = (present & active).sum(axis=0), (present | active).sum(axis=0)
        expected = np.divide(shared, union, out=np.zeros(len(shared)), where=union > 0)
        # A pixel whose value is the threshold may round either way in another kernel.
        apart = np.abs(baseline[layer].iou[concept] - expected)
        assert (apart <= 2 / np.maximum(union, 2)).all()
    peaks = np.asarray(maps).max(axis=(1, 2))
    np.testing.assert_allclose(
        np.take_along_axis(peaks.T, baseline[layer].top_examples, axis=1),
        -np.sort(-peaks.T, axis=1)[:, :10],
        rtol=1e-6,
    )


def test_no_unit_is_active_on_more_than_its_fraction(baseline):
    for layer in baseline.layers.values():
        assert (layer.active_fraction <= 0.01).all()
    late = baseline["late"]
    dead, constant, negative = 6, 7, slice(8, 14)
    assert late.thresholds[dead] == 0 and late.thresholds[constant] == np.float32(0.3)
    assert late.counts.unit[dead] == 0 and late.counts.unit[constant] == 0
    assert late.best_concept[dead] == 0 and late.best_iou[dead] == 0
    assert (late.thresholds[negative] <= 0).all()
    assert not np.isnan(late.iou).any()
    assert (late.iou[0] == 0).all() and (late.iou[4] == 0).all()


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_batch_size_changes_nothing(baseline, batch_size):
    assert_same(run(examples(), batch_size=batch_size), baseline)


@pytest.mark.parametrize("memory_budget", [0, 40_000])
def test_memory_budget_changes_nothing(baseline, memory_budget):
    again = run(examples(), memory_budget=memory_budget)
    assert "again" in again.settings["memory"]
    assert "one forward pass" in baseline.settings["memory"]
    assert_same(again, baseline)


def test_order_changes_nothing_but_positions(baseline):
    order = np.random.default_rng(5).permutation(13)
    shuffled = run({name: array[order] for name, array in examples().items()})
    assert_same(shuffled, baseline, top=False)
    np.testing.assert_array_equal(shuffled["late"].top_values, baseline["late"].top_values)
    best = baseline["early"].top_examples[:, 0]  # without ties, unlike rectified units
    np.testing.assert_array_equal(order[shuffled["early"].top_examples[:, 0]], best)


@pytest.mark.slow
def test_spread_over_devices(baseline):
    mesh = jax.make_mesh((4,), ("data",))
    assert_same(run(examples(), mesh=mesh), baseline)
    assert_same(run(examples(), mesh=mesh, memory_budget=0), baseline)
    assert_same(run(examples(), mesh=mesh, batch_size=3), baseline)


@pytest.mark.parametrize("memory_budget", [0, 2**30])
def test_the_paths_for_accelerators_give_the_same_result(baseline, monkeypatch, memory_budget):
    def accelerator(*arguments, default, **_):
        return default(*arguments)

    jax.clear_caches()
    monkeypatch.setattr(jax.lax, "platform_dependent", accelerator)
    assert_same(run(examples(), memory_budget=memory_budget), baseline)
    jax.clear_caches()


def test_layers_alone_equal_layers_together(baseline):
    alone = dissect(
        small_network(), Stored(examples()), annotated(VOCABULARY), layers=["late"], grid=(12, 12)
    )
    np.testing.assert_array_equal(alone["late"].iou, baseline["late"].iou)


def test_one_image():
    result = run(examples(number=1))
    assert result["late"].top_examples.shape == (14, 1)
    assert (result["late"].counts.unit <= 1).all()


def test_presets_that_make_no_sense():
    with pytest.raises(ValueError, match=r"`fraction` \(=1.0\)"):
        presets.Preset("p", fraction=1.0, min_iou=0.04)
    with pytest.raises(ValueError, match="`scope` .* must be all_pixels"):
        dataclasses.replace(presets.REFERENCE, scope=presets.annotated_pixels)


def test_runners_up_keep_their_own_iou():
    layer = run(examples(), preset=presets.REFERENCE)["late"]
    rows = list(layer.rows(runners_up=4))
    for unit, row in enumerate(rows[:6]):
        values = [row[f"iou_{place}"] for place in range(1, 6)]
        np.testing.assert_array_equal(values, -np.sort(-layer.iou[:, unit]))


def test_annotated_scopes():
    arrays = examples()
    arrays["labels"][arrays["labels"] == 3] = 0
    arrays["labels"][:7] = 0  # no annotation at all in these
    everything = run(arrays)["late"]
    pixels = run(arrays, preset=presets.Preset("p", 0.01, 0.04, scope=presets.annotated_pixels))[
        "late"
    ]
    images = run(arrays, preset=presets.NETDISSECT2017)["late"]
    np.testing.assert_array_equal(pixels.counts.intersection[:5], everything.counts.intersection)
    labels = arrays["labels"].reshape(-1, 3)
    assert pixels.counts.concept[5] == ((labels == 1) | (labels == 2)).any(axis=1).sum()
    assert images.counts.concept[5] == 6 * 144
    assert (pixels.iou >= everything.iou).all() and (pixels.iou > everything.iou).any()


def test_two_labelers_and_a_segmenter():
    arrays = examples()
    halves = Labeler(
        vocabulary([("left", "part"), ("cat", "object")]),
        lambda params, batch, grid: jnp.broadcast_to(
            (jnp.arange(grid[1]) < grid[1] // 2).astype(jnp.int32)[None, None, :, None],
            (batch["image"].shape[0], *grid, 1),
        ),
    )
    bright = segmented(
        Segmenter(
            vocabulary([("bright", "material")]),
            jnp.float32(0.5),
            lambda params, images, grid: (images.mean(-1, keepdims=True) > params).astype(
                jnp.int32
            ),
        )
    )
    joined = together(annotated(VOCABULARY), halves, bright, colored())
    assert len(joined.vocabulary) == 5 + 1 + 1 + 11
    result = dissect(small_network(), Stored(arrays), joined, layers=LAYERS, grid=(12, 12))
    alone = run(arrays)
    np.testing.assert_array_equal(result["late"].iou[:5], alone["late"].iou)
    counts = result["late"].counts
    assert counts.concept[joined.vocabulary.index("left")] == 13 * 144 // 2
    colors = joined.vocabulary.of_category("color")
    assert counts.concept[colors].sum() == counts.total


def test_save_load_csv(baseline, tmp_path):
    baseline.save(tmp_path / "deep" / "result")
    loaded = load_dissection(tmp_path / "deep" / "result")
    assert_same(loaded, baseline)
    assert loaded.vocabulary == baseline.vocabulary and loaded.settings == baseline.settings
    np.testing.assert_array_equal(loaded["late"].iou, baseline["late"].iou)
    np.testing.assert_array_equal(
        loaded["late"].score(scores.f1), baseline["late"].score(scores.f1)
    )
    baseline.write_csv(tmp_path / "units.csv")
    lines = (tmp_path / "units.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 + 14
    assert lines[0].startswith("layer,unit,threshold,active_fraction,detector,concept_1")
    with pytest.raises(FileNotFoundError, match="no dissection in"):
        load_dissection(tmp_path)


def test_counts_of_detectors(baseline):
    layer = baseline["late"]
    units = layer.detectors(min_iou=0.0)
    assert (np.diff(layer.best_iou[units]) <= 0).all()
    counts = layer.concept_counts(min_iou=0.0)
    assert sum(counts.values()) == len(units)
    by_category = layer.category_counts(min_iou=0.0)
    assert list(by_category) == ["object", "part", "material"]
    assert sum(c.units for c in by_category.values()) == len(units)
    assert by_category["part"] == (0, 0)
    assert layer.ranking(2).shape == (2, 14)


class TokenNetwork(nnx.Module):
    def __init__(self):
        self.tokens = nnx.Linear(3, 5, rngs=nnx.Rngs(0))

    def __call__(self, images):
        patches = images[:, ::6, ::6].reshape(images.shape[0], 9, 3)
        return self.tokens(patches).mean(axis=1)


def test_token_layers_and_nnx_modules():
    given = (TokenNetwork(), Stored(examples()), annotated(VOCABULARY))
    with pytest.raises(ValueError, match="layer 'tokens' .* 3 x 3 or 2 x 2 [+] 5.* `drop_tokens`"):
        dissect(*given, layers="tokens", grid=(6, 6))
    result = dissect(*given, layers="tokens", grid=(6, 6), token_grid=[3, 3])
    assert result["tokens"].num_units == 5
    maps = result["tokens"].on_grid
    assert maps is not None and maps.shape == (3, 3)
    fewer = dissect(*given, layers="tokens", grid=(6, 6), drop_tokens=(0, 1, 2, 3, -1))
    maps, provenance = fewer["tokens"].on_grid, fewer.provenance
    assert maps is not None and maps.shape == (2, 2)
    assert provenance is not None and provenance.drop_tokens == (0, 1, 2, 3, -1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ["late", "latest"]}, "no layer 'latest'; valid names: early, late"),
        ({"layers": []}, "`layers` must name at least one layer"),
        ({"thresholds": {"late": np.zeros(3)}}, r"layer 'early' must have shape \(4,\), not None"),
        ({"alignments": {"conv": pixel_centers}}, r"`alignments` has \['conv'\]"),
        ({"num_top_images": 0}, r"`k` \(=0\) must be at least 1"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        run(examples(), **change)


def test_bad_data():
    arrays = examples()
    for value in (np.nan, np.inf):
        broken = arrays["image"].copy()
        broken[9, 3, 3] = value
        with pytest.raises(
            ValueError, match=r"layer 'early' has NaN or infinite .* batch 2, example 9"
        ):
            run(arrays | {"image": broken})
    labels = arrays["labels"].copy()
    labels[5, 0, 0, 1] = 5
    with pytest.raises(ValueError, match=r"`labels` of example 5 contain 5.*ids are 0 to 4"):
        run(arrays | {"labels": labels})
    both = together(annotated(VOCABULARY), colored())
    for wrong in (5, -1):
        labels[5, 0, 0, 1] = wrong
        with pytest.raises(ValueError, match=r"`labels` of example 5 contain .* not in the vocab"):
            wrongly = Stored(arrays | {"labels": labels})
            dissect(small_network(), wrongly, both, layers=LAYERS, grid=(12, 12))
    flat = arrays | {"labels": arrays["labels"][..., 0]}
    with pytest.raises((ValueError, jaxtyping.TypeCheckError)):
        run(flat)
    with pytest.raises(ValueError, match="reserved names"):
        run(arrays | {"weight": np.ones(13)})
    with pytest.raises(ValueError, match="`source` gives uint8 in 'image'; give images as floats"):
        run(arrays | {"image": (arrays["image"] * 255).astype(np.uint8)})
    with pytest.raises(ValueError, match="`source` has no examples"):
        run({name: array[:0] for name, array in arrays.items()})
    ragged = [
        {"image": np.zeros((18, n, 3), np.float32), "labels": arrays["labels"][0]} for n in (18, 9)
    ]
    with pytest.raises(ValueError, match=r"'image' of example 1 has shape \(18, 9, 3\)"):
        dissect(small_network(), ragged, annotated(VOCABULARY), layers=LAYERS)


# --- the reference's own small run ---------------------------------------------------------------


def golden_images(meta, stored):
    return stored["images"].astype(np.float32) / 255


def golden_network(stored):
    mean, std = (
        np.array([0.485, 0.456, 0.406], np.float32),
        np.array([0.229, 0.224, 0.225], np.float32),
    )

    def convolve(x, kernel, bias):
        y = jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest",
        )
        return jax.nn.relu(y + bias.reshape(1, 1, 1, -1))

    def conv1(params, x):
        x = (x - mean.reshape(1, 1, 1, 3)) / std.reshape(1, 1, 1, 3)
        return convolve(x, *params["conv1"])

    def conv2(params, x):
        pooled = x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max(axis=(2, 4))
        return convolve(pooled, *params["conv2"])

    params = {
        name: (
            jnp.asarray(stored[f"w:{name}.weight"].transpose(2, 3, 1, 0)),
            jnp.asarray(stored[f"w:{name}.bias"]),
        )
        for name in ("conv1", "conv2")
    }
    return StagedNetwork({"conv1": conv1, "conv2": conv2}, params)


def toy_segmenter(downsample):
    """The segmentation rule of the golden run, on images in [-1, 1] made smaller by averaging."""

    def segment(images):
        b, h, w, _ = images.shape
        d = downsample
        x = (images * 2 - 1).reshape(b, h // d, d, w // d, d, 3).mean(axis=(2, 4))
        first = (x + jnp.float32([0, 1e-4, 2e-4]).reshape(1, 1, 1, 3)).argmax(axis=-1) + 1
        mean, blue = x.mean(axis=-1), x[..., 2]
        second = jnp.where(mean > 0.1503, 5, jnp.where(mean < -0.1497, 4, 0))
        third = jnp.where(blue > 0.3003, 6, 0)
        return jnp.stack([first, second, third], axis=-1).astype(jnp.int32)

    return segment


@pytest.mark.parametrize("name", ["dissect_a", "dissect_b"])
def test_golden(name):
    stored, meta = golden.load(name)
    network, images = golden_network(stored), golden_images(meta, stored)
    first = jnp.asarray(images[:2])
    layer = meta["layer"]
    maps = network.activations(network.params, first, layers=(layer,))[layer]
    scale = np.abs(stored["acts_first2"]).max()
    np.testing.assert_allclose(maps.transpose(0, 3, 1, 2), stored["acts_first2"], atol=1e-5 * scale)
    segment = toy_segmenter(meta["downsample"])
    np.testing.assert_array_equal(segment(first).transpose(0, 3, 1, 2), stored["seg_first2"])

    concepts = vocabulary(tuple(entry) for entry in meta["labels"][1:])
    preset = presets.Preset(
        **{**vars(presets.REFERENCE), "fraction": meta["quantile"], "min_iou": meta["miniou"]}
    )

    def run_golden(thresholds):
        return dissect(
            network,
            Stored({"image": images}),
            segmented(Segmenter(concepts, (), lambda params, images, grid: segment(images))),
            layers=[layer],
            preset=preset,
            grid=tuple(meta["target"]),
            batch_size=4,
            thresholds=thresholds,
            num_top_images=meta["topk"],
        )[layer]

    exact = run_golden(None)
    np.testing.assert_allclose(exact.thresholds, stored["exact_level_hazen"], rtol=2e-6)
    # Where the reference's sketch was not exact, only its own thresholds give its own IoU.
    result = exact if stored["sketch_exact"] else run_golden({layer: stored["level"]})
    np.testing.assert_array_equal(result.counts.concept[stored["keys"]], stored["size"])
    np.testing.assert_array_equal(result.top_examples, stored["topk_index"])
    np.testing.assert_allclose(result.top_values, stored["topk_values"], rtol=1e-5)
    rows = len(stored["iou"])
    np.testing.assert_allclose(result.iou[:rows], stored["iou"], atol=1e-6)
    np.testing.assert_array_equal(result.iou[:rows].argmax(axis=0), stored["unit_concept"])
    np.testing.assert_allclose(result.best_iou, stored["unit_iou"], atol=1e-6)
