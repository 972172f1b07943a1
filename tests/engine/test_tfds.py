"""Data sets of TensorFlow Datasets: a small real one is prepared, read back, and dissected."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from support import probed_networks

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.commands.main import main
from jaxdissect.dissection.result import load_dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored, batches
from jaxdissect.engine.data.tfds import TfdsSource, tfds_source
from jaxdissect.engine.labelers import annotated

SIZE = (8, 8)
NUM_EXAMPLES = {"train": 6, "test": 2}
VOCABULARY = vocabulary([("cat", "object"), ("dog", "object"), ("fur", "material")])


def written(split: str) -> list[dict[str, Any]]:
    """What is stored, drawn again at every call."""
    random = np.random.default_rng(len(split))
    return [
        {
            "image": random.integers(0, 256, (*SIZE, 3)).astype(np.uint8),
            "grey": random.integers(0, 256, SIZE).astype(np.uint8),
            "objects": random.integers(0, 4, SIZE).astype(np.uint8),
            "parts": random.integers(0, 900, SIZE).astype(np.uint16),
            "deep": random.integers(0, 60000, SIZE).astype(np.uint16),
            "small": random.integers(0, 4, (4, 4)).astype(np.uint8),
            "faint": random.integers(0, 2, SIZE).astype(bool),
            "narrow": np.zeros((4, 2), np.uint8),
            "label": np.int64(place % 3),
            "score": np.float32(place / 4),
        }
        for place in range(NUM_EXAMPLES[split])
    ]


def png(pixels: np.ndarray) -> io.BytesIO:
    """Pictures must come as files: TFDS encodes arrays with TensorFlow."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    file.seek(0)
    return file


class TinyScenes(tfds.core.GeneratorBasedBuilder):
    """Images, label maps, and every other kind of feature, in the formats that TFDS has."""

    # Else it is looked for as a resource of a package, which the tests are not.
    code_path = tfds.core.Path(__file__)
    VERSION = tfds.core.Version("1.0.0")
    PICTURES = ("image", "grey", "objects", "parts", "deep", "small", "narrow", "faint", "torn")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features
        one_channel = (None, None, 1)
        return tfds.core.DatasetInfo(
            builder=self,
            features=features.FeaturesDict(
                {
                    "image": features.Image(shape=(*SIZE, 3)),
                    "grey": features.Image(shape=one_channel),
                    "objects": features.LabeledImage(labels=4, shape=one_channel),
                    "parts": features.Image(shape=one_channel, dtype=np.uint16),
                    "deep": features.Image(shape=one_channel),  # 16 bits, unlike what is said
                    "small": features.Image(shape=one_channel),
                    "narrow": features.Image(shape=one_channel),
                    "faint": features.Image(shape=one_channel),
                    "torn": features.Image(),
                    "label": features.ClassLabel(num_classes=3),
                    "score": np.float32,
                    "box": features.BBoxFeature(),
                    "weight": np.float32,
                    "text": features.Text(),
                    "list": features.Sequence(np.int64),
                    "group": {"inner": np.int32},
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in NUM_EXAMPLES}

    def _generate_examples(self, split):
        for place, example in enumerate(written(split)):
            whole = png(example["image"]).getvalue()
            files = {name: png(example[name]) for name in self.PICTURES if name in example}
            others = {
                "torn": io.BytesIO(whole[: len(whole) // 2] if place == 1 else whole),
                "label": int(example["label"]),
                "score": float(example["score"]),
                "box": tfds.features.BBox(0.0, 0.25, 0.5, 1.0),
                "weight": 1.0,
                "text": "some words",
                "list": [1] * place,
                "group": {"inner": place},
            }
            yield place, files | others


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    TinyScenes(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


@pytest.fixture(scope="module")
def builder(data_dir) -> tfds.core.DatasetBuilder:
    return TinyScenes(data_dir=data_dir, file_format="array_record")


@pytest.fixture(scope="module")
def order(builder) -> dict[str, list[int]]:
    """Places in `written` of the examples of a split, which TFDS shuffles."""
    return {split: places(tfds_source(builder, split)) for split in NUM_EXAMPLES}


def places(source: TfdsSource) -> list[int]:
    """Tell examples by their score."""
    return [round(float(source[index]["score"]) * 4) for index in range(len(source))]


def test_examples_equal_what_was_written(builder, order):
    for split, number in NUM_EXAMPLES.items():
        source = tfds_source(builder, split, labels=["objects", "parts"])
        assert len(source) == number and sorted(order[split]) == list(range(number))
        for index, place in enumerate(order[split]):
            example, expected = source[index], written(split)[place]
            assert set(example) == {"image", "labels", "label", "score"}
            pixels = expected["image"].astype(np.float32) / 255
            np.testing.assert_array_equal(example["image"], pixels)
            np.testing.assert_array_equal(example["labels"][:, :, 0], expected["objects"])
            np.testing.assert_array_equal(example["labels"][:, :, 1], expected["parts"])
            for name in ("label", "score"):
                assert example[name] == expected[name]
                assert example[name].dtype == expected[name].dtype and example[name].shape == ()
            assert example["image"].dtype == np.float32 and example["labels"].dtype == np.int32


def test_only_the_features_asked_for_are_kept(builder):
    assert set(tfds_source(builder, "test")[0]) == {"image", "label", "score"}
    assert tfds_source(builder, "test").class_names == ("0", "1", "2")
    nothing = tfds_source(builder, "test", features=[])
    assert set(nothing[0]) == {"image"} and nothing.class_names == ()
    example = tfds_source(builder, "test", features=["box"])[0]
    assert set(example) == {"image", "box"}
    np.testing.assert_array_equal(example["box"], [0, 0.25, 0.5, 1])


def test_places_count_from_either_end_and_end(builder):
    source = tfds_source(builder, "train")
    np.testing.assert_array_equal(source[-1]["image"], source[5]["image"])
    for place in (6, -7):
        with pytest.raises(IndexError):
            source[place]


def test_splits_and_limits(builder, order):
    assert places(tfds_source(builder, "train[:50%]")) == order["train"][:3]
    assert places(tfds_source(builder, "test+train[4:]")) == order["test"] + order["train"][4:]
    assert places(tfds_source(builder, "train", limit=4)) == order["train"][:4]
    assert places(tfds_source(builder, "train", limit=99)) == order["train"]


def test_grayscale_is_repeated(builder, order):
    example = tfds_source(builder, "test", image="grey")[0]
    grey = written("test")[order["test"][0]]["grey"].astype(np.float32) / 255
    np.testing.assert_array_equal(example["image"], np.dstack([grey] * 3))


def test_images_are_averaged_and_label_maps_picked_when_resized(builder, order):
    source = tfds_source(builder, "test", labels=["objects", "small"], image_size=(16, 4))
    example, expected = source[0], written("test")[order["test"][0]]
    assert example["image"].shape == (16, 4, 3) and example["labels"].shape == (16, 4, 2)
    means = expected["image"].mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(example["image"].mean(axis=(0, 1)), means, atol=0.02)
    # The centres of new pixels lie on the borders of two old columns; they belong to the right one.
    objects = np.repeat(expected["objects"], 2, axis=0)[:, 1::2]
    np.testing.assert_array_equal(example["labels"][:, :, 0], objects)
    small = np.repeat(expected["small"], 4, axis=0)
    np.testing.assert_array_equal(example["labels"][:, :, 1], small)


def test_a_builder_its_name_and_its_folder_mean_the_same(builder, data_dir, order):
    folder = data_dir / "tiny_scenes/1.0.0"
    named = [("tiny_scenes", data_dir), ("tiny_scenes:1.0.0", str(data_dir))]
    for found, data_folder in (*named, (folder, None), (str(folder), None)):
        source = tfds_source(found, "train", data_dir=data_folder)
        assert source.title == "tiny_scenes/1.0.0 train" and places(source) == order["train"]


def test_tensorflow_is_not_imported_nor_the_code_of_the_data_set_needed(data_dir, order):
    """TFDS itself is imported only when a source is made."""
    code = """
import sys
from jaxdissect.engine.data.tfds import tfds_source
assert "tensorflow_datasets" not in sys.modules and "PIL" not in sys.modules
source = tfds_source("tiny_scenes", "train", data_dir=sys.argv[1], labels=["objects"])
print([round(float(source[index]["score"]) * 4) for index in range(len(source))])
assert "tensorflow" not in sys.modules
"""
    command = [sys.executable, "-W", "error", "-c", code, str(data_dir)]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == order["train"]


def test_damaged_pictures_are_named(builder, order):
    source = tfds_source(builder, "train", image="torn", limit=6)
    torn = order["train"].index(1)
    for place in set(range(6)) - {torn}:
        assert source[place]["image"].shape == (*SIZE, 3)
    message = f"cannot read 'torn' of example {torn} of tiny_scenes/1.0.0 train: "
    with pytest.raises(ValueError, match=message):
        source[torn]


def test_images_of_many_bits_are_refused(builder):
    with pytest.raises(ValueError, match="'deep' of example 0 .* has more than 8 bits"):
        tfds_source(builder, "test", image="deep")[0]


def test_labels_must_be_label_maps_of_one_size_within_the_vocabulary(builder):
    with pytest.raises(ValueError, match="'faint' of example 0 .*is grayscale with 1 bits"):
        tfds_source(builder, "test", labels=["faint"])[0]
    source = tfds_source(builder, "test", labels=["objects", "small"])
    sizes = r"example 0 of .* differ in size: 'objects' \(8, 8\), 'small' \(4, 4\); set `image_"
    with pytest.raises(ValueError, match=sizes):
        source[0]
    source = tfds_source(builder, "test", labels=["narrow"], image_size=(8, 8))
    shapes = (
        r"'narrow' of example 0 .*\(4 x 2, H x W\) does not have the shape of its image 'image'"
    )
    with pytest.raises(ValueError, match=shapes):
        source[0]
    assert tfds_source(builder, "test", labels=["objects"], vocabulary_size=4)[0]
    source = tfds_source(builder, "test", labels=["objects", "parts"], vocabulary_size=4)
    with pytest.raises(ValueError, match="'parts' of example 0 of .*: label 8.. lies outside"):
        source[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "objects"}, r"`labels` \(='objects'\) must be a list of names"),
        ({"features": "label"}, r"`features` \(='label'\) must be a list of names"),
        ({"image_size": (0, 4)}, r"`image_size` \(=\(0, 4\)\)"),
        ({"limit": 0}, r"`limit` \(=0\) must be at least 1"),
        ({"vocabulary_size": 0}, r"`vocabulary_size` \(=0\) must be at least 1"),
        ({"image": "picture"}, r"`image` \(='picture'\) .*: deep, faint, grey, image, narrow, o"),
        ({"image": "parts"}, r"`image` \(='parts'\) must be among .* of 8 bits"),
        (
            {"labels": ["image"]},
            r"`labels` \(='image'\) .*: deep, faint, grey, narrow, objects, parts, small$",
        ),
        ({"labels": ["label"]}, r"`labels` \(='label'\) must be among .* label maps"),
        ({"features": ["text"]}, r"`features` \(='text'\) .* numbers .*: box, label, score$"),
        ({"features": ["weight"]}, r"`features` \(='weight'\) must be among"),
        ({"features": ["list"]}, r"`features` \(='list'\) must be among"),
        ({"features": ["group"]}, r"`features` \(='group'\) must be among"),
        ({"features": ["grey"]}, r"`features` \(='grey'\) must be among"),
        ({"data_dir": "elsewhere"}, "`data_dir` goes with the name of a data set"),
    ],
)
def test_senseless_options_are_refused(builder, options, message):
    with pytest.raises(ValueError, match=message):
        tfds_source(builder, "test", **options)


@pytest.mark.parametrize(
    ("split", "reason"),
    [("nowhere", "Unknown split"), ("train[", "Error parsing"), ("train[:0]", "length")],
)
def test_unknown_splits_are_refused(builder, split, reason):
    with pytest.raises(ValueError, match=rf"`split` .*{reason}.*: train \(6\), test \(2\)"):
        tfds_source(builder, split)


def test_unknown_data_sets_are_refused_beside_those_there_are(data_dir):
    there_are = f"prepared in {data_dir}: tiny_scenes:1.0.0"
    with pytest.raises(
        ValueError, match=rf"`builder` \(='tiny_sights'\): .*not found; .*{there_are}"
    ):
        tfds_source("tiny_sights", "test", data_dir=data_dir)
    with pytest.raises(ValueError, match=rf"(?s)`builder` .* version 2.0.0, .*{there_are}"):
        tfds_source("tiny_scenes:2.0.0", "test", data_dir=data_dir)


def test_folders_that_are_not_prepared_are_refused(data_dir, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="dataset_info.json; .*offers tiny_scenes:1.0.0"):
        tfds_source(data_dir, "test")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a prepared folder.*offers none"):
        tfds_source("./nowhere", "test")
    with pytest.raises(ValueError, match="`data_dir` goes with the name"):
        tfds_source(data_dir / "tiny_scenes/1.0.0", "test", data_dir=data_dir)


def test_data_must_be_prepared(tmp_path):
    elsewhere = tmp_path / "other/0.1.0"
    elsewhere.mkdir(parents=True)
    (elsewhere / "dataset_info.json").touch()
    message = r"tiny_scenes/1.0.0 is not prepared in .*array_record.* there is: other:0.1.0$"
    with pytest.raises(FileNotFoundError, match=message):
        tfds_source(TinyScenes(data_dir=tmp_path), "test")


def test_data_must_be_prepared_as_array_record(data_dir, tmp_path):
    folder = tmp_path / "tiny_scenes/1.0.0"
    shutil.copytree(data_dir / "tiny_scenes/1.0.0", folder)
    for file in folder.glob("*.array_record-*"):
        os.rename(file, str(file).replace("array_record", "tfrecord"))
    information = (folder / "dataset_info.json").read_text()
    (folder / "dataset_info.json").write_text(information.replace("array_record", "tfrecord"))
    with pytest.raises(ValueError, match="is prepared in .* as tfrecord, whose records are not"):
        tfds_source(folder, "test")


def test_batches_hold_the_examples_in_order(builder, order):
    source = tfds_source(builder, "train", labels=["objects"])
    first, last = batches(source, 4)
    assert first.keys() == {"image", "labels", "label", "score", "example", "weight"}
    assert last["weight"].tolist() == [True, True, False, False]
    scores = np.concatenate([first["score"], last["score"]]) * 4
    assert scores.tolist() == [*order["train"], order["train"][-1], order["train"][-1]]
    np.testing.assert_array_equal(last["labels"][1], source[5]["labels"])


def test_dissecting_it_equals_dissecting_the_arrays(builder, order):
    examples = [written("train")[place] for place in order["train"]]
    arrays = {
        "image": np.stack([example["image"] for example in examples]).astype(np.float32) / 255,
        "labels": np.stack([example["objects"] for example in examples])[..., None].astype(
            np.int32
        ),
    }
    source = tfds_source(builder, "train", labels=["objects"], vocabulary_size=len(VOCABULARY))
    network = probed_networks.probed_network("staged convolutional").network
    found, expected = (
        dissect(network, data, annotated(VOCABULARY), layers=("second",), grid=SIZE, batch_size=4)[
            "second"
        ]
        for data in (source, Stored(arrays))
    )
    assert expected.counts.intersection.any()
    for name in ("thresholds", "iou", "best_concept", "top_examples", "top_values"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.counts.intersection, expected.counts.intersection)


# --- from the command line ------------------------------------------------------------------------

MODEL = """
from flax import nnx

def build():
    return nnx.Sequential(nnx.Conv(3, 5, (3, 3), rngs=nnx.Rngs(0)), nnx.relu)
"""


def words(folder: Path, tmp_path: Path, **changes: Any) -> list[str]:
    (tmp_path / "model.py").write_text(MODEL)
    lines = ("id,name,category", "1,cat,object", "2,dog,object", "3,fur,material")
    (tmp_path / "concepts.csv").write_text("\n".join(lines) + "\n")
    options = {
        "tfds": str(folder / "tiny_scenes" / "1.0.0"),
        "split": "train",
        "label-features": "objects",
        "concepts": tmp_path / "concepts.csv",
        "model": f"{tmp_path / 'model.py'}:build",
        "layers": "layers.0",
        "out": tmp_path / "out",
    } | changes
    given = [word for name, value in options.items() if value for word in (f"--{name}", str(value))]
    return [*given, "--grid", *map(str, SIZE)]


@pytest.mark.parametrize("how", ["folder", "name"])
def test_command_line(data_dir, tmp_path, how):
    named = {"tfds": "tiny_scenes", "data-dir": data_dir} if how == "name" else {}
    assert main(["dissect", "--quiet", *words(data_dir, tmp_path, **named)]) == 0
    result = load_dissection(tmp_path / "out")
    assert result.settings["examples"] == NUM_EXAMPLES["train"]
    assert result.vocabulary.names[1:4] == ("cat", "dog", "fur")
    assert result["layers.0"].num_units == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": None}, "its splits and their examples: train (6), test (2)"),
        ({"label-features": "label"}, "among the data set's label maps"),
        ({"concepts": None}, "`concepts` go together"),
        ({"images": "photographs"}, "not `images`, `tfds`"),
        ({"masks": "objects"}, "`masks` goes with `images`, not with `tfds`"),
        ({"tfds": "nowhere/1.0.0"}, "it must be NAME"),
    ],
)
def test_command_line_refuses(data_dir, tmp_path, capsys, changes, message):
    assert main(["dissect", *words(data_dir, tmp_path, **changes)]) == 2
    assert message.lower() in capsys.readouterr().err.lower()
    assert not (tmp_path / "out").exists()
