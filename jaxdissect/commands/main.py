"""The command line: `jaxdissect dissect ...` and others, see `jaxdissect --help`.

Exit codes: 0 when all is written, 1 when a command that checks something has found it wrong, 2 when
what the user gave cannot work (one line on stderr gives the reason), 130 when interrupted, 143 when
terminated. Anything else is a bug and ends with a traceback. With `--checkpoints` a command that is
interrupted or terminated ends its step and saves first; it says so, and the same
command resumes.
"""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NamedTuple

from jaxdissect.commands.interruption import (
    RESUMES,
    Interrupted,
    end,
    end_when_interrupted,
    held_signal,
    raise_when_interrupted,
)
from jaxdissect.commands.options.user_code import raised_by
from jaxdissect.commands.output.disk_space import explain_full_disk
from jaxdissect.commands.output.folder import remove_unfinished

PROGRAM = "jaxdissect"

_SIGNALLED = 128

DESCRIPTION = """Find out what the individual units of a vision network do.

Begin with `jaxdissect demo --out results`.

`jaxdissect COMMAND --help` describes a command and its options;
`jaxdissect --version` prints the version.
"""


class Command(NamedTuple):
    """What is known of a command before it is imported, which takes seconds.

    Attributes:
        options: The class of its options, in `jaxdissect.commands.<command>.command`.
        summary: The first paragraph of what that class says of itself.
    """

    options: str
    summary: str


COMMANDS = {
    "demo": Command(
        "DemoOptions",
        "Dissect the networks of the built-in scenes, remove and insert units, and report.",
    ),
    "dissect": Command(
        "DissectOptions",
        "Find the concept that every unit of some layers responds to.",
    ),
    "ablate": Command(
        "AblateOptions",
        "Remove units of a classifier, and count what it still classifies correctly.",
    ),
    "detect": Command(
        "DetectOptions",
        "Find the single unit whose peak activation detects each class best.",
    ),
    "style": Command(
        "StyleOptions",
        "Find units that are active at the same places when an image changes its style.",
    ),
    "generate": Command(
        "GenerateOptions",
        "Find out what the units of an image generator cause in its images.",
    ),
    "attack": Command(
        "AttackOptions",
        "Change images as little as possible so that a classifier misclassifies them as another "
        "class, and measure which units that changes.",
    ),
    "defend": Command(
        "DefendOptions",
        "Deactivate units of a layer, and attack the network again, with and without knowing it, "
        "with and without a target.",
    ),
    "report": Command(
        "ReportOptions",
        "Write the page of results that other commands have written, to be opened in a browser.",
    ),
    "reproduce": Command(
        "ReproduceOptions",
        "Run the published experiments of a paper, and compare what comes out with what was "
        "published.",
    ),
    "fetch": Command(
        "FetchOptions",
        "Download published weights, verify them as far as hashes are published, and print where "
        "they are.",
    ),
    "convert": Command(
        "ConvertOptions",
        "Read weights of a network, check them, and write them as safetensors.",
    ),
    "paint": Command(
        "PaintOptions",
        "Paint with the units of a generator, in a browser on this machine.",
    ),
    "bench": Command(
        "BenchOptions",
        "Measure how fast this machine is at what jaxdissect does, and that it is right.",
    ),
}
"""All commands, in the order in which `jaxdissect --help` lists them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name.

    Args:
        arguments: The words after the program's name; those of this process when None.

    Returns:
        The exit code.

    Raises:
        SystemExit: If the arguments are no command (code 2), or ask for help (code 0).
    """
    if arguments is not None:
        return _run(list(arguments), started=lambda: None)
    end_when_interrupted()
    warnings.showwarning = _print_warning
    code = _run(sys.argv[1:], started=lambda: raise_when_interrupted(remove_unfinished))
    if code > _SIGNALLED:
        # What libraries do at an exit could fail in the midst of their work.
        end(code - _SIGNALLED, more=RESUMES if held_signal() else "")
    return code


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from jaxdissect.arrays.names import printable_lines

    print(printable_lines(f"{PROGRAM}: warning: {message}"), file=sys.stderr)


def _run(arguments: list[str], *, started: Callable[[], None]) -> int:
    """Run a command; `started` is called when all is imported and the work begins."""
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(PROGRAM, version(PROGRAM))
        return 0

    try:
        options = _parse(arguments)
        if isinstance(sys.stdout, io.TextIOWrapper):  # results are written, whatever the letters
            sys.stdout.reconfigure(errors="backslashreplace")
        started()
        return _follow(options)
    except Interrupted as problem:
        return _SIGNALLED + problem.number
    except KeyboardInterrupt:  # also `engine.stopping.Stopped`
        if held_signal():
            return _SIGNALLED + held_signal()
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return _SIGNALLED + signal.SIGINT


def _follow(options: Any) -> int:
    """Do what the options say; what the user can mend is refused in one line.

    Returns:
        The exit code: what the command returns, 0 where that is None.
    """
    computing = getattr(getattr(options, "subcommand", options), "computing", None)
    try:
        with nullcontext() if computing is None else computing.ready():
            code = options.run()
    except Exception as problem:
        if _is_measured(problem):
            return 0
        from jaxdissect.engine.processes import tell_others

        tell_others(problem)
        known = explain_full_disk(problem, options) or _missing_device()
        # The library checks what it is given; a ValueError from deeper down is a bug.
        if known is None and not isinstance(problem, OSError):
            if not (isinstance(problem, ValueError) and raised_by(PROGRAM, problem)):
                raise
        return _refuse(known or _with_options_of(options, str(problem)))
    return code or 0


def _is_measured(problem: Exception) -> bool:
    """Print what a dry run has found, if that is how a command has ended."""
    from jaxdissect.arrays.names import printable_lines
    from jaxdissect.engine.devices import is_first_process
    from jaxdissect.engine.dry_run import Measured

    if not isinstance(problem, Measured):
        return False
    if is_first_process():
        print(printable_lines(str(problem)))
    return True


def _with_options_of(options: Any, message: str) -> str:
    """Let a message about layers name `--layer`, where that is what the command has."""
    names = vars(getattr(options, "subcommand", options))
    return message.replace("`layers`", "`layer`") if "layers" not in names else message


def _missing_device() -> str | None:
    """Explain that JAX has none of the devices that the user asks for; None if it has."""
    asked = os.environ.get("JAX_PLATFORMS", "")
    if asked in ("", "cpu"):
        return None
    import jax

    try:
        jax.devices()
    except Exception as problem:
        reason = " ".join(str(problem).split()) or "none of its plugins is for them"
        return (
            f"`JAX_PLATFORMS` (={asked!r}): JAX finds no such device ({reason:.300}); "
            "JAX_PLATFORMS=cpu computes on the processor"
        )
    return None


def _parse(arguments: Sequence[str]) -> Any:
    """Make the options of the command that the arguments name, importing that command only.

    Raises:
        SystemExit: If the arguments are no command (code 2), or ask for help (code 0).
    """
    import tyro

    if arguments and arguments[0] in COMMANDS:
        name = arguments[0]
        return tyro.cli(_options_of(name), prog=f"{PROGRAM} {name}", args=arguments[1:])
    # Only shell completion (--tyro-print-completion) and misplaced options need all of them.
    whole = any(word in COMMANDS or word.startswith("--tyro-") for word in arguments)
    return tyro.extras.subcommand_cli_from_dict(
        {name: _options_of(name) if whole else _summary_of(name) for name in COMMANDS},
        prog=PROGRAM,
        description=DESCRIPTION,
        args=arguments,
    )


def _options_of(name: str) -> Any:
    """Import the class of a command's options."""
    return getattr(import_module(f"jaxdissect.commands.{name}.command"), COMMANDS[name].options)


def _summary_of(name: str) -> Callable[[], None]:
    """Make what stands for a command in the list of all, without importing it."""

    def command() -> None: ...

    command.__doc__ = COMMANDS[name].summary
    return command


def _refuse(problem: str) -> int:
    from jaxdissect.arrays.names import printable_lines

    print(printable_lines(f"{PROGRAM}: error: {problem}"), file=sys.stderr)
    return 2
