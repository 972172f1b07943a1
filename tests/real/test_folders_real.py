"""Photographs and the object maps drawn over them, read as a folder."""

import numpy as np
from paths import real_folder

from jaxdissect.arrays.concepts import read_concepts
from jaxdissect.engine.data.folders import image_folder


def test_photographs_with_object_maps():
    folder = real_folder("miniplaces")
    known = read_concepts(folder / "objects.txt")
    assert len(known) - 1 == 175 and known.category_names == ("object",)
    source = image_folder(
        folder / "images", masks=[folder / "masks"], image_size=(64, 64), vocabulary_size=len(known)
    )
    assert len(source) == 3492

    index = np.loadtxt(folder / "index.csv", dtype=str, delimiter=",", skiprows=1)
    labelled = dict(zip(index[:, 0], index[:, 2].astype(float), strict=True))
    for i in range(0, len(source), 100):
        example = source[i]
        assert example["image"].shape == (64, 64, 3) and example["image"].dtype == np.float32
        assert 0 <= example["image"].min() < example["image"].max() <= 1
        assert example["labels"].shape == (128, 128, 1)
        fraction = (example["labels"] > 0).mean()
        np.testing.assert_allclose(
            fraction, labelled[source.name(i).removesuffix(".jpg")], atol=6e-4
        )
