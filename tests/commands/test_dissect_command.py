"""The command line: everything is written or nothing, and wrong input gets one clear message."""

import csv
import io
import json
import logging
import re
import subprocess
import sys
import typing

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from support import command_line

from jaxdissect.commands.dissect import command
from jaxdissect.commands.main import COMMANDS, main
from jaxdissect.commands.options import model, output
from jaxdissect.commands.options.labelled_images import LabelledImages, find_labelled_images
from jaxdissect.commands.options.preset import PresetName
from jaxdissect.commands.output import folder
from jaxdissect.commands.output.progress_bar import PLAN_LOGGER, progress_bar
from jaxdissect.dissection.presets import PRESETS
from jaxdissect.dissection.result import load_dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.plots import unit_strips
from jaxdissect.plots.plain_figure import PlainFigure
from jaxdissect.scenes.concepts import CONCEPTS
from jaxdissect.scenes.scene_classifier import CONVOLUTIONS

FILES = {
    "arrays.npz",
    "dissection.json",
    "run.json",
    "index.html",
    "page",
    "photos",
    "unit_examples.npz",
    "units.csv",
    "concepts.csv",
    "layers.csv",
    "images.csv",
    "concepts.png",
    "layers.png",
    "top_units_stem.png",
    "top_units_head.0.png",
}

MODEL = """
from flax import nnx
import jax.numpy as jnp
from widths import STEM  # beside this file


class Tiny(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.stem = nnx.Conv(3, STEM, (3, 3), rngs=rngs)
        self.head = nnx.List([nnx.Conv(STEM, 6, (3, 3), strides=2, rngs=rngs)])
        self.flat = nnx.Linear(6 * 8 * 10, 2, rngs=rngs)

    def __call__(self, images):
        maps = self.head[0](nnx.relu(self.stem(images)))
        return self.flat(maps.reshape(len(maps), -1))


def build():
    return Tiny()


def number():
    return 7


def broken():
    raise KeyError("no such weight")


def strange():
    raise ValueError("not from the library")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images with two channels of label maps, a vocabulary, and a model."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(0)
    for name in ("images", "objects", "parts", "empty"):
        (folder / name).mkdir()
    for index in range(6):
        pixels = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{index}.png")
        for name, low in (("objects", 1), ("parts", 3)):
            labels = np.where(pixels[..., low % 3] > 170, low, 0).astype(np.uint8)
            Image.fromarray(labels).save(folder / name / f"{index}.png")
    lines = ("id,name,category", "1,cat,object", "2,dog,object", "3,leg,part")
    (folder / "concepts.csv").write_text("\n".join(lines) + "\n")
    (folder / "few.csv").write_text("id,name\n1,cat\n")
    (folder / "tiny.py").write_text(MODEL)
    (folder / "widths.py").write_text("STEM = 5\n")
    (folder / "unimportable.py").write_text("import math\nimport not_there_at_all\n")
    (folder / "misspelt.py").write_text("def build(:\n")
    return folder


def words(place, out, **changes):
    """Arguments of a small dissection, some of them changed or, with None, left out."""
    options = {
        "out": out,
        "model": f"{place / 'tiny.py'}:build",
        "layers": ["stem", "head.0"],
        "images": place / "images",
        "masks": [place / "objects", place / "parts"],
        "concepts": place / "concepts.csv",
        "grid": [12, 15],
        "num_top_images": 3,
    }
    return command_line.words("dissect", options=options | changes)


def refused(capsys, arguments):
    """Run a command that must be refused; return its message."""
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("jaxdissect: error: ")
    assert "Traceback" not in output.err
    return output.err.removeprefix("jaxdissect: error: ").strip()


@pytest.fixture(scope="module")
def results(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("written") / "deep" / "results"
    assert main([*words(place, out), "--quiet"]) == 0
    return out


def test_everything_is_written_and_nothing_else(results):
    assert {path.name for path in results.iterdir()} == FILES
    assert [path.name for path in results.parent.iterdir()] == ["results"]


def test_files_hold_the_dissection(place, results):
    options = LabelledImages(
        images=place / "images",
        masks=(place / "objects", place / "parts"),
        concepts=place / "concepts.csv",
    )
    source, labeler = find_labelled_images(options)
    network = model.find_model(f"{place / 'tiny.py'}:build").network
    expected = dissect(network, source, labeler, layers=("stem", "head.0"), grid=(12, 15))
    written = load_dissection(results)
    assert list(written.layers) == ["stem", "head.0"]
    for name, layer in expected.layers.items():
        np.testing.assert_array_equal(written[name].thresholds, layer.thresholds)
        np.testing.assert_array_equal(written[name].iou, layer.iou)
    assert written.settings["command"]["model"].endswith("tiny.py:build")
    with open(results / "units.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 5 + 6
    with open(results / "concepts.csv", newline="") as file:
        units = sum(int(row["units"]) for row in csv.DictReader(file))
    assert units == sum(len(layer.detectors()) for layer in expected.layers.values()) > 0
    with open(results / "images.csv", newline="") as file:
        names = [row["image"] for row in csv.DictReader(file)]
    assert names == [f"{index}.png" for index in range(6)]
    for name in ("concepts.png", "top_units_stem.png", "top_units_head.0.png"):
        with Image.open(results / name) as image:
            image.load()


def test_figures_are_written_in_the_formats_asked_for(place, tmp_path):
    options = {"layers": "stem", "limit": 3, "figure_width": "column", "no_page": True}
    options |= {"figure_format": ["svg", "pdf"], "quiet": True}
    assert main(words(place, tmp_path / "out", **options)) == 0
    endings = {".png", ".svg", ".pdf"}
    names = {path.name for path in (tmp_path / "out").iterdir() if path.suffix in endings}
    drawn = ("concepts", "top_units_stem")
    assert names == {f"{name}{ending}" for name in drawn for ending in (".svg", ".pdf")}
    for path in (tmp_path / "out").glob("*.svg"):
        width = re.search(r'width="([\d.]+)pt"', path.read_text())
        assert width is not None and float(width[1]) == pytest.approx(72 * 3.42, abs=0.3)
        assert ">stem" in path.read_text()


def test_what_is_printed(place, tmp_path, capsys):
    options = {"layers": "stem", "limit": 3, "min_iou": 0.001}
    assert main(words(place, tmp_path / "results", **options)) == 0
    output = capsys.readouterr()
    # Passes that take seconds, as on a busy machine, have lines of their own.
    assert output.err.startswith("keeping all activations (0 MiB): one forward pass per image\n")
    assert "Detectors, units with IoU > 0.001" in output.out and "Best units:" in output.out
    assert f"Written to {tmp_path / 'results'}: arrays.npz, concepts.csv" in output.out


def test_options_reach_the_dissection(place, tmp_path, capsys):
    arguments = words(
        place, tmp_path / "results", layers=["stem", "stem"], no_colors=True, quiet=True,
        preset="netdissect2017", fraction=0.02, min_iou=0.1, limit=4, image_size=[8, 8],
        model=f"{place / 'tiny.py'}:build", annotated_pixels_only=True,
        image_cache=tmp_path / "decoded",
    )  # fmt: skip
    assert main(arguments) == 0
    assert len(list((tmp_path / "decoded").glob("images-*/*/complete.json"))) == 1
    result = load_dissection(tmp_path / "results")
    assert list(result.layers) == ["stem"]
    assert result.vocabulary.category_names == ("object", "part")
    expected = {"preset": "netdissect2017", "fraction": 0.02, "min_iou": 0.1, "examples": 4}
    assert expected.items() <= result.settings.items()
    assert result.settings["scope"] == "annotated_pixels"
    with Image.open(tmp_path / "results" / "top_units_stem.png") as image:
        assert image.width == 2100 and image.height > 4 * 200
    assert capsys.readouterr() == ("", "")


def test_colors_alone_need_no_masks(place, tmp_path):
    arguments = words(place, tmp_path / "out", masks=None, concepts=None, layers="stem", quiet=True)
    assert main(arguments) == 0
    assert load_dissection(tmp_path / "out").vocabulary.category_names == ("color",)


WRONG = {
    "no images": ({"images": "empty"}, "found no images"),
    "no image folder": ({"images": "nowhere"}, "`images`: there is no folder"),
    "no masks": ({"masks": "empty"}, "6 masks are missing"),
    "no vocabulary": ({"concepts": "nowhere.csv"}, "nowhere.csv"),
    "label outside": ({"concepts": "few.csv"}, "lies outside the vocabulary"),
    "masks without concepts": ({"concepts": None}, "`concepts` go together"),
    "nothing to see": ({"masks": None, "concepts": None, "no_colors": True}, "no concepts"),
    "no data": ({"images": None}, "give one of `sample`, `images`, `tfds`, not none"),
    "two data": ({"sample": "scenes"}, "not `sample`, `images`"),
    "split": ({"split": "test"}, "`split` goes with `tfds`, not with `images`"),
    "sample size": ({"num_images": 3}, "`num_images` goes with `sample`"),
    "masked sample": ({"sample": "scenes", "images": None}, "`masks` goes with `images`"),
    "named sample": ({"sample": "scenes", "images": None, "masks": None}, "not go with `sample`"),
    "unknown layer": ({"layers": "steam"}, "no layer 'steam'; valid names: stem, head.0, flat"),
    "no layer": ({"layers": None}, "at least one layer; valid names: stem, head.0, flat"),
    "not a layer": ({"layers": "flat"}, "which must be [B, h, w, U]"),
    "model": ({"model": "lenet"}, "must be FILE.py:FUNCTION"),
    "model file": ({"model": "no.py:build"}, "there is no file"),
    "model module": ({"model": "not_there_at_all:build"}, "No module named 'not_there_at_all'"),
    "model function": ({"model": "tiny.py:make"}, "its functions: Tiny, build, number, broken"),
    "model import": ({"model": "unimportable.py:build"}, "unimportable.py, line 2)"),
    "model syntax": ({"model": "misspelt.py:build"}, "misspelt.py, line 1)"),
    "model type": ({"model": "tiny.py:number"}, "`model` (=int) must be a Network"),
    "model error": ({"model": "tiny.py:broken"}, "KeyError: 'no such weight'"),
    "model value": ({"model": "tiny.py:strange"}, "ValueError: not from the library"),
    "image size": ({"image_size": [9, 9], "layers": "flat"}, "fails on images of 9 x 9 pixels"),
    "batch": ({"batch_size": 0}, "`batch_size` (=0) must be at least 1"),
    "limit": ({"limit": -1}, "`limit` (=-1) must be at least 1"),
    "top": ({"num_top_images": 0}, "`num_top_images` (=0) must be at least 1"),
    "fraction": ({"fraction": 1.5}, "`fraction` (=1.5) must be"),
    "iou": ({"min_iou": "nan"}, "`min_iou` (=nan) must be"),
    "grid": ({"grid": [0, 4]}, "`grid` (=(0, 4)) must be"),
    "memory": ({"memory_budget_gib": -1}, "`memory_budget_gib` (=-1.0) must be at least 0"),
    "scope": ({"preset": "reference", "annotated_pixels_only": True}, "does not go with `preset`"),
}  # fmt: skip
IN_PLACE = ("images", "masks", "concepts", "model")


@pytest.mark.parametrize("changes, message", WRONG.values(), ids=WRONG)
def test_wrong_input_is_refused_with_one_message(place, tmp_path, capsys, changes, message):
    changes = {
        name: place / value if name in IN_PLACE and isinstance(value, str) else value
        for name, value in changes.items()
    }
    if str(changes.get("model", "")).endswith(("lenet", "all:build")):
        changes["model"] = changes["model"].name
    assert message in refused(capsys, words(place, tmp_path / "results", **changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["disect"], ["dissect"], ["dissect", "--grid", "3"]])
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().out == ""


def test_help_and_version(capsys):
    for arguments, names in ((["--help"], COMMANDS), (["dissect", "--help"], ["dissect"])):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        output = capsys.readouterr().out
        assert [name for name in names if name not in output] == []
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("jaxdissect 0.")


def test_in_a_process_of_its_own(place):
    code = (
        "import sys; from jaxdissect.commands.main import main;"
        "heavy = {'tyro', 'matplotlib', 'PIL', 'tensorflow_datasets'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else main())"
    )
    arguments = words(place, place / "never", layers="steam")
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("jaxdissect: error: `layers`: no layer 'steam'")
    assert run.stderr.count("\n") == 1


def test_as_a_module():
    command = [sys.executable, "-m", "jaxdissect", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("jaxdissect ")


# --- nothing is half-written --------------------------------------------------------------------


def contents(folder):
    """The results in a folder: all but how the command ran, which their page says, too."""
    shown = folder / "page"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.json" and not path.is_relative_to(shown)
    }


@pytest.fixture
def broken_late(monkeypatch):
    """The last thing that is drawn fails, as only a bug would."""
    drawn = []

    def strip_figure(title, some, *, width):
        drawn.append(title)
        if len(drawn) == 2:
            return np.zeros(3).reshape(2)
        return PlainFigure(figsize=(1, 1))

    monkeypatch.setattr(unit_strips, "strip_figure", strip_figure)


def test_a_late_failure_leaves_nothing(place, tmp_path, broken_late):
    # A ValueError, but NumPy's: a bug, which must not pass for wrong input.
    with pytest.raises(ValueError, match="cannot reshape"):
        main([*words(place, tmp_path / "results"), "--quiet"])
    assert list(tmp_path.iterdir()) == []


def test_a_late_failure_leaves_old_results(place, results, tmp_path, broken_late):
    out = tmp_path / "results"
    out.mkdir()
    for name, content in contents(results).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(content)
    with pytest.raises(ValueError, match="cannot reshape"):
        main([*words(place, out), "--quiet", "--overwrite"])
    assert contents(out) == contents(results) and list(tmp_path.iterdir()) == [out]


def test_a_full_disk_is_no_bug(place, tmp_path, capsys, monkeypatch):
    def save_figure(path, figure):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(output, "save_figure", save_figure)
    message = refused(capsys, [*words(place, tmp_path / "results"), "--quiet"])
    assert f"no space is left on the disk (or of your quota) in {tmp_path}" in message
    assert list(tmp_path.iterdir()) == []


def test_interrupted(place, tmp_path, capsys, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "dissect", interrupt)
    assert main([*words(place, tmp_path / "results"), "--quiet"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_results_are_replaced_only_when_asked(place, results, tmp_path, capsys):
    out = tmp_path / "results"
    out.mkdir()
    for name, content in contents(results).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(content)
    (out / "top_units_other.png").write_bytes(b"of an earlier run")
    arguments = [*words(place, out, layers="stem"), "--quiet"]
    assert "`--overwrite` replaces them" in refused(capsys, arguments)
    assert main([*arguments, "--overwrite"]) == 0
    assert {path.name for path in out.iterdir()} == FILES - {"top_units_head.0.png", "layers.png"}
    assert list(tmp_path.iterdir()) == [out]


def test_other_files_are_never_replaced(place, tmp_path, capsys):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("John")
    arguments = words(place, tmp_path / "letters", overwrite=True)
    assert "folder of other files" in refused(capsys, arguments)
    arguments = words(place, tmp_path / "letters" / "dear.txt", overwrite=True)
    assert "is a file" in refused(capsys, arguments)
    assert (tmp_path / "letters" / "dear.txt").read_text() == "John"


def test_an_empty_folder_may_be_filled(tmp_path):
    with folder.new_folder(tmp_path / "out", overwrite=False) as new:
        (new / "file").touch()
        assert not (tmp_path / "out").exists()
    (tmp_path / "empty").mkdir()
    with folder.new_folder(tmp_path / "empty", overwrite=False) as new:
        (new / "file").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"out", "empty"}
    assert (tmp_path / "empty" / "file").exists()


# --- parts --------------------------------------------------------------------------------------


def test_the_built_in_model():
    found = model.find_model("scenes")
    layers = model.choose_layers(found, (), (64, 64))
    assert layers == CONVOLUTIONS and layers[0] == "features.relu1_1"
    assert model.choose_layers(found, ("features.pool4",), (64, 64)) == ("features.pool4",)


def test_a_model_of_the_current_folder(place, monkeypatch):
    monkeypatch.chdir(place)
    found = model.find_model("tiny:build")
    assert model.choose_layers(found, ("stem",), (16, 20)) == ("stem",)


def test_the_sample():
    source, labeler = find_labelled_images(LabelledImages(sample="scenes"))
    assert len(source) == 512 and source[0]["labels"].shape == (64, 64, 4)
    assert labeler.vocabulary.names[1:] == tuple(name for name, _ in CONCEPTS)
    few = LabelledImages(sample="scenes", num_images=9, limit=4)
    assert len(find_labelled_images(few).source) == 4
    colorless = LabelledImages(sample="scenes", colors=False)
    with pytest.raises(ValueError, match="`no_colors` does not go with `sample`"):
        find_labelled_images(colorless)


def test_presets_are_those_there_are():
    assert typing.get_args(PresetName) == tuple(PRESETS)


def test_options_stand_in_the_settings_as_json(results):
    command = json.loads((results / "dissection.json").read_text())["settings"]["command"]
    assert command["layers"] == ["stem", "head.0"] and command["grid"] == [12, 15]
    assert command["quiet"] is True


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_drawn_on_terminals_only(terminal):
    file = io.StringIO()
    logger = logging.getLogger(PLAN_LOGGER)
    before = list(logger.handlers), logger.level
    with progress_bar(console=Console(file=file, force_terminal=terminal, width=100)) as progress:
        logger.info("the [plan]")
        for pass_number in range(2):
            for done in range(3):
                progress(f"pass {pass_number}", done, 2)
    assert "the [plan]" in file.getvalue()
    assert ("pass 1" in file.getvalue()) == terminal
    assert (list(logger.handlers), logger.level) == before


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    file = io.StringIO()
    with progress_bar(console=Console(file=file, width=100)) as progress:
        for description in ("reading", "counting"):
            for done in range(20, 101):  # as of a pass that was resumed
                progress(description, done, 400)
                now[0] += 1
    assert file.getvalue().splitlines() == [
        *("reading: 50 of 400, 12%, 0:05:50 left", "reading: 80 of 400, 20%, 0:05:20 left"),
        *("counting: 29 of 400, 7%, 0:06:11 left", "counting: 59 of 400, 15%, 0:05:41 left"),
        "counting: 89 of 400, 22%, 0:05:11 left",
    ]


def test_quiet_says_nothing(capsys):
    with progress_bar(quiet=True) as progress:
        logging.getLogger(PLAN_LOGGER).info("the plan")
        progress("pass", 1, 2)
    assert capsys.readouterr() == ("", "")
