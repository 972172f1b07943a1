"""The command line: `jaxdissect dissect ...` and others, see `jaxdissect --help`.

Exit codes: 0 when all is written, 2 when what the user gave cannot work (one line on stderr gives
the reason), 130 when interrupted. Anything else is a bug and ends with a traceback.
"""

import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from jaxdissect.arrays.names import printable_lines
from jaxdissect.commands.options.user_code import raised_by
from jaxdissect.commands.output.disk_space import explain_full_disk

PROGRAM = "jaxdissect"

DESCRIPTION = """Find out what the individual units of a vision network do.

Try `jaxdissect demo --out results`; `jaxdissect --version`
prints the version.
"""


COMMANDS = {
    "demo": "DemoOptions",
    "dissect": "DissectOptions",
    "ablate": "AblateOptions",
    "detect": "DetectOptions",
    "style": "StyleOptions",
    "generate": "GenerateOptions",
    "attack": "AttackOptions",
    "defend": "DefendOptions",
    "fetch": "FetchOptions",
    "convert": "ConvertOptions",
    "paint": "PaintOptions",
}
"""The class of the options of every command, in `jaxdissect.commands.<command>.command`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name.

    Args:
        arguments: The words after the program's name; those of this process when None.

    Returns:
        The exit code.

    Raises:
        SystemExit: If the arguments are no command (code 2), or ask for help (code 0).
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(PROGRAM, version(PROGRAM))
        return 0

    options = _parse(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # results are written: no letter may be too much
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options.run()
    except Exception as problem:
        full = explain_full_disk(problem, options)
        # The library checks what it is given; a ValueError from deeper down is a bug.
        if full is None and not isinstance(problem, OSError):
            if not (isinstance(problem, ValueError) and raised_by(PROGRAM, problem)):
                raise
        return _refuse(full or str(problem))
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    return 0


def _parse(arguments: Sequence[str]) -> Any:
    """Make the options of the command that the arguments name, importing that command only.

    Raises:
        SystemExit: If the arguments are no command (code 2), or ask for help (code 0).
    """
    import tyro

    if arguments and arguments[0] in COMMANDS:
        name = arguments[0]
        return tyro.cli(_options_of(name), prog=f"{PROGRAM} {name}", args=arguments[1:])
    commands = {name: _options_of(name) for name in COMMANDS}
    return tyro.extras.subcommand_cli_from_dict(
        commands, prog=PROGRAM, description=DESCRIPTION, args=arguments
    )


def _options_of(name: str) -> Any:
    """Import the class of a command's options."""
    return getattr(import_module(f"jaxdissect.commands.{name}.command"), COMMANDS[name])


def _refuse(problem: str) -> int:
    print(printable_lines(f"{PROGRAM}: error: {problem}"), file=sys.stderr)
    return 2
