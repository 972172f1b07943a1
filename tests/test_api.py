"""The conventions of the public interface: what a package lists, and how it can be called."""

import ast
import importlib
import inspect
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = [
    "jaxdissect",
    *(
        f"jaxdissect.{name}"
        for name in (
            *("arrays", "stats", "networks", "engine", "engine.data", "scenes", "dissection"),
            *("classifiers", "generators", "attacks", "styles", "painting", "plots", "report"),
            "reproduction",
            "bench",
        )
    ),
]
PARAMETER = inspect.Parameter

each_package = pytest.mark.parametrize("package", PACKAGES)


def folder_of(package):
    return ROOT.joinpath(*package.split("."))


def listed(package):
    """(module, name) of everything that the package's `__init__` lists."""
    for node in ast.walk(ast.parse((folder_of(package) / "__init__.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module != "jaxdissect":
            for alias in node.names:
                if alias.asname is not None:
                    assert alias.asname == alias.name, f"{package} renames {alias.name}"
                    yield str(node.module), alias.name


def members(name, value):
    """What is defined in a listed module or class, with the methods of its classes."""
    yield name, value
    home = value.__name__ if inspect.ismodule(value) else value.__module__
    for member, inner in vars(value).items():
        if inspect.isfunction(inner) and inner.__module__ == home and not member.startswith("_"):
            yield f"{name}.{member}", inner
        elif inspect.isclass(inner) and inner.__module__ == home and not member.startswith("_"):
            yield from members(f"{name}.{member}", inner)


def public(package):
    """(name, object) of everything that the package lists, and what is in it."""
    found = importlib.import_module(package)
    for _, name in listed(package):
        value = getattr(found, name)
        if inspect.ismodule(value) or inspect.isclass(value):
            yield from members(name, value)
        else:
            yield name, value


def says_what_it_is(module, name):
    """Whether a constant or a type alias has a comment above it or a docstring below it."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    text = path.read_text()
    lines, body = text.splitlines(), ast.parse(text).body
    for index, node in enumerate(body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            below = body[index + 1 : index + 2]
            described = any(
                isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                for node in below
            )
            return described or lines[node.lineno - 2].lstrip().startswith("#")
    return False


@each_package
def test_a_package_lists_its_names_and_does_nothing_else(package):
    names = [name for _, name in listed(package)]
    assert names, f"{package} lists no public name"
    assert len(names) == len(set(names))
    if package == "jaxdissect":
        return
    _, *body = ast.parse((folder_of(package) / "__init__.py").read_text()).body
    assert all(isinstance(node, ast.ImportFrom) for node in body)
    elsewhere = [
        f"{name} of {module}" for module, name in listed(package) if not module.startswith(package)
    ]
    assert not elsewhere, f"{package} lists what is defined elsewhere: {', '.join(elsewhere)}"


def test_a_name_has_one_package():
    homes = {}
    for package in PACKAGES[1:]:
        for module, name in listed(package):
            homes.setdefault((module, name), []).append(package)
    assert not {name: places for name, places in homes.items() if len(places) > 1}


@each_package
def test_no_name_is_also_a_module(package):
    inside = {path.stem for path in folder_of(package).iterdir()}
    modules = {
        name for module, name in listed(package) if f"{module}.{name}" == f"{package}.{name}"
    }
    assert not (inside & {name for _, name in listed(package)}) - modules


@each_package
def test_every_name_is_documented(package):
    found = importlib.import_module(package)
    missing = []
    for module, name in listed(package):
        value = getattr(found, name)
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            generated = f"{name}("  # the docstring that dataclasses and NamedTuples make
            described = value.__doc__ and not value.__doc__.startswith(generated)
        else:
            described = says_what_it_is(module, name)
        if not described:
            missing.append(f"{module}.{name}")
    missing += [
        f"{package}.{name}"
        for name, value in public(package)
        if "." in name and not inspect.getdoc(value)
    ]
    assert not missing, "not documented:\n" + "\n".join(missing)


@each_package
def test_what_has_a_default_is_given_by_name(package):
    wrong = []
    for name, value in public(package):
        record = inspect.isclass(value) and (
            issubclass(value, tuple) or hasattr(value, "__dataclass_fields__")
        )
        if record or not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        try:
            parameters = list(inspect.signature(value).parameters.values())
        except ValueError:  # exceptions and protocols have none
            continue
        given = [parameter for parameter in parameters if parameter.name != "self"]
        wrong += [
            f"{package}.{name}: {parameter.name} has a default and is positional"
            for parameter in given
            if parameter.default is not PARAMETER.empty
            and parameter.kind is not PARAMETER.KEYWORD_ONLY
        ]
        positional = [p.name for p in given if p.kind is PARAMETER.POSITIONAL_OR_KEYWORD]
        if "key" in positional and positional[0] != "key":
            wrong.append(f"{package}.{name}: key is not the first parameter")
    assert not wrong, "\n".join(wrong)


def described_errors(docstring):
    """The entries of the section on errors, one line each."""
    _, found, section = docstring.partition("\nRaises:\n")
    for line in section.splitlines() if found else ():
        if line and not line.startswith(" "):
            break  # the next section
        if re.match(r" {4}\S", line):
            yield line.strip()


def test_errors_are_described_alike():
    wrong = []
    for path in sorted(folder_of("jaxdissect").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                wrong += [
                    f"{path.relative_to(ROOT)}: {node.name}: {entry}"
                    for entry in described_errors(ast.get_docstring(node) or "")
                    if not re.match(r"\w+(, \w+)*: If ", entry)
                ]
    assert not wrong, "\n".join(wrong)
