"""The pages of the command line and of Python: written by `python docs/build/generated_pages.py`.

The first say what `--help` says, the others list what packages list. A test compares them.
"""

import ast
import contextlib
import importlib
import inspect
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from jaxdissect.commands import main as command_line

DOCS = Path(__file__).resolve().parents[1]
COMMAND_LINE = Path("reference/command-line")
PYTHON = Path("reference/python")

EXPERIMENTS = {
    "demo": "scenes.md#the-demonstration",
    "report": "report.md",
    "dissect": "experiments/dissect.md",
    "ablate": "experiments/ablate.md",
    "detect": "experiments/detect.md",
    "style": "experiments/style.md",
    "attack": "experiments/attack.md",
    "defend": "experiments/defend.md",
    "generate": "experiments/index.md#generators",
    "generate dissect": "experiments/generate-dissect.md",
    "generate remove": "experiments/generate-remove.md",
    "generate insert": "experiments/generate-insert.md",
    "generate optimise": "experiments/generate-optimise.md",
    "generate artifacts": "experiments/generate-artifacts.md",
    "paint": "experiments/paint.md",
    "reproduce": "reproduction.md",
    "fetch": "your-own/published-networks.md",
    "convert": "your-own/weights.md",
    "bench": "benchmark.md",
}
"""The page that says what a command is for, and how its tables are read."""

PACKAGES = (
    *("jaxdissect", "jaxdissect.dissection", "jaxdissect.classifiers", "jaxdissect.generators"),
    *("jaxdissect.attacks", "jaxdissect.styles", "jaxdissect.painting", "jaxdissect.plots"),
    *("jaxdissect.report", "jaxdissect.reproduction", "jaxdissect.scenes", "jaxdissect.engine"),
    *("jaxdissect.engine.data", "jaxdissect.bench"),
    *("jaxdissect.networks", "jaxdissect.networks.adapters", "jaxdissect.networks.models"),
    *("jaxdissect.networks.segmenters", "jaxdissect.stats", "jaxdissect.arrays"),
)

GENERATED = "<!-- Generated: `python docs/build/generated_pages.py` writes this page. -->"


# --- the command line -----------------------------------------------------------------------------


class Option(NamedTuple):
    """One option of a command.

    Attributes:
        invocation: How it is given, such as `--out DIR`.
        text: What it does, with its default.
    """

    invocation: str
    text: str


class OptionGroup(NamedTuple):
    """Options under one heading of `--help`.

    Attributes:
        title: The heading.
        text: What it says of all of them; may be empty.
        options: The options, in its order.
    """

    title: str
    text: str
    options: tuple[Option, ...]


class Help(NamedTuple):
    """What `--help` of a command says.

    Attributes:
        usage: The line of its usage.
        text: Paragraphs of what it does.
        groups: Its options.
        subcommands: What they are called.
    """

    usage: str
    text: tuple[str, ...]
    groups: tuple[OptionGroup, ...]
    subcommands: tuple[str, ...]


def help_text(*command: str) -> str:
    """Give what `--help` of a command prints, without line breaks of a narrow terminal."""
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # or boxes are of other letters
    wide = mock.patch.dict(os.environ, {"COLUMNS": "2000", "NO_COLOR": "1"})
    with wide, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        command_line.main([*command, "--help"])
    printed.flush()
    return printed.buffer.getvalue().decode()  # pyright: ignore[reportAttributeAccessIssue]


_BOX = re.compile(r"^╭─ (?P<title>.*?) ─+╮\n(?P<lines>.*?)^╰─", re.DOTALL | re.MULTILINE)
_BULLET = re.compile(r"^\s*• (\S+)", re.MULTILINE)
_BESIDE = re.compile(r"(\S+(?: \S+)*)(?:\s{2,}(.*))?")  # the option, and the start of its text


def read_help(text: str) -> Help:
    """Read what `--help` prints.

    Args:
        text: As `help_text` gives it.
    """
    usage, _, rest = text.strip().partition("\n\n")
    paragraphs, _, _ = rest.partition("╭─")
    groups: list[OptionGroup] = []
    subcommands: list[str] = []
    for box in _BOX.finditer(text):
        lines = [line.strip("│").rstrip() for line in box["lines"].splitlines()]
        if box["title"] == "subcommands":
            subcommands += _BULLET.findall("\n".join(lines))
        else:
            groups.append(_read_group(box["title"], lines))
    described = tuple(" ".join(part.split()) for part in paragraphs.split("\n\n") if part.strip())
    return Help(usage.removeprefix("usage: "), described, tuple(groups), tuple(subcommands))


def _read_group(title: str, lines: list[str]) -> OptionGroup:
    """Read a box: first what it says of all, above a rule, then options and indented texts."""
    told: list[str] = []
    found: list[list[str]] = []
    for line in lines:
        if line.strip().startswith("──"):
            told, found = [part for entry in found for part in entry], []
        elif re.match(r" \S", line):
            given, beside = _BESIDE.fullmatch(line.strip()).groups()  # pyright: ignore
            found.append([given, beside or ""])
        elif line.strip():
            found[-1].append(line.strip())
    options = (Option(given, " ".join(filter(None, text))) for given, *text in found)
    return OptionGroup(title, " ".join(filter(None, told)), tuple(options))


def commands() -> Iterator[tuple[str, ...]]:
    """Name every command, and after it its subcommands."""
    for name in command_line.COMMANDS:
        yield (name,)
        yield from ((name, inner) for inner in read_help(help_text(name)).subcommands)


def command_page(command: tuple[str, ...], found: Help) -> str:
    """Write the page of a command."""
    name = " ".join(command)
    lines = [GENERATED, "", f"# jaxdissect {name}", ""]
    lines += [part for text in found.text for part in (_escaped(text), "")]
    lines += ["```text", found.usage, "```", ""]
    if name in EXPERIMENTS:
        lines += [f"What it is for: [{_title(EXPERIMENTS[name])}](../../{EXPERIMENTS[name]}).", ""]
    if found.subcommands:
        lines += [f"- [{name} {inner}]({_file((*command, inner))})" for inner in found.subcommands]
        lines += [""]
    for group in found.groups:
        options = [option for option in group.options if not option.invocation.startswith("-h")]
        if options:
            lines += [f"## {group.title.capitalize()}", ""]
            lines += [_escaped(group.text), ""] if group.text else []
            lines += [part for option in options for part in (*_entry(option), "")]
    return "\n".join(lines).rstrip() + "\n"


def _entry(option: Option) -> list[str]:
    """Write an option as a term with an anchor, and its text."""
    anchor = option.invocation.split()[0].strip("-[],").lower()
    text = option.text.removesuffix("(required)").rstrip()
    required = " **Required.**" if text != option.text else ""
    text = re.sub(r" ?\(default: (.*)\)$", r" Default: \1.", text)
    text = text.replace(" Default: False.", "")
    return [f"`{option.invocation}`{{ #{anchor} }}", f":   {_escaped(text)}{required}"]


def _escaped(text: str) -> str:
    """Write text as Markdown that shows the very same; what stands in backticks is left."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([\\*_<>\[\]#|])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = [re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"`\1`", part) for part in parts[::2]]
    return "".join(parts)


def _title(page: str) -> str:
    """Give the heading of a page, or of its part."""
    path, _, anchor = page.partition("#")
    for line in (DOCS / path).read_text().splitlines():
        if heading := re.fullmatch(r"#+ (.*)", line):
            if not anchor or re.sub(r"[^\w]+", "-", heading[1].lower()) == anchor:
                return heading[1]
    raise ValueError(f"no heading {anchor or ''} in {path}")


def _file(command: tuple[str, ...]) -> str:
    return f"{'-'.join(command)}.md"


def command_pages() -> dict[Path, str]:
    """Write the pages of all commands, by where they belong."""
    found = {command: read_help(help_text(*command)) for command in commands()}
    pages = {
        COMMAND_LINE / _file(command): command_page(command, text)
        for command, text in found.items()
    }
    lines = [GENERATED, "", "# The command line", ""]
    lines += ["These pages say what `jaxdissect COMMAND --help` says.", ""]
    lines += ["| command | what it does |", "| --- | --- |"]
    lines += [
        f"| [{' '.join(command)}]({_file(command)}) | {_escaped(text.text[0])} |"
        for command, text in found.items()
    ]
    lines += ["", "## For all of them", "", *_OF_ALL]
    pages[COMMAND_LINE / "index.md"] = "\n".join(lines) + "\n"
    return pages


_OF_ALL = (
    "`jaxdissect --version` prints the version, `jaxdissect --help` the commands.",
    "",
    "| exit code | what it means |",
    "| --- | --- |",
    "| 0 | All is written. |",
    "| 1 | All is written, and `bench` or `reproduce` found something wrong or slower. |",
    "| 2 | What was given cannot work. One line on stderr says why, and nothing is written. |",
    "| 130, 143 | Interrupted (Ctrl+C), terminated. With `--checkpoints` the command resumes. |",
    "",
    "Anything else is a bug and ends with a traceback.",
)


# --- Python ---------------------------------------------------------------------------------------


def listed(package: str) -> list[str]:
    """Name what the `__init__` of a package lists, in its order."""
    path = inspect.getsourcefile(importlib.import_module(package))
    return [
        alias.asname
        for node in ast.walk(ast.parse(Path(str(path)).read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    ]


def package_page(package: str) -> str:
    """Write the page of a package: its names one by one, and its modules whole.

    A name that another package lists too is described there.
    """
    module = importlib.import_module(package)
    lines = [GENERATED, "", f"# {package}", "", *_docstring(module), ""]
    elsewhere, here, modules, packages = [], [], [], []
    for name in sorted(listed(package), key=lambda name: (name.lower(), name)):
        path = f"{package}.{name}"
        if path in PACKAGES:
            packages.append(path)
        elif inspect.ismodule(getattr(module, name)):
            modules.append(path)
        elif home := _home(package, name):
            elsewhere.append(f"{home}.{name}")
        else:
            here.append(path)
    if elsewhere:
        lines += ["| name | described with |", "| --- | --- |"]
        for path in elsewhere:
            home, _, name = path.rpartition(".")
            lines.append(f"| [`{name}`][{path}] | [{home}]({home}.md) |")
        lines += [""]
    if packages:
        lines += ["Packages within it:", "", *(f"- [{path}]({path}.md)" for path in packages), ""]
    for path in (*here, *modules):
        lines += [f"::: {path}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _home(package: str, name: str) -> str | None:
    """Find the package that describes a name which the whole library lists too."""
    if package != PACKAGES[0]:
        return None
    value = getattr(importlib.import_module(package), name)
    for other in PACKAGES[1:]:
        if name in listed(other) and getattr(importlib.import_module(other), name) is value:
            return other
    return None


def _docstring(module: object) -> list[str]:
    """Write a package's docstring as Markdown: it is plain text with lists."""
    return str(inspect.getdoc(module)).splitlines()


def package_pages() -> dict[Path, str]:
    """Write the pages of all packages, by where they belong."""
    pages = {PYTHON / f"{package}.md": package_page(package) for package in PACKAGES}
    lines = [GENERATED, "", "# Python", ""]
    lines += ["`import jaxdissect as jd` reaches all of them by their names, as in", ""]
    lines += [
        "`jd.classifiers.ablation_sweep`.",
        "",
        "| package | what it holds |",
        "| --- | --- |",
    ]
    for package in PACKAGES:
        first = str(inspect.getdoc(importlib.import_module(package))).partition("\n\n")[0]
        lines.append(f"| [{package}]({package}.md) | {' '.join(first.split())} |")
    pages[PYTHON / "index.md"] = "\n".join(lines) + "\n"
    return pages


def pages() -> Mapping[Path, str]:
    """Write all generated pages, by where they belong below `docs`."""
    return {**command_pages(), **package_pages()}


def main() -> None:
    """Replace the generated pages."""
    found = pages()
    for folder in (COMMAND_LINE, PYTHON):
        for path in (DOCS / folder).glob("*.md"):
            path.unlink()
    for path, text in found.items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_text(text)


if __name__ == "__main__":
    main()
