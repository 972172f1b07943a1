"""Run a command again and again, and kill it at random moments, on 1, 2 and 4 devices in turn.

All is imported once; every run is a process of its own, forked before JAX has started.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import sys
import time
from functools import partial

from jaxdissect.commands import main
from jaxdissect.engine import resume

DEVICES = (1, 2, 4)


def start(words, devices, log):
    """Start a command in a process of its own, which saves after every step."""
    child = os.fork()
    if child:
        return child
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    resume.SECONDS = 0.0
    code = 1
    try:
        code = main.main([*words, "--devices", str(devices)])
    finally:
        os._exit(code)


def ended(child, seconds, saved=lambda: True):
    """Wait for a process, so long from when something holds on.

    Returns:
        Its exit code; None if it still runs.
    """
    deadline = None
    while deadline is None or time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if deadline is None and saved():
            deadline = time.monotonic() + seconds
        time.sleep(0.005)
    return None


def states(kept):
    """List what is saved, while folders come and go."""
    return sorted(
        f"{folder}/{file}"
        for folder, _, files in os.walk(kept)
        for file in files
        if os.path.basename(folder) == "checksums" and not file.startswith(".")
    )


def has_other_states(kept, before):
    return states(kept) != before


def torture(words, folder, kills):
    """Kill a command so many times, wherever it is, until it has ended too; then begin again.

    Args:
        words: The command, without its folders.
        folder: For results, checkpoints and what it prints.
        kills: How often to kill it: one in four in the first seconds, the others soon after they
            have saved something.

    Returns:
        What was saved at each kill, and the folders of results, by checkpoints.
    """
    chance = random.Random(0)
    saved, results = [], []
    kept, log = folder / "kept0", folder / "log.txt"
    while len(saved) < kills or not results:
        out = folder / f"out{len(saved)}-{len(results)}"
        devices = DEVICES[(len(saved) + len(results)) % len(DEVICES)]
        child = start([*words, "--out", str(out), "--checkpoints", str(kept)], devices, log)
        if len(saved) >= kills:
            code = ended(child, 600)
        elif chance.random() < 0.25:
            code = ended(child, chance.uniform(0, 4))
        else:
            saves = partial(has_other_states, kept, states(kept))
            code = ended(child, chance.uniform(0, chance.choice((0.05, 1.5))), saves)
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            saved.append([os.path.relpath(state, kept) for state in states(kept)])
            continue
        assert code == 0, pathlib.Path(log).read_text()[-3000:]
        results.append(str(out))
        shutil.rmtree(kept)
        kept = folder / f"kept{len(results)}"
    return {"saved": saved, "results": results}


if __name__ == "__main__":
    words, folder, kills = map(json.loads, sys.argv[1:])
    print(json.dumps(torture(words, pathlib.Path(folder), kills)))
