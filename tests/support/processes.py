"""Start several real processes that compute together."""

import json
import os
import pathlib
import socket
import subprocess
import sys

_TESTS = pathlib.Path(__file__).resolve().parents[1]


def run_together(module, number, *, devices, arguments=(), timeout=600):
    """Run a module in so many processes, each with so many devices of the processor.

    Returns:
        What each has printed last, a JSON value.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(map(str, (_TESTS.parent, _TESTS))),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(index), str(number), str(port), *arguments],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for index in range(number)
    ]
    try:
        ended = [process.communicate(timeout=timeout) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, errors) in zip(started, ended, strict=True):
        assert process.returncode == 0, errors[-4000:]
    return [json.loads(printed.splitlines()[-1]) for printed, _ in ended]
