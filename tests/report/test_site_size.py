"""A site of 512 units, with all there is to show of them, is smaller than 15 MB."""

import numpy as np
import pytest
from PIL import Image

from jaxdissect.arrays.concepts import CATEGORIES, vocabulary
from jaxdissect.dissection.layer_examples import LayerExamples, Mistakes, UnitExamples
from jaxdissect.dissection.result import Dissection, LayerDissection
from jaxdissect.report.site_run import SiteRun
from jaxdissect.report.site_writer import write_site
from jaxdissect.stats.agreement import AgreementCounts

UNITS, CONCEPTS, TOP, MISTAKES, MASK = 512, 1200, 16, 4, (56, 56)
PHOTOS = 9_000_000
"""Bytes that `unit_examples` keeps all photographs within, for up to 512 units."""


def blobs(rng, number):
    """Masks of two smooth regions, on some 5% of an image, as units of late layers have them."""
    small = rng.random((number, 7, 7)).astype(np.float32)
    large = [
        np.asarray(Image.fromarray(one, "F").resize((MASK[1], MASK[0]), Image.Resampling.BICUBIC))
        for one in small
    ]
    pixels = np.stack(large).reshape(number, -1)
    return np.packbits(pixels > np.quantile(pixels, 0.95, axis=1, keepdims=True), axis=-1)


def mistakes(rng):
    some = blobs(rng, UNITS * MISTAKES).reshape(UNITS, MISTAKES, -1)
    examples = rng.integers(0, 10_000, (UNITS, MISTAKES))
    return Mistakes(examples, np.full((UNITS, MISTAKES), 9, np.int32), some, some[::-1])


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
def test_512_units_stay_below_15_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    names = [(f"concept {i}", CATEGORIES[i % 5]) for i in range(CONCEPTS)]
    concepts = vocabulary(names)
    # A third of the concepts are met by each unit, most of them hardly.
    shape = CONCEPTS + 1, UNITS
    iou = np.where(rng.random(shape) < 0.33, 0.3 * rng.random(shape) ** 6, 0.0)
    iou[0] = 0
    pixels = rng.integers(1000, 100_000, (CONCEPTS + 1, UNITS))
    layer = LayerDissection(
        "layer4",
        concepts,
        0.04,
        rng.random(UNITS).astype(np.float32),
        AgreementCounts(pixels, pixels.sum(axis=1)),
        np.zeros(CONCEPTS + 1, np.int64),
        iou,
        rng.integers(0, 10_000, (UNITS, TOP)),
        rng.random((UNITS, TOP)).astype(np.float32),
    )
    masks = blobs(rng, UNITS * TOP).reshape(UNITS, TOP, -1)
    found = LayerExamples(
        units=np.arange(UNITS),
        concepts=layer.best_concept,
        examples=layer.top_examples,
        peaks=layer.top_values,
        places=rng.integers(0, 7, (UNITS, TOP, 2)).astype(np.int32),
        cells=(7, 7),
        masks=masks,
        boxes=rng.integers(0, 224, (UNITS, TOP, 4)).astype(np.int32),
        field_size=(100, 100),
        edges=np.sort(rng.normal(size=(UNITS, 33))).astype(np.float32),
        counts=rng.integers(0, 10**6, (UNITS, 32)),
        false_positives=mistakes(rng),
        false_negatives=mistakes(rng),
    )
    examples = UnitExamples(
        {"layer4": found}, np.arange(512), MASK, (224, 224), {0: bytes(PHOTOS)}, "digest"
    )
    examples.save(tmp_path)
    run = SiteRun("run", "run", Dissection({"layer4": layer}, concepts), examples, "photos")
    write_site(tmp_path, [run], title="Size")
    sizes = {path: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    assert PHOTOS < sum(sizes.values()) < 15_000_000, sizes
    details = [size for path, size in sizes.items() if path.parent.name == "0"]
    assert max(details) < 1_000_000  # what opening a unit loads
