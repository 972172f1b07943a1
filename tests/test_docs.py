"""README and docs: their Python runs, their commands parse, what they name exists."""

import importlib
import re
import shlex
from pathlib import Path

import generated_pages
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from support.published_files import narrow_vgg, publish_segmenters, publish_vgg
from support.pytorch_files import state_dict, write_zip

import jaxdissect as jd
from jaxdissect.commands import main as command_line
from jaxdissect.networks.weights.download import CACHE_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "reference" not in path.parts
}
"""What people wrote: all pages but the generated ones."""
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)

each_page = pytest.mark.parametrize("page", WRITTEN)


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
    del names
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


# What a page needs that its reader has, by a line of its Python.
BROUGHT = {
    'concepts = jd.read_concepts("concepts.csv")': bring_photographs,
    "image = replay(": bring_painting,
    'model = jd.pretrained("vgg16_places365")': bring_weights,
    "model = jd.load_weights(": bring_user_weights,
}
PYTHON = {
    page: "\n".join(blocks)
    for page, text in WRITTEN.items()
    if (blocks := [block for language, block in FENCED.findall(text) if language == "python"])
}
"""All Python of a page, which its reader runs from top to bottom."""


@pytest.mark.optimised
@pytest.mark.parametrize("page", PYTHON)
@pytest.mark.slow
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for line, bring in BROUGHT.items():
        if line in PYTHON[page]:
            bring(tmp_path, names, monkeypatch)
    exec(compile(PYTHON[page], page, "exec"), names)  # what a reader does


def test_every_stand_in_is_used():
    for line in BROUGHT:
        assert any(line in block for block in PYTHON.values()), line


# --- commands -----------------------------------------------------------------------------------


# By itself, by SLURM, or on the hosts of a TPU.
STARTED = r"""^\s*(?:srun |gcloud .*--command=")?\s*(jaxdissect [^"]*)"""


def commands():
    """Command lines that pages have in full, and those in their sentences that have options."""
    for text in WRITTEN.values():
        for language, block in FENCED.findall(text):
            if language in ("", "bash"):
                for line in re.split(r"\n|&&", block.replace("\\\n", " ")):
                    if found := re.search(STARTED, line):
                        yield found[1].strip()
        for inline in re.findall(r"`([^`]*)`", FENCED.sub("", text).replace("\n", " ")):
            for line in inline.split("&&"):
                if line.strip().startswith("jaxdissect ") and " --" in line:
                    yield line.strip()


SPOKEN_OF = ("jaxdissect --version", "jaxdissect --help", "jaxdissect COMMAND --help")


@pytest.mark.parametrize("line", sorted(set(commands()) - set(SPOKEN_OF)))
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


OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
OF_OTHERS = {
    *("--group", "--upgrade", "--editable"),  # of pip
    *("--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--time", "--signal"),
    *("--zone", "--worker", "--command", "--logdir", "--version", "--help"),
    *("--every", "--network", "--out", "--segments", "--pictures", "--untrained"),  # tests/real
}


@pytest.fixture(scope="module")
def helps():
    """What `--help` prints for every command."""
    return {command: generated_pages.help_text(*command) for command in generated_pages.commands()}


@each_page
def test_options_exist(page, helps):
    known = {option for text in helps.values() for option in OPTION.findall(text)}
    assert not set(OPTION.findall(WRITTEN[page])) - known - OF_OTHERS


def test_generated_pages_are_those_of_today():
    """`python docs/build/generated_pages.py` writes them anew."""
    folders = [generated_pages.DOCS / generated_pages.COMMAND_LINE]
    folders += [generated_pages.DOCS / generated_pages.PYTHON]
    there = {
        path.relative_to(generated_pages.DOCS): path.read_text()
        for folder in folders
        for path in folder.glob("*.md")
    }
    now = generated_pages.pages()
    assert set(there) == set(now)
    assert not [str(path) for path, text in now.items() if there[path] != text]


def test_every_command_and_option_stands_in_the_docs(helps):
    """Read from what is printed, not from what the generator has read of it."""
    assert {command[0] for command in helps} == set(command_line.COMMANDS)
    missing = []
    for command, text in helps.items():
        path = generated_pages.COMMAND_LINE / f"{'-'.join(command)}.md"
        page = (generated_pages.DOCS / path).read_text()
        for line in text.splitlines():
            if given := re.match(r"│ (--[a-z-]+)", line):
                if f"`{given[1]}" not in page:
                    missing.append(" ".join((*command, given[1])))
    assert not missing


def test_every_command_has_a_page_that_says_what_it_is_for(helps):
    for command in helps:
        page = generated_pages.EXPERIMENTS[" ".join(command)].partition("#")[0]
        assert f"jaxdissect {' '.join(command)}" in WRITTEN[f"docs/{page}"]


def test_help_is_read_whole():
    """A box of two options, one of which has its text below and over two lines."""
    text = (
        "usage: jaxdissect x [-h]\n\nDo it.\n\nCarefully.\n\n"
        "╭─ options ─────────────╮\n"
        "│ -h, --help   show     │\n"
        "│ --a N        One.     │\n"
        "│ --b X [X ...]         │\n"
        "│              Two      │\n"
        "│              of them. │\n"
        "╰───────────────────────╯\n"
        "╭─ more options ────────╮\n"
        "│ What they share.      │\n"
        "│ ───────────────────── │\n"
        "│ --c          Three.   │\n"
        "╰───────────────────────╯\n"
        "╭─ subcommands ─────────╮\n"
        "│ (required)            │\n"
        "│   • inner  Inside.    │\n"
        "╰───────────────────────╯\n"
    )
    found = generated_pages.read_help(text)
    assert found.usage == "jaxdissect x [-h]"
    assert found.text == ("Do it.", "Carefully.")
    assert found.subcommands == ("inner",)
    first, second = found.groups
    assert [tuple(option) for option in first.options] == [
        ("-h, --help", "show"),
        ("--a N", "One."),
        ("--b X [X ...]", "Two of them."),
    ]
    assert (second.title, second.text) == ("more options", "What they share.")
    assert [tuple(option) for option in second.options] == [("--c", "Three.")]


# --- names --------------------------------------------------------------------------------------


def exists(path):
    module, *names = path.split(".")
    found = importlib.import_module(module)
    for name in names:
        module = f"{module}.{name}"
        if not hasattr(found, name):
            importlib.import_module(module)
        found = getattr(found, name)


@each_page
def test_paths_exist(page):
    wrong = []
    for path in sorted(set(re.findall(r"\b(?:jaxdissect|jd)(?:\.[A-Za-z]\w*)+", WRITTEN[page]))):
        try:
            exists(re.sub(r"^jd\.", "jaxdissect.", path))
        except (AttributeError, ModuleNotFoundError):
            wrong.append(path)
    assert not wrong


@each_page
def test_files_exist(page):
    """Links within the site, and files of the repository in backticks."""
    text = FENCED.sub("", WRITTEN[page])
    for path in re.findall(r"`((?:benchmarks|tests|docs|examples)/[^`*]*)`", text):
        assert (ROOT / path.split()[0]).exists(), path
    for path in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / path).exists(), path


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert listed <= pages
    generated = {page for page in pages if page.startswith("reference/")}
    assert not pages - generated - listed


def test_readme_is_short():
    assert len(WRITTEN["README.md"].splitlines()) <= 130


def test_the_version_is_one():
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert version and cited and version[1] == cited[1]
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text()
