"""Segmenters from files: networks, labels and vocabulary together, as a user brings them."""

import json
import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from support.golden import labels_folder
from support.published_files import (
    color_network,
    parsing_network,
    publish_segmenters,
    save_segmenter,
    toy_parsing,
)
from support.pytorch_files import write_zip
from support.random_weights import filled
from support.toy_segmenters import PARSED

from jaxdissect.commands.main import main
from jaxdissect.commands.options.labelled_images import LabelledImages, find_labelled_images
from jaxdissect.engine.labelers import segmented
from jaxdissect.networks.models.upernet import prepare
from jaxdissect.networks.segmenters.pretrained import (
    load_semantic_segmentation,
    load_unified_parsing,
    pretrained_segmenter,
)
from jaxdissect.networks.segmenters.rules import REFERENCE_RULES
from jaxdissect.networks.segmenters.segmenter import predict_labels, predict_single_concept
from jaxdissect.networks.weights.download import CACHE_VARIABLE
from jaxdissect.networks.weights.published import PUBLISHED

SIZES = ((64, 64),)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache into which the published files were put by hand; they are small here."""
    home = tmp_path_factory.mktemp("cache")
    publish_segmenters(home)
    return home


def labels_of(segmenter, images, grid):
    return jax.jit(segmenter.segment, static_argnums=2)(segmenter.params, images, grid)


def shape_of_labels(segmenter, images, grid):
    return jax.eval_shape(lambda images: segmenter.segment(segmenter.params, images, grid), images)


def random_images(*shape):
    return jnp.asarray(np.random.RandomState(0).random_sample(shape), jnp.float32)


@pytest.mark.slow
def test_a_segmenter_from_a_folder_labels_as_its_network_does(cache):
    segmenter = load_unified_parsing(cache / "unified_parsing", sizes=SIZES)
    images = random_images(2, 64, 64, 3)

    @jax.jit  # one program, which compiles the network once
    def run(images):
        found = predict_single_concept(segmenter, images, name="sky", grid=(16, 16))
        answers = filled(toy_parsing)(prepare(images), (16, 16))
        return segmenter.segment(segmenter.params, images, (16, 16)), answers, found

    labels, answers, (score, mask) = run(images)
    np.testing.assert_array_equal(labels[..., 0], answers.objects.argmax(-1))
    materials = answers.materials.argmax(-1)
    first = segmenter.vocabulary.index("brick", category="material")
    np.testing.assert_array_equal(labels[..., 1], np.where(materials, materials + first - 1, 0))
    np.testing.assert_allclose(score, answers.objects[..., 2], atol=1e-5)
    np.testing.assert_array_equal(mask, answers.objects.argmax(-1) == 2)


@pytest.mark.slow
def test_published_segmenters_by_name(cache):
    whole = pretrained_segmenter("netpqc", folder=cache, sizes=SIZES)
    assert len(whole.vocabulary) == 1 + 4 + 16 + 2 + 4 + 3  # objects, halves, ..., three of MASKED
    images = random_images(1, 64, 80, 3)
    labels = labels_of(whole, images, (8, 10))
    assert labels.shape == (1, 8, 10, 7)
    alone = pretrained_segmenter("net", folder=cache, sizes=SIZES)
    own = labels_of(alone, images, (8, 10))
    assert own.shape == (1, 8, 10, 3)
    np.testing.assert_array_equal(own[..., 0], labels[..., 0])
    colors = load_semantic_segmentation(cache / "color", sizes=SIZES)
    assert shape_of_labels(colors, images, (8, 10)).shape == (1, 8, 10, 2)
    halved = pretrained_segmenter("netq", folder=cache, sizes=SIZES, dtype=jnp.bfloat16)
    assert shape_of_labels(halved, images, (8, 10)).shape == (1, 8, 10, 5)
    for name in ("netpqxc", "netqp", "", "upp"):
        with pytest.raises(ValueError, match="must be net, then any of p, q, c"):
            pretrained_segmenter(name, folder=cache)


@pytest.mark.slow
def test_published_segmenter_has_1825_labels(tmp_path, monkeypatch):
    parsed = json.loads((labels_folder() / "upp_labels.json").read_text())
    colors = json.loads((labels_folder() / "color_labels.json").read_text())
    part_sizes = [
        len(parsed["object_part"][n]) for n in parsed["object"] if n in parsed["object_part"]
    ]
    save_segmenter(
        tmp_path / "unified_parsing",
        partial(parsing_network, len(parsed["object"]), tuple(part_sizes), len(parsed["material"])),
        parsed,
        40,
        write_zip,
    )
    save_segmenter(tmp_path / "color", partial(color_network, 11), colors, 20, write_zip)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    known = pretrained_segmenter("netpqc", sizes=SIZES, rules=REFERENCE_RULES).vocabulary
    assert len(known) == 1825
    counts = {category: known.categories.count(category) for category in set(known.categories)}
    assert counts == {"-": 1, "object": 335, "part": 1452, "material": 25, "none": 1, "color": 11}
    assert sum(name.endswith(("-t", "-l", "-b", "-r")) for name in known.names) == 1340
    segmenter = pretrained_segmenter("netpqc", sizes=SIZES)
    assert len(segmenter.vocabulary) == 1824
    labels = labels_of(segmenter, random_images(1, 64, 64, 3), (16, 16))
    assert labels.shape == (1, 16, 16, 6) and labels.min() >= 0 and labels.max() < 1824


def test_a_segmenter_labels_images_for_dissection(cache):
    segmenter = load_unified_parsing(cache / "unified_parsing", sizes=SIZES)
    labeler = segmented(segmenter)
    images = random_images(2, 64, 64, 3)
    found = jax.jit(labeler.label, static_argnums=2)(labeler.params, {"image": images}, (16, 16))
    labels = jax.jit(partial(predict_labels, segmenter, grid=(16, 16)))(images)
    np.testing.assert_array_equal(found, labels)


def test_segmenters_whose_files_do_not_fit_are_refused(cache, tmp_path, monkeypatch, capsys):
    more = PARSED | {"object_part": PARSED["object_part"] | {"sky": ["-", "cloud", "bird"]}}
    save_segmenter(tmp_path / "parts", toy_parsing, more, 40, write_zip)
    with pytest.raises(ValueError, match="`part_sizes` .* add up to the 10 part classes"):
        load_unified_parsing(tmp_path / "parts")
    less = PARSED | {"material": ["-", "brick"]}
    save_segmenter(tmp_path / "materials", toy_parsing, less, 40, write_zip)
    (tmp_path / "materials" / "encoder_epoch_40.pth.part").write_bytes(b"")  # is passed over
    with pytest.raises(ValueError, match="do not go together: .* labels ask: materials"):
        load_unified_parsing(tmp_path / "materials", sizes=SIZES)
    with pytest.raises(ValueError, match="does not fit the network"):
        load_semantic_segmentation(cache / "unified_parsing")
    for content in ({"object": 5}, {"object_part": {"a": 3}, "object": ["a"]}):
        (tmp_path / "parts" / "labels.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match="must"):
            load_unified_parsing(tmp_path / "parts")
    (tmp_path / "parts" / "labels.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="must hold an object"):
        load_unified_parsing(tmp_path / "parts")
    (tmp_path / "parts" / "labels.json").write_text("{")
    with pytest.raises(ValueError, match="labels.json is no JSON"):
        load_unified_parsing(tmp_path / "parts")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "empty"))
    unreachable = (
        PUBLISHED["unified_parsing"]
        .files["encoder"]
        ._replace(url="http://127.0.0.1:9/encoder_epoch_40.pth")
    )
    published = PUBLISHED["unified_parsing"]
    offline = published._replace(files={**published.files, "encoder": unreachable})
    monkeypatch.setitem(PUBLISHED, "unified_parsing", offline)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "images" / "a.png")
    arguments = ["--images", str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    assert main(["dissect", "--model", "scenes", "--segmenter", "net", *arguments]) == 2
    assert "http://127.0.0.1:9/encoder_epoch_40.pth cannot be down" in capsys.readouterr().err


def test_images_segmented_from_the_command_line(cache, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    for number in range(3):
        pixels = np.random.RandomState(number).randint(0, 255, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    options = LabelledImages(images=tmp_path, segmenter="netpq")
    assert len(find_labelled_images(options).labeler.vocabulary) == 1 + 4 + 16 + 2 + 4 + 11
    # The published file's labels are of the category "color".
    shutil.copytree(cache, tmp_path / "cache")
    labels = tmp_path / "cache" / "color" / "labels.json"
    labels.write_text(labels.read_text().replace('"stuff"', '"color"'))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    options = LabelledImages(images=tmp_path, segmenter="netc")
    assert "black" not in find_labelled_images(options).labeler.vocabulary.names
    with pytest.raises(ValueError, match="not go with `sample`"):
        find_labelled_images(LabelledImages(sample="scenes", segmenter="net"))
