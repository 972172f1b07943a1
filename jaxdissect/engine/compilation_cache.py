"""Keep compiled programs on disk, so that the next process need not compile them."""

import hashlib
import platform
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

_LEAST_SECONDS = 0.2  # that a program took to compile, to be kept
_SECONDS_OF_JAX = 1.0  # unless somebody has chosen
_LEAST_BYTES = 2**20  # that must be free
_WRITING_SECONDS = 60  # that another process may take
_MOST_BYTES = 4 * 2**30  # then those are removed that were not used for longest


@contextmanager
def programs_kept(folder: Path) -> Iterator[None]:
    """Keep compiled programs in a folder while the context is open.

    A folder that cannot be written to costs a warning, and so does whatever goes wrong with it
    later. Programs for other processors are kept apart.
    """
    place = folder / f"{jax.__version__}-{_processor()}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as trial:
            trial.write(bytes(_LEAST_BYTES))
        _remove_unfinished(place)
    except OSError as problem:
        warnings.warn(
            f"compiled programs are not kept in {folder} ({problem.strerror}); another folder, or "
            "off, may be chosen",
            stacklevel=2,
        )
        yield
        return
    settings: dict[str, object] = {
        "jax_compilation_cache_dir": str(place),
        "jax_compilation_cache_max_size": _MOST_BYTES,
    }
    name = "jax_persistent_cache_min_compile_time_secs"
    if getattr(jax.config, name) == _SECONDS_OF_JAX:
        settings[name] = _LEAST_SECONDS
    with _changed(settings):
        yield


def _remove_unfinished(place: Path) -> None:
    """Remove programs whose writing was interrupted: the time of their use is written last."""
    for path in place.glob("*-cache"):
        used = path.with_name(path.name.removesuffix("-cache") + "-atime")
        if not used.exists() and time.time() - path.stat().st_mtime > _WRITING_SECONDS:
            path.unlink(missing_ok=True)


@contextmanager
def programs_not_kept() -> Iterator[None]:
    """Neither read nor keep compiled programs while the context is open."""
    with _changed({"jax_enable_compilation_cache": False}):
        yield


@contextmanager
def _changed(settings: dict[str, object]) -> Iterator[None]:
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()  # it reads its settings once
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def _processor() -> str:
    """Tell processors apart whose programs differ: one that lacks instructions would fail."""
    features = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features += next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        pass
    return hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:8]
