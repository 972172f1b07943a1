"""The command line: `jaxdissect dissect ...` and others, see `jaxdissect --help`.

Exit codes: 0 when all is written, 2 when what the user gave cannot work (one line on stderr says
why), 130 when interrupted. Anything else is a bug and ends with a traceback.
"""

import sys
from collections.abc import Sequence
from typing import Any

PROGRAM = "jaxdissect"

DESCRIPTION = """Find out what the individual units of a vision network do.

Try `jaxdissect demo --out results`; `jaxdissect --version`
prints the version.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name.

    Args:
        arguments: The words after the program's name; those of this process when None.

    Returns:
        The exit code.

    Raises:
        SystemExit: with code 2 if the arguments are no command, with 0 after `--help`.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(PROGRAM, version(PROGRAM))
        return 0

    from tyro.extras import subcommand_cli_from_dict

    from jaxdissect.commands.ablate.command import AblateOptions
    from jaxdissect.commands.attack.command import AttackOptions
    from jaxdissect.commands.convert.command import ConvertOptions
    from jaxdissect.commands.defend.command import DefendOptions
    from jaxdissect.commands.demo.command import DemoOptions
    from jaxdissect.commands.detect.command import DetectOptions
    from jaxdissect.commands.dissect.command import DissectOptions
    from jaxdissect.commands.fetch.command import FetchOptions
    from jaxdissect.commands.generate.command import GenerateOptions
    from jaxdissect.commands.options.user_code import raised_by
    from jaxdissect.commands.paint.command import PaintOptions
    from jaxdissect.commands.style.command import StyleOptions

    commands: dict[str, Any] = {
        "demo": DemoOptions,
        "dissect": DissectOptions,
        "ablate": AblateOptions,
        "detect": DetectOptions,
        "style": StyleOptions,
        "generate": GenerateOptions,
        "attack": AttackOptions,
        "defend": DefendOptions,
        "fetch": FetchOptions,
        "convert": ConvertOptions,
        "paint": PaintOptions,
    }
    options = subcommand_cli_from_dict(
        commands, prog=PROGRAM, description=DESCRIPTION, args=arguments
    )
    try:
        options.run()
    except OSError as problem:
        return _refuse(problem)
    except ValueError as problem:
        # The library checks what it is given; a ValueError from deeper down is a bug.
        if raised_by(PROGRAM, problem):
            return _refuse(problem)
        raise
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    return 0


def _refuse(problem: Exception) -> int:
    print(f"{PROGRAM}: error: {problem}", file=sys.stderr)
    return 2
