"""The machine's card: on what a benchmark was run."""

import math
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "libtpu", "libtpu-nightly")
_OF_DEVICES = re.compile(r"(jax-cuda|jax-rocm|nvidia-(cuda-runtime|cudnn|cublas|nccl)\b)")
_CHANGES_SPEED = re.compile(
    r"(JAX_|XLA_|TF_(XLA|CPP|GPU|CUDNN|CUBLAS|FORCE|ENABLE|DISABLE|USE)_|LIBTPU_|TPU_|CUDA_"
    r"|NVIDIA_|NCCL_|ROCR_|HIP_|OMP_|MKL_|OPENBLAS_|MALLOC_|LD_PRELOAD$"
    r"|JAXDISSECT_KERNELS$)"
)
_SAYS_NOTHING = re.compile(
    r"(XLA_FLAGS|JAX_COMPILATION_CACHE_DIR|.*(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL).*)$"
)
_INSTRUCTIONS = (
    "amx_bf16",
    "avx512_bf16",
    "avx512f",
    "avx2",
    "avx",
    "sve2",
    "sve",
    "asimd",
    "neon",
)
_CONFIG: Any = jax.config  # whose type does not tell its attributes
_DRIVER_FILE = "/proc/driver/nvidia/version"
_CGROUP = "/sys/fs/cgroup"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What could explain a figure.

    Attributes:
        platform: "cpu", "gpu" or "tpu".
        device: Kind of the devices, as JAX names it.
        devices: How many this process has.
        device_memory: Bytes of one device that JAX may use; None where it does not say, as
            processors.
        driver: Version of its driver; empty where there is none.
        processor: Model of the host's processor.
        cores: That this process may use.
        host_memory: Bytes that this process may use.
        system: Kernel and C library.
        versions: Of python, jax, jaxlib, flax, numpy, and of libtpu, CUDA and cuDNN where they are.
        xla_flags: XLA_FLAGS.
        environment: Other variables that change speed, JAX_* and LIBTPU_INIT_ARGS among them, and
            settings of JAX that do, where they are on. Names of folders are left out of both.
        matmul_precision: `jax_default_matmul_precision`; "default" where none is set.
        cache: Whether compiled programs were kept from earlier processes: "off", "empty", or how
            many there were.
        load: Processes that were running or waiting at the start, averaged over a minute.
        instructions: The widest instructions on vectors that the host's processor has.
        cache_bytes: Of the largest cache of the host's processor; 0 where it does not say.
    """

    platform: str
    device: str
    devices: int
    device_memory: int | None
    driver: str
    processor: str
    cores: int
    host_memory: int
    system: str
    versions: dict[str, str]
    xla_flags: str
    environment: dict[str, str] = field(default_factory=dict)
    matmul_precision: str = "default"
    cache: str = "off"
    load: float = 0.0
    instructions: str = ""
    cache_bytes: int = 0


def read_machine() -> Machine:
    """Find on what this process runs.

    What cannot be found is left empty, since a benchmark is worth something even so.
    """
    device = jax.local_devices()[0]
    processor, features = _processor()
    return Machine(
        platform=device.platform,
        device=device.device_kind,
        devices=jax.local_device_count(),
        device_memory=(device.memory_stats() or {}).get("bytes_limit"),
        driver="" if device.platform != "gpu" else _driver(),
        processor=processor,
        cores=_cores(),
        host_memory=_host_memory(),
        system=" ".join([platform.system(), platform.release(), *platform.libc_ver()]).strip(),
        versions=_versions(device),
        xla_flags=_without_folders(os.environ.get("XLA_FLAGS", "")),
        environment=_environment(os.environ),
        matmul_precision=_CONFIG.jax_default_matmul_precision or "default",
        cache=_cache(),
        load=_load(),
        instructions=next((name for name in _INSTRUCTIONS if name in features), ""),
        cache_bytes=largest_cache(),
    )


def largest_cache(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Find the bytes of the largest cache of the host's processor; 0 where it does not say."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    sizes = [0]
    for path in folder.glob("index*/size"):
        if found := re.fullmatch(r"(\d+)([KMG]?)", _text(path).strip()):
            sizes.append(int(found[1]) * units.get(found[2], 1))
    return max(sizes)


def _processor() -> tuple[str, set[str]]:
    """Find the model of the processor, and its instructions."""
    facts: dict[str, str] = {}
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    model = facts.get("model name") or facts.get("Model") or platform.processor()
    features = facts.get("flags") or facts.get("Features") or ""
    return model or platform.machine(), set(features.split())


def _cores() -> int:
    """Count the cores that this process may use: of its affinity, and as a container allows."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    allowed, _, period = _text(Path(_CGROUP, "cpu.max")).strip().partition(" ")
    if allowed.isdigit() and period.isdigit():
        cores = min(cores, max(math.ceil(int(allowed) / int(period)), 1))
    return cores


def _host_memory() -> int:
    """Find the memory that this process may use: of the machine, and as a container allows."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
    allowed = _text(Path(_CGROUP, "memory.max")).strip()
    return min(memory, int(allowed)) if allowed.isdigit() else memory


def _driver() -> str:
    """Find the version of the driver of the GPU."""
    program = shutil.which("nvidia-smi")
    if program:
        question = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            answer = subprocess.run(question, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            pass
        else:
            if answer.returncode == 0 and answer.stdout.strip():
                return answer.stdout.split()[0]
    found = re.search(r"Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)", _text(Path(_DRIVER_FILE)))
    return found[1] if found else ""


def _versions(device: Any) -> dict[str, str]:
    """Find the versions of what computes."""
    versions = {"python": platform.python_version()}
    installed = {
        name.lower(): each.version
        for each in metadata.distributions()
        if (name := each.metadata["Name"])
    }
    versions |= {name: installed[name] for name in _PACKAGES if name in installed}
    if device.platform != "cpu":
        for name in sorted(installed):
            if _OF_DEVICES.match(name):
                versions[name] = installed[name]
        runtime = getattr(device.client, "platform_version", "")
        if runtime:
            versions["runtime"] = " ".join(runtime.split())
    return versions


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Pick the variables and settings that change speed."""
    picked = {
        name: _without_folders(value)
        for name, value in sorted(variables.items())
        if _CHANGES_SPEED.match(name) and not _SAYS_NOTHING.match(name)
    }
    settings = {
        "jax_enable_x64": _CONFIG.jax_enable_x64,
        "jax_debug_nans": _CONFIG.jax_debug_nans,
        "jax_disable_most_optimizations": _CONFIG.read("jax_disable_most_optimizations"),
    }
    return picked | {name: "on" for name, value in settings.items() if value}


def _without_folders(value: str) -> str:
    """Leave the folders out of a variable that names files: they say nothing about speed."""
    return re.sub(r"/[^\s:,=]*/", "", value)


def _cache() -> str:
    """Tell how many programs earlier processes have kept."""
    folder = _CONFIG.jax_compilation_cache_dir
    if not folder or not _CONFIG.jax_enable_compilation_cache:
        return "off"
    try:
        number = _programs(os.listdir(folder))
    except OSError:  # it is made when the first program is kept, or lies in a bucket
        number = 0
    return f"{number} programs" if number else "empty"


def _programs(names: Iterable[str]) -> int:
    return sum(name.endswith("-cache") for name in names)


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0


def _text(path: Path) -> str:
    """Read a file of the system, if it is there."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
