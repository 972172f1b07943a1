"""The README: its Python runs, its commands parse, and what it names exists."""

import dataclasses
import importlib
import pathlib
import re
import shlex

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from support.published_files import narrow_vgg, publish_segmenters, publish_vgg
from support.pytorch_files import state_dict, write_zip

import jaxdissect as jd
from jaxdissect.commands import main as command_line
from jaxdissect.networks.weights.download import CACHE_VARIABLE
from jaxdissect.scenes.train import TrainOptions

README = (pathlib.Path(__file__).resolve().parents[1] / "README.md").read_text()
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = FENCED.findall(README)


# --- Python -------------------------------------------------------------------------------------


class Layers(nnx.Module):
    """A network of somebody else, with layers `layer3` and `layer4`."""

    def __init__(self, rngs):
        self.layer3 = nnx.Conv(3, 4, (3, 3), strides=(4, 4), rngs=rngs)
        self.layer4 = nnx.Conv(4, 5, (3, 3), strides=(4, 4), rngs=rngs)

    def __call__(self, x):
        return self.layer4(nnx.relu(self.layer3(x))).mean((1, 2))


def bring_photographs(folder, names, monkeypatch):
    del monkeypatch
    random = np.random.RandomState(0)
    (folder / "concepts.csv").write_text("id,name,category\n1,tree,object\n2,roof,part\n")
    for kind, high, shape in (("photographs", 256, (8, 8, 3)), ("objects", 2, (8, 8)),
                              ("parts", 3, (8, 8))):  # fmt: skip
        (folder / kind).mkdir()
        for number in range(3):
            pixels = random.randint(0, high, shape).astype(np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    names["my_nnx_module"] = Layers(nnx.Rngs(0))
    names["normalise"] = lambda images: images - 0.5


def bring_painting(folder, names, monkeypatch):
    del names, monkeypatch
    inputs = jd.engine.data.latents(1, 128)
    size = len(inputs[0]["latent"])
    painted = jd.painting.Painting("layer4", (64, 64), size, 0, 0, {}, ())
    (folder / "painting_0.json").write_text(jd.painting.to_json(painted))


def bring_weights(folder, names, monkeypatch):
    names["jd"] = jd
    publish_segmenters(folder)
    publish_vgg(monkeypatch, narrow_vgg(), folder / "vgg16_places365")
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    write_zip(folder / "my_vgg16.pth", state_dict(narrow_vgg()))


def bring_user_weights(folder, names, monkeypatch):
    del names, monkeypatch
    shapes = {
        "features.0.weight": (8, 3, 3, 3),
        "features.4.weight": (16, 8, 3, 3),
        "classifier.6.weight": (10, 16 * 8 * 8),
    }
    shapes |= {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items()}
    shapes |= {f"features.1.{name}": (8,) for name in ("weight", "bias")}
    shapes |= {f"features.1.running_{name}": (8,) for name in ("mean", "var")}
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    write_zip(folder / "my_vgg.pth", state_dict(arrays, "module."))


# What a block needs, by the line after which its reader has it.
BROUGHT = {
    'concepts = jd.read_concepts("concepts.csv")': bring_photographs,
    "image = replay(": bring_painting,
    'model = jd.pretrained("vgg16_places365")': bring_weights,
    "model = jd.load_weights(": bring_user_weights,
}
PYTHON = [text for language, text in BLOCKS if language == "python"]


@pytest.mark.optimised
@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.splitlines()[0])
@pytest.mark.slow
def test_python_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for line, bring in BROUGHT.items():
        if line in block:
            bring(tmp_path, names, monkeypatch)
    exec(compile(block, "README.md", "exec"), names)  # what a reader does


def test_every_stand_in_is_used():
    for line in BROUGHT:
        assert any(line in block for block in PYTHON), line


# --- commands -----------------------------------------------------------------------------------


# By itself, by SLURM, or on the hosts of a TPU.
STARTED = r"""^\s*(?:srun |gcloud .*--command=")?\s*(jaxdissect [^"]*)"""


def commands():
    """Command lines that the README has in full, and those in its sentences that have options."""
    for language, text in BLOCKS:
        if language in ("", "bash"):
            for line in re.split(r"\n|&&", text.replace("\\\n", " ")):
                if found := re.search(STARTED, line):
                    yield found[1].strip()
    for inline in re.findall(r"`([^`]*)`", FENCED.sub("", README).replace("\n", " ")):
        for line in inline.split("&&"):
            if line.strip().startswith("jaxdissect ") and " --" in line:
                yield line.strip()


@pytest.mark.parametrize("line", list(dict.fromkeys(commands())))
def test_command_parses(line, monkeypatch):
    parsed = []
    parse = command_line._parse

    class Parsed:
        def __init__(self, arguments):
            parsed.append(parse(arguments))

        def run(self):
            """Nothing: that the options can be read is enough."""

    monkeypatch.setattr(command_line, "_parse", Parsed)
    assert command_line.main(shlex.split(line)[1:]) == 0
    assert len(parsed) == 1


def help_of(*command):
    with pytest.raises(SystemExit):
        command_line.main([*command, "--help"])


def test_options_exist(capsys):
    kinds = ("demo", "dissect", "ablate", "detect", "style", "attack", "defend", "fetch")
    for kind in (*kinds, "convert", "paint"):
        help_of(kind)
    for kind in ("dissect", "remove", "insert", "optimise", "artifacts"):
        help_of("generate", kind)
    known = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    known |= {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(TrainOptions)}
    known |= {"--help", "--version", "--group", "--upgrade"}  # of all commands, and pip's
    known |= {"--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task"}  # of SLURM
    known |= {"--time", "--signal", "--zone", "--worker", "--command", "--logdir"}  # and others
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README))
    assert not named - known


# --- names --------------------------------------------------------------------------------------


def exists(path):
    module, *names = path.split(".")
    found = importlib.import_module(module)
    for name in names:
        module = f"{module}.{name}"
        if not hasattr(found, name):
            importlib.import_module(module)
        found = getattr(found, name)


def test_paths_exist():
    wrong = []
    for path in sorted(set(re.findall(r"\b(?:jaxdissect|jd)(?:\.[A-Za-z]\w*)+", README))):
        try:
            exists(re.sub(r"^jd\.", "jaxdissect.", path))
        except (AttributeError, ModuleNotFoundError):
            wrong.append(path)
    assert not wrong


def test_files_exist():
    root = pathlib.Path(__file__).resolve().parents[1]
    for path in re.findall(r"`((?:benchmarks|tests|docs|examples)/[^`]*)`|\]\(([^)#:]+)\)", README):
        assert (root / "".join(path)).exists(), path
