"""Data sets of images that experiments need: where they are, how large, and how they are known.

None of them is downloaded here: their terms are to be agreed to, and they are large. What is not
known of one is None, and said as unknown.
"""

from typing import NamedTuple


class DataSet(NamedTuple):
    """A data set of images.

    Attributes:
        title: What it is.
        layout: How its files must lie in the folder that is given for it.
        num_images: Number of images, as published; None where that is not known.
        url: Where it was published; None where that is not known.
        md5: MD5 hash of its archive, as far as it is published.
        megabytes: About how large it is; None where that is unknown.
    """

    title: str
    layout: str
    num_images: int | None
    url: str | None = None
    md5: str | None = None
    megabytes: float | None = None


_OF_CLASSES = "a folder for every class, with its images"
_DISSECT = "https://dissect.csail.mit.edu/datasets"

DATA_SETS: dict[str, DataSet] = {
    "places-val": DataSet(
        "Places365, validation images (365 classes, 100 images each)",
        _OF_CLASSES,
        36_500,
        f"{_DISSECT}/places_val.zip",
        "593bbc21590cf7c396faac2e600cd30c",
    ),
    "places-train": DataSet(
        "Places365, training images (365 classes)",
        _OF_CLASSES,
        1_803_460,
        f"{_DISSECT}/places_train.zip",
        "d1db6ad3fc1d69b94da325ac08886a01",
    ),
    "imagenet-train": DataSet(
        "ImageNet (ILSVRC 2012), training images (1,000 classes)",
        f"{_OF_CLASSES}, called n01440764 or tench",
        1_281_167,
    ),
    "imagenet-val": DataSet(
        "ImageNet (ILSVRC 2012), validation images (1,000 classes, 50 images each)",
        f"{_OF_CLASSES}, called n01440764 or tench",
        50_000,
    ),
    "paintings": DataSet(
        "Painter by Numbers, training images, as styles",
        "images, in folders or not",
        None,
    ),
}
"""All data sets, by the names that they are given by."""
