"""The architecture: imports point downwards only, and importing the package is cheap."""

import ast
import functools
import pathlib
import subprocess
import sys

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "jaxdissect"
# From the bottom up; packages of one floor do not know of each other.
FLOORS = [
    {"arrays"},
    {"stats"},
    {"networks"},
    {"engine"},
    {"scenes"},
    {"plots"},
    {"dissection"},
    {"classifiers", "generators"},
    {"attacks", "styles", "painting"},
    {"report"},
    {"bench", "reproduction"},
    {"commands"},
]
FLOOR_OF = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)
COMMANDS = sorted(path.parent.name for path in PACKAGE.glob("commands/*/command.py"))


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


def imports(path):
    """Dotted names of all that a file imports, anywhere in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path):
    """The parts after `jaxdissect` of what a file imports of the package itself."""
    for name in imports(path):
        first, *parts = name.split(".")
        if first == "jaxdissect":
            yield parts


def place(path):
    """Package, perhaps command, and file name of a module."""
    return path.relative_to(PACKAGE).parts


# `python -m jaxdissect.bench` is a command, which stands on the benchmark: nothing imports it.
PROGRAMS: dict[tuple[str, ...], str] = {("bench", "__main__.py"): "commands"}


def test_imports_point_downwards():
    wrong = []
    for path in MODULES:
        package = PROGRAMS.get(place(path), place(path)[0])
        for name, *_ in own_imports(path):
            if name != package and FLOOR_OF.get(name, len(FLOORS)) >= FLOOR_OF[package]:
                wrong.append(f"{'/'.join(place(path))} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_drawing_and_tables_run_no_network():
    wrong = []
    for path in MODULES:
        if place(path)[0] in ("plots", "report") or path.name in ("tables.py", "figures.py"):
            used = {name.split(".")[0] for name in imports(path)} & {"jax", "flax"}
            wrong += [f"{'/'.join(place(path))} imports {name}" for name in used]
    assert not wrong, "\n".join(wrong)


def test_commands_do_not_know_of_each_other():
    wrong = []
    for path in PACKAGE.glob("commands/*/*.py"):
        command = place(path)[1]
        for package, *parts in own_imports(path):
            if package == "commands" and parts[0] in set(COMMANDS) - {command}:
                # The demonstration shows the tables and figures of the others on one page.
                if command != "demo" or not {"tables", "figures"} & set(parts[1:2]):
                    wrong.append(f"{'/'.join(place(path))} imports {'.'.join(parts)}")
    assert not wrong, "\n".join(wrong)


def test_every_module_says_what_it_is_for():
    assert not [path for path in MODULES if not ast.get_docstring(parsed(path))]


def test_public_names():
    import jaxdissect

    modules = {
        alias.asname: f"{node.module}".removeprefix("jaxdissect.")
        for node in ast.walk(parsed(PACKAGE / "__init__.py"))
        if isinstance(node, ast.ImportFrom) and node.module != "jaxdissect"
        for alias in node.names
        if alias.asname
    }
    assert len(modules) <= 33
    assert jaxdissect._MODULES == modules, "the type checker and Python see different names"
    for name in modules:
        assert getattr(jaxdissect, name).__doc__, name
    assert set(modules) <= set(dir(jaxdissect))


def output_of(code):
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_import_leaves_heavy_packages_alone():
    heavy = {"tensorflow_datasets", "tensorflow", "orbax", "matplotlib", "PIL", "tyro", "pyarrow"}
    code = f"import sys; from jaxdissect import *; print(sorted({heavy} & set(sys.modules)))"
    assert output_of(code) == "[]"


def test_import_waits_for_what_is_asked_for():
    heavy = {"jax", "flax", "numpy", "optax"}
    code = f"import sys, jaxdissect; print(sorted({heavy} & set(sys.modules)))"
    assert output_of(code) == "[]"


def test_packages_need_no_import_of_their_own():
    packages = sorted(set(FLOOR_OF) - {"commands"})
    code = f"""
import jaxdissect as jd
packages = {packages}
for package in packages:
    assert getattr(jd, package).__name__ == "jaxdissect." + package
assert set(packages) <= set(dir(jd))
assert jd.__version__[0].isdigit() and "__version__" in dir(jd)
assert not hasattr(jd, "commands") and not hasattr(jd, "nothing")
"""
    output_of(code)
