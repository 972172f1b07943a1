"""Train step by step: metrics, checkpoints, and resuming where a run was stopped.

Whatever a step draws at random depends on the seed and the number of the step alone, so a run that
was stopped and resumes goes through the same states as one that was not.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import PyTree

from jaxdissect.engine.checkpoint_folder import COMPUTATION
from jaxdissect.engine.checkpoints import Checkpoints
from jaxdissect.engine.identity import content, software, traced
from jaxdissect.engine.saved_files import damaged

METRICS = "metrics.jsonl"

Row = dict[str, float | int]
"""Metrics by name, with the number of steps taken and the seconds that they took."""


class Training(NamedTuple):
    """A training that has not begun.

    Attributes:
        state: All arrays that change, before the first step.
        step: ``step(state, number) -> (state, metrics)``, scalars by name; it may donate the state.
        settings: What the training depends on, its data included, as JSON. The state and what the
            step computes are compared in any case.
    """

    state: PyTree
    step: Callable[[PyTree, int], tuple[PyTree, Mapping[str, Any]]]
    settings: Mapping[str, Any]


def train(
    training: Training,
    steps: int,
    folder: Path,
    *,
    save_every: int = 100,
    report: Callable[[Row], None] | None = None,
) -> PyTree:
    """Train, from the last checkpoint in a folder if there is one.

    Every `save_every` steps, and at the end, a checkpoint is written, and the means of all metrics
    since the last one are appended to `metrics.jsonl`, with the seconds that these steps took.

    Args:
        training: What to train.
        steps: How many steps in all.
        folder: For checkpoints and metrics; made if it does not exist.
        save_every: Steps between checkpoints.
        report: Called with every row of metrics.

    Returns:
        The state after the last step.

    Raises:
        ValueError: If the folder holds another training or is damaged, `steps` or `save_every` is
            not positive, or a metric is not finite.
    """
    if min(steps, save_every) < 1:
        raise ValueError(f"`steps` (={steps}) and `save_every` (={save_every}) must be at least 1")
    settings = {**training.settings, "steps": steps, "save_every": save_every}
    # A step that is never taken tells what all of them compute.
    computation = {
        "start": content(training.state),
        **software(),
        COMPUTATION: traced(lambda state: training.step(state, steps), training.state),
    }
    with Checkpoints(folder, {**settings, **computation}) as saved:
        done, state = saved.latest or 0, training.state
        if done:
            state = saved.load(done, state)
        _cut(folder / METRICS, done)
        for first in range(done, steps, save_every):
            last, rows, start = min(first + save_every, steps), [], time.perf_counter()
            for number in range(first, last):
                state, metrics = training.step(state, number)
                rows.append(metrics)
            row = _mean_row(last, rows, time.perf_counter() - start)
            with (folder / METRICS).open("a") as file:
                file.write(json.dumps(row) + "\n")
            saved.save(last, state)
            if report is not None:
                report(row)
    return state


def read_metrics(folder: Path) -> list[Row]:
    """Read the rows of metrics of a training, one per checkpoint.

    Raises:
        ValueError: If the file is damaged; the message names the line.
    """
    path = folder / METRICS
    return [row for _, row in _rows(path)] if path.exists() else []


def _mean_row(step: int, rows: list[Mapping[str, Any]], seconds: float) -> Row:
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(float(value))
    means = {name: float(np.mean(numbers)) for name, numbers in values.items()}
    if broken := [name for name, mean in means.items() if not np.isfinite(mean)]:
        raise ValueError(f"training has failed: {', '.join(broken)} not finite by step {step}")
    return {"step": step, **means, "seconds": round(seconds, 2)}


def _cut(path: Path, done: int) -> None:
    """Drop metrics of steps that are about to be taken again."""
    lines = [line for line, row in _rows(path) if row["step"] <= done] if path.exists() else []
    path.write_text("".join(f"{line}\n" for line in lines))


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    lines = path.read_text(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            float(row["step"])
        except (ValueError, TypeError, KeyError):
            if number == len(lines):  # the process ended while it wrote this line
                return
            raise damaged(
                path,
                f"line {number} is no row of metrics",
                "delete the line, or the folder to begin again",
            ) from None
        yield line, row
