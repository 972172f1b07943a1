"""Which devices are computed on, in this process or in several; before JAX starts, and after."""

import os
from typing import Any

import jax
import numpy as np

_END_TOGETHER = 60  # seconds that a process waits for others, at its end
_MOST_ON_PROCESSOR = 16  # devices that a processor of few cores is divided into


def make_devices(number: int) -> None:
    """Divide the processor into so many devices, if JAX has not started; accelerators stay.

    What `JAX_NUM_CPU_DEVICES` or `XLA_FLAGS` say is left alone.

    Raises:
        ValueError: If there are more than `data_mesh` would take.
    """
    given = os.environ.get("JAX_NUM_CPU_DEVICES") or (
        "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    )
    if given or number < 1 or number > most_devices_of_processor():
        return  # `data_mesh` refuses more than there are
    try:
        jax.config.update("jax_num_cpu_devices", number)
    except RuntimeError:
        pass  # JAX has started, with the devices that it has


def most_devices_of_processor() -> int:
    """Return how many devices `make_devices` divides the processor into, at most."""
    return max(_MOST_ON_PROCESSOR, os.cpu_count() or 1)


def data_mesh(number: int | None = None) -> jax.sharding.Mesh | None:
    """Make a mesh of devices to spread examples over.

    Args:
        number: How many of each process, the first ones; None takes all of the default platform.

    Returns:
        Devices along the axis "data"; None if it is the default device alone.

    Raises:
        ValueError: If `number` is not 1 to the number of devices that there are.
    """
    own = jax.local_devices()
    if number is not None and not 1 <= number <= len(own):
        raise ValueError(f"`devices` (={number}) must be all, or 1 to {_available(own)}")
    processes = range(jax.process_count())
    chosen = [
        device
        for process in processes
        for device in _of_process(process)[: len(own) if number is None else number]
    ]
    if len(chosen) == 1:
        return None
    return jax.sharding.Mesh(np.array(chosen), ("data",))


def _of_process(process: int) -> list[Any]:
    return [device for device in jax.devices() if device.process_index == process]


def _available(own: list[Any]) -> str:
    kind = own[0].platform
    if kind != "cpu":
        return f"{len(own)}, the {kind.upper()} devices that there are"
    if len(own) > 1:
        return f"{len(own)}, the devices that the processor was divided into"
    most = most_devices_of_processor()
    return f"{most}, into which the processor can be divided before JAX has started"


def join_processes(address: str | None = None, number: int | None = None, index: int = 0) -> None:
    """Join the processes of a run, before JAX starts; nothing happens if they are joined already.

    Args:
        address: HOST:PORT where the first process listens. None finds all out from SLURM, Open MPI,
            Kubernetes or Cloud TPU.
        number: Number of processes.
        index: Which of them this one is, from 0.

    Raises:
        ValueError: If there is no such environment, the others do not come, or JAX has started.
    """
    if jax.distributed.is_initialized():
        return
    try:
        if address is None:
            jax.distributed.initialize(shutdown_timeout_seconds=_END_TOGETHER)
        else:
            jax.distributed.initialize(
                address, number, index, shutdown_timeout_seconds=_END_TOGETHER
            )
    except Exception as problem:
        reason = " ".join(str(problem).split())
        if "before any JAX" in reason:
            reason = "JAX has computed in this process already; start a new one"
        elif address is None:
            reason = (
                f"JAX finds no cluster that it knows (SLURM, Open MPI, Kubernetes, Cloud TPU: "
                f"{reason:.200}); elsewhere give HOST:PORT,NUMBER,INDEX, where HOST:PORT is that "
                "of the process with index 0"
            )
        else:
            reason = f"process {index} of {number} cannot join at {address}: {reason:.200}"
        raise ValueError(f"`distributed`: {reason}") from None


def is_first_process() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0
