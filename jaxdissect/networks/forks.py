"""Refuse to compute in a process that was forked from one where JAX has run: there JAX hangs.

JAX computes with threads, and a fork copies the memory of a process without its threads. Data may
be read by forked processes, as loaders of other libraries do.
"""

import os
import sys


class _Process:
    """What this process knows of JAX in the process that it was forked from."""

    jax_has_run = False
    is_forked = False


def refuse_forked() -> None:
    """Check that JAX can compute in this process.

    Raises:
        RuntimeError: If the process was forked after JAX had run.
    """
    if _Process.is_forked:
        raise RuntimeError(
            "this process was forked from one in which JAX had run, and JAX would hang in it; "
            'start processes by multiprocessing.get_context("spawn"), or before JAX computes'
        )


def _before_fork() -> None:
    # Nothing public tells whether JAX has run. If this goes, forks are no longer noticed.
    bridge = sys.modules.get("jax._src.xla_bridge")
    initialized = getattr(bridge, "backends_are_initialized", lambda: False)
    _Process.jax_has_run = _Process.is_forked or bool(initialized())


def _after_fork() -> None:
    _Process.is_forked = _Process.jax_has_run


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
