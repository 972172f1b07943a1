"""The architecture: imports point downwards only, and importing the package is cheap."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "jaxdissect"
FLOORS = [
    "arrays",
    "stats",
    "networks",
    "engine",
    "scenes",
    "dissection",
    "classifiers",
    "generators",
    "attacks",
    "styles",
    "painting",
    "plots",
    "report",
    "commands",
]
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def imported(path):
    """Floors of the package's own modules that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
        yield from (name.split(".")[1] for name in names if name.startswith("jaxdissect."))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    floor = FLOORS.index(path.relative_to(PACKAGE).parts[0])
    for name in imported(path):
        assert FLOORS.index(name) <= floor, f"{path.name} imports {name}"


def test_every_module_says_what_it_is_for():
    for path in MODULES:
        assert importlib.import_module(
            ".".join(["jaxdissect", *path.relative_to(PACKAGE).with_suffix("").parts])
        ).__doc__, path


def test_public_names():
    import jaxdissect

    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    names = [
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert len(names) == len(set(names)) <= 30
    for name in names:
        assert getattr(jaxdissect, name).__doc__, name


def test_import_leaves_heavy_packages_alone():
    code = (
        "import sys, jaxdissect;"
        "heavy = {'tensorflow_datasets', 'tensorflow', 'orbax', 'matplotlib', 'PIL', 'tyro'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
