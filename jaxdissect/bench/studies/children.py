"""Fresh processes whose processor is divided into devices, and which do what they are asked to.

JAX decides once in a process how many devices a processor is. So every number of devices has a
process of its own; all of them are started first and then asked in turn, one at a time, so that
their times are comparable.

JAX is imported late: a child chooses its cores before JAX starts its threads.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_START = "from jaxdissect.bench.studies.children import serve; serve()"
_ANSWER = "jaxdissect answer: "  # other lines are what libraries print
_PATIENCE = 30  # seconds that a child has to end


class ChildProblem(RuntimeError):
    """A child ended without an answer."""


class Child:
    """A process that answers questions; made by `child`.

    Attributes:
        devices: Into how many devices its processor is divided.
        cores: On how many cores it may run.
    """

    def __init__(self, process: subprocess.Popen[str], errors: Any, devices: int, cores: int):
        self.devices, self.cores = devices, cores
        self._process, self._errors = process, errors

    def ask(self, function: str, **arguments: Any) -> Any:
        """Call a function of the child, and wait for what it returns.

        Args:
            function: "module:name", found in `jaxdissect.bench.studies`.
            arguments: JSON values.

        Returns:
            JSON values.

        Raises:
            ChildProblem: If the child fails; the message has its last words.
        """
        self.begin(function, **arguments)
        return self.answer()

    def begin(self, function: str, **arguments: Any) -> None:
        """Let the child call a function, and do not wait: for children that work together."""
        process = self._process
        assert process.stdin is not None
        question = {"function": function, "arguments": arguments}
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which the missing answer tells

    def answer(self) -> Any:
        """Wait for what the function returns that was begun; see `ask`."""
        process = self._process
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(_ANSWER):
                return json.loads(line.removeprefix(_ANSWER))
        self._errors.seek(0)
        words = self._errors.read().strip().splitlines()
        raise ChildProblem(
            f"a process of {self.devices} devices failed: {words[-1] if words else 'no message'}"
        )


@contextmanager
def child(
    devices: int, *, cores: int | None = None, environment: dict[str, str] | None = None
) -> Iterator[Child]:
    """Start a process, and end it with the context.

    Args:
        devices: Into how many devices its processor is divided.
        cores: How many cores it may use, where the system can tell; None for all of this process.
        environment: Further variables.
    """
    variables = _environment(devices) | (environment or {})
    number = len(available_cores()) if cores is None else cores
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(devices), str(number)],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield Child(process, errors, devices, number)
        finally:
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def available_cores() -> list[int]:
    """List the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def available_devices() -> int:
    """Count the devices of this process; JAX starts with it."""
    import jax  # not before a child has chosen its cores

    return len(jax.local_devices())


def can_choose_cores() -> bool:
    """Whether a process can be kept to some cores."""
    return hasattr(os, "sched_setaffinity")


def _environment(devices: int) -> dict[str, str]:
    """Take the variables of this process, but for those that say what the devices are."""
    flags = re.sub(
        r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", "")
    )
    package = str(Path(__file__).resolve().parents[3])
    variables = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "XLA_FLAGS": flags.strip(),
        "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", "")))),
    }
    if "jax" in sys.modules:
        settings: Any = sys.modules["jax"].config
        for name in (
            "jax_compilation_cache_dir",
            "jax_persistent_cache_min_compile_time_secs",
            "jax_persistent_cache_min_entry_size_bytes",
        ):
            value = settings.values.get(name)
            if value is not None:
                variables[name.upper()] = str(value)
    if not variables["XLA_FLAGS"]:
        del variables["XLA_FLAGS"]
    return variables


def serve() -> None:
    """Answer questions until there are no more; what a child runs."""
    cores = int(sys.argv[2])
    if can_choose_cores():
        os.sched_setaffinity(0, set(available_cores()[:cores]))
    for line in sys.stdin:
        question = json.loads(line)
        module, name = question["function"].split(":")
        found = importlib.import_module(f"jaxdissect.bench.studies.{module}")
        answer = getattr(found, name)(**question["arguments"])
        print(_ANSWER + json.dumps(answer), flush=True)
