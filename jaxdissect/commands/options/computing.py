"""Options of where and how networks run, which every command that runs one has."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, arg

from jaxdissect.engine.batch_size import ON_PROCESSOR, choose_batch_size, forward_cost
from jaxdissect.engine.compilation_cache import programs_kept, programs_not_kept
from jaxdissect.engine.devices import (
    data_mesh,
    is_first_process,
    join_processes,
    make_devices,
)
from jaxdissect.networks.network import Network
from jaxdissect.networks.precision import in_precision
from jaxdissect.networks.weights.download import cache_folder

PRECISIONS = ("default", "high", "highest")
DTYPES = ("float32", "bfloat16")

_OF_NO_RESULT = frozenset(
    ("devices", "batch_size", "distributed", "profile", "compilation_cache", "dry_run")
)


@dataclass(frozen=True, kw_only=True)
class Computing:
    """Where and how networks run. Only --matmul-precision and --dtype change results."""

    devices: Annotated[str, arg(metavar="all|N")] = "all"
    """Devices to spread images over, of each process: all of the platform, or the first N. A
    processor is divided into N devices."""
    batch_size: Annotated[str, arg(metavar="auto|N")] = "auto"
    """Images in a step, of all devices together; auto fits the memory of the devices."""
    distributed: Annotated[
        tuple[str, ...] | None,
        arg(metavar="[HOST:PORT,NUMBER,INDEX]", help_behavior_hint="(default: one process)"),
    ] = None
    """Join the processes of this run, as SLURM or Cloud TPU started them, or the NUMBER of which
    this is INDEX, the first, 0, listening at HOST:PORT; the first one writes and prints."""
    matmul_precision: Annotated[str, arg(metavar="default|high|highest")] = "default"
    """Precision of products of float32: as fast as the device does them (TF32 on GPUs, bfloat16 on
    TPUs), or higher."""
    dtype: Annotated[str, arg(metavar="float32|bfloat16")] = "float32"
    """What the network computes in; its results are float32."""
    profile: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder for a trace of jax.profiler, with the names of the stages."""
    compilation_cache: Annotated[
        str | None,
        arg(metavar="DIR|off", help_behavior_hint="(default: in the user's cache folder)"),
    ] = None
    """Folder that keeps compiled programs for the next start; JAX_COMPILATION_CACHE_DIR sets it
    too."""
    dry_run: FlagCreatePairsOff[bool] = False
    """Print images, passes, FLOPs, bytes, memory and about how long it takes; write nothing."""

    def check(self) -> None:
        """Check these options, as far as that is possible before JAX starts.

        Raises:
            ValueError: If one of them makes no sense; the message says what does.
            OSError: If --profile cannot be written to.
        """
        _number("devices", self.devices, "all")
        _number("batch_size", self.batch_size, "auto")
        for name, known in (("matmul_precision", PRECISIONS), ("dtype", DTYPES)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"`{name}` (={getattr(self, name)!r}) must be one of: {', '.join(known)}"
                )
        _processes(self.distributed)
        if self.profile is not None and not self.dry_run:
            _check_writable("profile", self.profile)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Set JAX up as the options say, before it starts, while the context is open.

        Raises:
            ValueError, OSError: If the options cannot be followed.
        """
        self.check()
        if self.distributed is not None:
            join_processes(*_processes(self.distributed))
        with ExitStack() as stack:
            number = _number("devices", self.devices, "all")
            if number is not None:
                make_devices(number)
                data_mesh(number)  # refuses more than there are, before any work
            if self.matmul_precision != "default":
                stack.enter_context(_precision(self.matmul_precision))
            if self.compilation_cache == "off":
                stack.enter_context(programs_not_kept())
            elif self.compilation_cache is not None:
                stack.enter_context(programs_kept(Path(self.compilation_cache)))
            elif jax.config.values["jax_compilation_cache_dir"] is None:
                stack.enter_context(programs_kept(cache_folder() / "programs"))
            yield

    @property
    def mesh(self) -> jax.sharding.Mesh | None:
        """The devices to spread examples over; None for the default device alone."""
        return data_mesh(_number("devices", self.devices, "all"))

    def computed(self, network: Network) -> Network:
        """Let a network compute in --dtype."""
        return network if self.dtype == "float32" else in_precision(network, jnp.bfloat16)

    def size_of_batches(
        self,
        network: Network,
        inputs: jax.ShapeDtypeStruct,
        *,
        layers: tuple[str, ...] = (),
        on_processor: int = ON_PROCESSOR,
        copies: int = 1,
    ) -> int:
        """Return --batch-size, or choose it; see `choose_batch_size`."""
        number = _number("batch_size", self.batch_size, "auto")
        if number is None:
            number = choose_batch_size(
                network,
                inputs,
                layers=layers,
                on_processor=on_processor,
                copies=copies,
                mesh=self.mesh,
            )
        if self.dry_run and is_first_process():
            cost = forward_cost(network, inputs, layers)
            print(
                f"forward pass, for each image: {cost.flops:,} FLOPs, "
                f"{cost.moved:,} bytes read and written\n"
                f"memory: {cost.memory * number:,} bytes for {number} images in a step"
            )
        return number

    @contextmanager
    def profiled(self) -> Iterator[None]:
        """Trace what runs in the context, if --profile asks for it."""
        if self.profile is None:
            yield
            return
        folder = self.profile
        if jax.process_count() > 1:  # those of one machine would write to the same file
            folder = folder / f"process_{jax.process_index()}"
        with jax.profiler.trace(str(folder)):
            yield

    def refuse_to_write(self, name: str) -> None:
        """Refuse an option that names a place to write to, where nothing is to be written.

        Raises:
            ValueError: If this is a dry run.
        """
        if self.dry_run:
            raise ValueError(f"`dry_run` writes nothing: give it without `{name}`")

    def of_results(self) -> dict[str, Any]:
        """Return those options that change results, by name."""
        return {name: value for name, value in vars(self).items() if name not in _OF_NO_RESULT}


@dataclass(frozen=True, kw_only=True)
class ComputingOptions:
    """The options of where and how networks run, in a group of their own."""

    computing: Annotated[Computing, OmitArgPrefixes] = Computing()


def images_like(size: tuple[int, int]) -> jax.ShapeDtypeStruct:
    """Describe images of a size, as `size_of_batches` takes them."""
    return jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)


def _number(name: str, value: str, word: str) -> int | None:
    """Read a positive number; None for the word that stands for no number."""
    if value == word:
        return None
    if not (value.isdecimal() and value.isascii() and int(value) > 0):
        raise ValueError(f"`{name}` (={value}) must be at least 1, or {word}")
    return int(value)


def _processes(given: tuple[str, ...] | None) -> tuple[str | None, int | None, int]:
    """Read HOST:PORT,NUMBER,INDEX; nothing is found in the environment."""
    if not given:
        return None, None, 0
    address, *numbers = given[0].split(",")
    host, _, port = address.rpartition(":")
    well_formed = (
        len(given) == 1
        and host
        and len(numbers) == 2
        and all(part.isdecimal() for part in (port, *numbers))
    )
    if not well_formed:
        raise ValueError(
            f"`distributed` (={' '.join(given)}) must be HOST:PORT,NUMBER,INDEX, such as "
            "10.0.0.1:8476,2,0 in the first of two processes and 10.0.0.1:8476,2,1 in the other; "
            "nothing where SLURM or Cloud TPU started them"
        )
    number, index = map(int, numbers)
    if not 0 <= index < number:
        raise ValueError(
            f"`distributed` (={given[0]}): INDEX, of this process, must be from 0 and below NUMBER"
        )
    return address, number, index


def _check_writable(name: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        reason = problem.strerror or os.strerror(problem.errno or 0)
        raise ValueError(
            f"`{name}` (={folder}) cannot be written to ({reason}); give another folder"
        ) from None


@contextmanager
def _precision(name: str) -> Iterator[None]:
    # Not the context manager of JAX, which other threads do not see.
    before = jax.config.values["jax_default_matmul_precision"]
    jax.config.update("jax_default_matmul_precision", name)
    try:
        yield
    finally:
        jax.config.update("jax_default_matmul_precision", before)
