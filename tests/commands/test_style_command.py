"""`jaxdissect style` and `jaxdissect detect`: what they write, and what they refuse."""

import csv
import json

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from pyarrow import parquet
from support import command_line
from support.result_sections import columns_missed

from jaxdissect.commands.main import main
from jaxdissect.networks.models.adain import AdaINDecoder, AdaINEncoder
from jaxdissect.networks.weights.files import write_weights

MODEL = """
from flax import nnx


class Tiny(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.stem = nnx.Conv(3, 5, (3, 3), rngs=rngs)
        self.head = nnx.Conv(5, 6, (3, 3), strides=2, rngs=rngs)

    def __call__(self, images):
        return self.head(nnx.relu(self.stem(images))).mean((1, 2))


def build():
    return Tiny()
"""

CLASSES = ("cat", "dog", "elk")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model; images with masks and in another style; weights of style transfer; classes."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(0)
    (folder / "tiny.py").write_text(MODEL)
    (folder / "concepts.csv").write_text("id,name,category\n1,cat,object\n2,fur,material\n")

    def write(name, pixels):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    for index in range(5):
        pixels = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)
        write(f"images/{index}.png", pixels)
        other = pixels.copy()
        other[:, :10] = 255 - pixels[:, :10]
        write(f"stylised/{index}-stylized-x.png", other)
        write(f"masks/{index}.png", (pixels[..., 0] > 128).astype(np.uint8) + 1)
    write("art/x.png", rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    gray = np.full((16, 20, 3), 90, np.uint8)
    write("alone/0.png", gray)
    for part, number in (("choose", 4), ("judge", 3)):
        for shade, name in enumerate(CLASSES):
            for index in range(number):
                bright = rng.integers(0, 90, (16, 20, 3), dtype=np.uint8) + 80 * shade
                write(f"{part}/{name}/{index}.png", bright.astype(np.uint8))
    write("one/cat/0.png", gray)
    units = (3, 3, "pool", 3, 3, "pool", 3, 3, 3, 3, "pool", 4)
    back = (3, "up", 3, 3, 3, 3, "up", 3, 3, "up", 3, 3)
    networks = {
        "encoder": lambda: AdaINEncoder(units, rngs=nnx.Rngs(0)),
        "decoder": lambda: AdaINDecoder(4, back, rngs=nnx.Rngs(0)),
    }
    for name, build in networks.items():
        leaves = nnx.to_flat_state(nnx.state(nnx.eval_shape(build), nnx.Param))
        arrays = {
            ".".join(map(str, path)): rng.normal(size=leaf.shape).astype(np.float32)
            for path, leaf in leaves
        }
        write_weights(folder / f"{name}.safetensors", arrays, metadata={})
    return folder


def style_words(place, out, **changes):
    options = {
        "out": out,
        "model": f"{place / 'tiny.py'}:build",
        "layers": ["stem", "head"],
        "images": place / "images",
        "stylised": place / "stylised",
        "masks": place / "masks",
        "concepts": place / "concepts.csv",
        "grid": [8, 10],
    }
    return command_line.words("style", options=options | changes)


def detect_words(place, out, **changes):
    options = {
        "out": out,
        "model": f"{place / 'tiny.py'}:build",
        "layer": "head",
        "rank_images": place / "choose",
        "images": place / "judge",
        "num_figures": 1,
    }
    return command_line.words("detect", options=options | changes)


def refused(capsys, arguments):
    """Run a command that must be refused; return its message."""
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("jaxdissect: error: ")
    return output.err.removeprefix("jaxdissect: error: ").strip()


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_style_writes_tables_and_figures(place, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        main(
            style_words(
                place,
                out,
                tables=["csv", "parquet"],
                min_style_iou=0.2,
                image_cache=tmp_path / "decoded",
            )
        )
        == 0
    )
    assert len(list((tmp_path / "decoded").glob("*/*/complete.json"))) == 2
    tables = {f"{n}.{e}" for n in ("units", "layers", "categories") for e in ("csv", "parquet")}
    figures = {"layers.png", "iou.png", "styles_stem.png", "styles_head.png"}
    others = {"style.json", "run.json", "index.html", "page"}
    assert {path.name for path in out.iterdir()} == tables | figures | others
    assert not columns_missed(out)
    rows = read_csv(out / "units.csv")
    assert [row["layer"] for row in rows] == ["stem"] * 5 + ["head"] * 6
    facts = json.loads((out / "style.json").read_text())
    for row in rows:
        both, first, second = (
            int(row[f"pixels {k}"]) for k in ("under both", "on originals", "on stylised images")
        )
        union = first + second - both
        assert float(row["IoU of both styles"]) == (both / union if union else 0)
        lists, unit = facts["layers"][row["layer"]], int(row["unit"])
        kinds = [kind for kind in ("shape", "texture") if unit in lists[f"{kind}-sensitive"]]
        assert kinds == ([row["sensitive to"]] if row["sensitive to"] else [])
    assert {row["sensitive to"] for row in rows} >= {"shape", "texture"}
    assert parquet.read_table(out / "layers.parquet").num_rows == 2
    assert facts["command"]["stylised"] == str(place / "stylised")
    assert "shape-sensitive" in capsys.readouterr().out


@pytest.mark.slow
def test_style_renders_images(place, tmp_path):
    out = tmp_path / "out"
    given = {
        "stylised": None,
        "styles": place / "art",
        "adain": [place / "encoder.safetensors", place / "decoder.safetensors"],
        "style_size": [16, 16],
        "limit": 3,
        "layers": "head",
        "quiet": True,
    }
    assert main(style_words(place, out, **given)) == 0
    names = sorted(path.name for path in (out / "stylised").iterdir())
    assert names == [f"{index}-stylized-x.png" for index in range(3)]
    assert json.loads((out / "style.json").read_text())["examples"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stylised": None}, "with `images` give one of `stylised`, `styles`"),
        ({"styles": "art"}, "with `images` give one of"),
        ({"images": None, "sample": "scenes"}, "`stylised` goes with `images`"),
        ({"images": None}, "give one of `sample`, `images`"),
        ({"adain": ["a", "b"]}, "`adain` goes with `styles`"),
        ({"stylised": "alone"}, "images without a partner of the same name: 4 of `originals`"),
        ({"grid": [0, 8]}, "`grid`"),
        ({"min_style_iou": 2}, "`min_style_iou` (=2.0)"),
        ({"layers": "nowhere"}, "nowhere"),
    ],
)
def test_style_refuses(place, tmp_path, capsys, changes, message):
    paths = ("stylised", "styles")
    given = {k: place / v if k in paths and v else v for k, v in changes.items()}
    assert message in refused(capsys, style_words(place, tmp_path / "out", **given))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def detected(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("detected") / "out"
    assert main(detect_words(place, out, tables=["csv", "json"], quiet=True)) == 0
    return out


def test_detect_writes_tables_and_figures(detected):
    rows = read_csv(detected / "detectors.csv")
    assert len(rows) == 9 and {row["class"] for row in rows} == set(CLASSES)
    assert json.loads((detected / "detectors.json").read_text())["classes"] == 3
    units = read_csv(detected / "units.csv")
    for row in (row for row in rows if row["rank"] == "1"):
        key = "balanced accuracy when chosen"
        of_class = [float(u[key]) for u in units if u["class"] == row["class"]]
        assert float(row[key]) == max(of_class)
    figures = sorted(path.name for path in detected.glob("*.png"))
    best = CLASSES.index(rows[0]["class"])
    assert figures == ["detectors.png", f"peaks_{best}_{CLASSES[best]}.png"]
    assert len(json.loads((detected / "reference.json").read_text())) <= 3


def test_detect_one_unit_for_joined_classes(place, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(detect_words(place, out, unit=4, classes=["cat", "elk"])) == 0
    (row,) = read_csv(out / "detectors.csv")
    assert row["class"] == "cat or elk" and row["unit"] == "4"
    assert (out / "peaks_1_cat_or_elk.png").is_file()
    assert "cat or elk" in capsys.readouterr().out
    assert "`--overwrite` replaces them" in refused(capsys, detect_words(place, out))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank_images": None}, "`rank_images` and `images` go together"),
        ({"classes": ["cow"]}, "`classes` (='cow') must be one of: cat, dog, elk"),
        ({"classes": list(CLASSES)}, "all of the 12 images are of the wanted classes"),
        ({"rank_images": "one", "images": "one"}, "two classes or more"),
        ({"unit": 6}, "`units` (=[6])"),
        ({"units_per_class": 0}, "`units_per_class` (=0)"),
        ({"num_figures": -1}, "`num_figures` (=-1)"),
        ({"layer": "nowhere"}, "nowhere"),
    ],
)
def test_detect_refuses(place, tmp_path, capsys, changes, message):
    paths = ("rank_images", "images")
    given = {k: place / v if k in paths and v else v for k, v in changes.items()}
    assert message in refused(capsys, detect_words(place, tmp_path / "out", **given))
    assert not list(tmp_path.iterdir())
