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

    from jaxdissect.faces import (
        ablate_command,
        attack_command,
        convert_command,
        defend_command,
        demo_command,
        detect_command,
        dissect_command,
        fetch_command,
        generate_command,
        paint_command,
        style_command,
    )
    from jaxdissect.faces.models import raised_by

    commands: dict[str, Any] = {
        "demo": demo_command.DemoOptions,
        "dissect": dissect_command.DissectOptions,
        "ablate": ablate_command.AblateOptions,
        "detect": detect_command.DetectOptions,
        "style": style_command.StyleOptions,
        "generate": generate_command.GenerateOptions,
        "attack": attack_command.AttackOptions,
        "defend": defend_command.DefendOptions,
        "fetch": fetch_command.FetchOptions,
        "convert": convert_command.ConvertOptions,
        "paint": paint_command.PaintOptions,
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
