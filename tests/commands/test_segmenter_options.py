"""Segmenters named on the command line: published ones, the user's own, the user's networks."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from support.random_weights import filled
from support.tflite_files import DeepLabFile

from jaxdissect.commands.main import main
from jaxdissect.commands.options.labelled_images import LabelledImages, find_labelled_images
from jaxdissect.dissection.result import load_dissection
from jaxdissect.networks.models.deeplab import BLOCKS, DeepLab
from jaxdissect.networks.segmenters.ade20k import ADE20K_OBJECTS
from jaxdissect.networks.segmenters.channel_concepts import read_channel_concepts
from jaxdissect.networks.segmenters.pretrained import pretrained_segmenter
from jaxdissect.networks.weights.mapping import parameters

MINE = """
import jax.numpy as jnp
import jaxdissect as jd
from flax import nnx

class Network(nnx.Module):
    def __init__(self):
        self.factor = nnx.Param(jnp.ones((1, 1, 1, 3)))

    def __call__(self, images):
        return images * self.factor[...]

def module():
    return Network()

def function():
    return lambda images: jnp.concatenate([jnp.full_like(images[..., :1], 0.3), images], axis=-1)

def function_last():
    return lambda images: jnp.concatenate([images, jnp.full_like(images[..., :1], 0.3)], axis=-1)

def own():
    def segment(params, images, grid):
        return jnp.argmax(images, axis=-1).astype(jnp.int32)[..., None] + params
    known = jd.vocabulary([("red", "color"), ("green", "color"), ("blue", "color")])
    return jd.Segmenter(known, jnp.int32(1), segment)

def too_high():
    return own()._replace(params=jnp.int32(4))

def not_numbers():
    return lambda images: images / 0 * 0

def ids():
    return lambda images: images.argmax(-1)

def fails():
    return lambda images: images @ jnp.ones((7, 7))

def text():
    return "a segmenter"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenters")
    (folder / "mine.py").write_text(MINE)
    (folder / "three.txt").write_text("red\ngreen\nblue\n")
    (folder / "three_of_one.csv").write_text("id,name\n1,red\n2,green\n3,blue\n")
    (folder / "nothing_first.txt").write_text("background\nred\ngreen\nblue\n")
    (folder / "nothing_last.txt").write_text("red\ngreen\nblue\nnone\n")
    (folder / "images").mkdir()
    for color, name in ((0, "a"), (2, "b")):
        pixels = np.zeros((16, 12, 3), np.uint8)
        pixels[..., color] = 200
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
    return folder


def found(place, function, *, concepts=None, **options):
    if concepts is not None:
        options["segmenter_concepts"] = place / concepts
    return find_labelled_images(
        LabelledImages(
            images=place / "images", segmenter=f"{place / 'mine.py'}:{function}", **options
        )
    )


def names_in(source, labeler, *, grid=(4, 4)):
    """Names of the concepts of every image."""
    labels = [
        labeler.label(labeler.params, {"image": jnp.asarray(source[i]["image"])[None]}, grid)
        for i in range(len(source))
    ]
    return [{labeler.vocabulary.names[i] for i in np.unique(label)} for label in labels]


@pytest.mark.parametrize(
    "function, options",
    [
        ("own", {}),
        ("module", {"concepts": "three.txt"}),
        ("module", {"concepts": "three_of_one.csv"}),
        ("function", {"concepts": "nothing_first.txt", "segmenter_size": (8, 8)}),
        ("function_last", {"concepts": "nothing_last.txt"}),
    ],
)
def test_functions_of_the_user_label_images(place, function, options):
    assert names_in(*found(place, function, colors=False, **options)) == [{"red"}, {"blue"}]


def test_measured_colors_give_way_to_a_segmenter_of_colors(place):
    assert "black" not in found(place, "own").labeler.vocabulary.names
    known = found(place, "module", concepts="three.txt").labeler.vocabulary
    assert known.category_names == ("object", "color")


@pytest.mark.parametrize(
    "function, options, message",
    [
        ("module", {}, "returns Network, no Segmenter; .* `segmenter_concepts`"),
        ("text", {"concepts": "three.txt"}, "must return a Segmenter, not str"),
        (
            "own",
            {"concepts": "three.txt"},
            "`segmenter_concepts` goes with a function",
        ),
        ("own", {"segmenter_size": (8, 8)}, "`segmenter_size` goes with a function"),
        (
            "own",
            {"segmenter_weights": Path("w.npz")},
            "`segmenter_weights` go with deeplab",
        ),
        (
            "function",
            {"concepts": "three.txt"},
            r"gives float32\[1, 16, 12, 4\], .* 3\], .* in a file as a line `background`",
        ),
        (
            "ids",
            {"concepts": "three.txt"},
            r"gives int32\[1, 16, 12\], .* gives ids is",
        ),
        ("not_numbers", {"concepts": "three.txt"}, "gives scores that are not numbers"),
        ("too_high", {}, r"gives labels from 4 to 4, .* are 0 \(none\) to 3"),
        ("fails", {"concepts": "three.txt"}, r"fails on images \[16, 12, 3\]: .*mine.py, line 38"),
        ("nothing", {}, "has no function 'nothing'"),
    ],
)
def test_what_is_no_segmenter_is_refused(place, function, options, message):
    with pytest.raises(ValueError, match=message):
        found(place, function, **options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"segmenter_concepts": Path("a.txt")}, "`segmenter_concepts` goes with `segmenter`"),
        ({"segmenter": "deeplab_mobilenet_ade20k"}, "needs its file as `segmenter_weights`"),
        ({"segmenter": "net", "segmenter_weights": Path("a.tflite")}, "not with `segmenter` 'net'"),
        ({"segmenter": "net", "segmenter_concepts": Path("a.txt")}, "'net', which knows its own"),
        (
            {"segmenter": "scenes", "segmenter_size": (8, 8)},
            "not go with `segmenter` 'scenes'",
        ),
        ({"segmenter": "nothing"}, "must be net, then .* or one of: deeplab_mobilenet_ade20k"),
        (
            {"sample": "scenes", "segmenter_size": (8, 8), "images": None},
            "^`segmenter_size` does not go with `sample`, which",
        ),
        (
            {
                "sample": "scenes",
                "segmenter": "scenes",
                "segmenter_weights": Path("a.npz"),
                "images": None,
                "colors": False,
            },
            "^`segmenter`, `segmenter_weights`, `no_colors` do not go with `sample`",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(place, options, message):
    with pytest.raises(ValueError, match=message):
        find_labelled_images(LabelledImages(**({"images": place / "images"} | options)))


def test_a_segmenter_from_a_file(place, tmp_path):
    blocks = [block._replace(units=2 + number // 6) for number, block in enumerate(BLOCKS)]

    def network(classes=151, blocks=blocks):
        return DeepLab(classes, stem=4, blocks=blocks, units=8, reduced=3, rngs=nnx.Rngs(0))

    def written(name, build, blocks=blocks):
        arrays = {key: np.asarray(value) for key, value in parameters(filled(build)).items()}
        path = tmp_path / name
        path.write_bytes(DeepLabFile(arrays, blocks).content())
        return path

    options = LabelledImages(
        images=place / "images",
        segmenter="deeplab_mobilenet_ade20k",
        segmenter_weights=written("ade20k.tflite", network),
        segmenter_size=(33, 33),
        colors=False,
    )
    source, labeler = find_labelled_images(options)
    assert labeler.vocabulary.names == ("-", *ADE20K_OBJECTS)
    assert all(names_in(source, labeler))
    few = written("few.tflite", lambda: network(5))
    with pytest.raises(ValueError, match="few.tflite is a DeepLab with 5 classes, .* are 151"):
        pretrained_segmenter("deeplab_mobilenet_ade20k", weights=few)
    close = [block._replace(dilation=1) for block in blocks]
    other = written("other.tflite", lambda: network(blocks=close), close)
    with pytest.raises(ValueError, match=r"other.tflite .* dilations .*\(1, 1\)\], "):
        pretrained_segmenter("deeplab_mobilenet_ade20k", weights=other)
    with pytest.raises(ValueError, match="needs `weights`"):
        pretrained_segmenter("deeplab_mobilenet_ade20k")
    with pytest.raises(ValueError, match="`weights` go with deeplab"):
        pretrained_segmenter("net", weights=few)
    with pytest.raises(ValueError, match="`sizes` .* one height and width"):
        pretrained_segmenter("deeplab_mobilenet_ade20k", weights=few, sizes=[(9, 9)] * 2)


def test_lists_of_channels(tmp_path):
    def read(text, name="names.txt"):
        (tmp_path / name).write_text(text)
        return read_channel_concepts(tmp_path / name)

    objects = (("sky", "object"), ("sea", "object"))
    assert read("background\nsky\nsea\n") == (None, *objects)
    assert read("0: background\n1: sky\n2: sea\n") == (None, *objects)
    assert read("0: sky\n1: sea\n") == objects
    table = "id,name,category\n0,sky,stuff\n1,cat,thing\n"
    assert read(table, "names.csv") == (("sky", "stuff"), ("cat", "thing"))
    assert read("sky\nsea\n") == objects
    for nothing in ("background", "None", "-"):
        for text in (f"sky\nsea\n{nothing}\n", f"0: sky\n1: sea\n2: {nothing}\n"):
            assert read(text) == (*objects, None)
        assert read(f"3: {nothing}\n2: sea\n1: sky\n") == (*objects, None)
        assert read(f"{nothing}\nsky\nsea\n{nothing}\n") == (None, *objects, None)
    table = "id,name,category\n1,sky,stuff\n2,void,\n"
    assert read(table, "names.csv") == (("sky", "stuff"), None)
    known = read("1: sky\n2: sea\n")
    assert not isinstance(known, tuple) and known.names == ("-", "sky", "sea")
    for text in ("0: sky\n2: background\n", "2: sky\n3: background\n", "1: a\n1: none\n"):
        with pytest.raises(ValueError, match="names.txt"):
            read(text)
    with pytest.raises(ValueError, match="line 2|lies outside"):
        read("0: sky\n2: sea\n")


@pytest.mark.slow
def test_dissect_with_a_network_of_the_users(place, tmp_path, capsys):
    arguments = ["--images", str(place / "images"), "--image-size", "64", "--model", "scenes"]
    arguments += ["--segmenter", f"{place / 'mine.py'}:module", "--no-colors"]
    arguments += ["--segmenter-concepts", str(place / "three.txt"), "--grid", "8", "8"]
    out = tmp_path / "out"
    assert main(["dissect", *arguments, "--out", str(out)]) == 0, capsys.readouterr().err
    assert load_dissection(out).vocabulary.names == ("-", "red", "green", "blue")
