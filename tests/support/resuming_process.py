"""One of several processes that count together, and stop where they are asked to.

    python -m support.resuming_process INDEX NUMBER PORT FOLDER STOP [KIND]

Kinds of meshes: of `all` devices in order, a process' `own` device alone, devices of processes
`interleaved`, `unequal` numbers of them, or rows that processes have `shared`.
"""

import json
import pathlib
import sys
from contextlib import contextmanager

import jax
import numpy as np

from jaxdissect.engine.batching import Stored
from jaxdissect.engine.resume import fold_resumably
from jaxdissect.engine.stopping import Stopped

VALUES = Stored({"value": np.arange(100, dtype=np.int32) ** 2 % 11})


class Asking:
    """A progress that asks to stop when so many examples are done."""

    def __init__(self, number):
        self.number, self.done, self.held = number, [], False

    def __call__(self, description, done, total):
        self.done.append(done)

    @contextmanager
    def until_saved(self):
        self.held = True
        yield lambda: self.done[-1] >= self.number
        self.held = False


@jax.jit
def step(state, batch):
    value = jax.numpy.where(batch["weight"], batch["value"], 0)
    return state + value.sum(), value


def count(folder, source, **options):
    """Sum the values of a source, and keep them by example."""
    kept = {"values": np.zeros((len(source), 1), np.int64), "none": np.zeros((0, 3))}
    sums = {"total": np.zeros(1, np.int64)}

    def receive(batch, output):
        rows = batch["weight"]
        values = 2**40 + np.asarray(output, np.int64)[rows]
        kept["values"][batch["example"][rows], 0] = values
        sums["total"] += values.sum()

    given = {"batch_size": 4, "settings": {}, "kept": kept, "sums": sums, "receive": receive}
    start = jax.numpy.zeros((), jax.numpy.int32)
    state = fold_resumably(step, start, source, folder, **{**given, **options})
    return state, kept, sums


def mesh_of(kind):
    """Make a mesh of each kind, of the devices of all processes."""
    own = [device for device in jax.devices() if device.process_index == jax.process_index()]
    first, *others = [
        [device for device in jax.devices() if device.process_index == process]
        for process in range(jax.process_count())
    ]
    if kind == "all":
        return None
    if kind == "own":
        return jax.sharding.Mesh(np.array(own[:1]), ("data",))
    if kind == "unequal":
        return jax.sharding.Mesh(np.array([*first, *(other[0] for other in others)]), ("data",))
    rows = np.array([first, *others]).T
    if kind == "interleaved":
        return jax.sharding.Mesh(rows.reshape(-1), ("data",))
    assert kind == "shared"
    return jax.sharding.Mesh(rows, ("data", "model"))


def main(index, number, port, folder, stop, kind="all"):
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", int(number), int(index))
    # One process alone sees the folder.
    own = pathlib.Path(folder) / ("kept" if index == "0" else f"nothing{index}")
    asking = Asking(int(stop))
    try:
        state, kept, sums = count(own, VALUES, progress=asking, mesh=mesh_of(kind))
    except Stopped:
        print(json.dumps({"stopped": asking.done}))
        return
    found = {"state": int(state), "total": int(sums["total"][0]), "begun": asking.done[0]}
    print(json.dumps(found | {"values": kept["values"][:, 0].tolist()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
