"""For all tests: shapes checked, no silent promotion, four CPU devices, quick compilation."""

import collections
import os
import tempfile

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
).strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

install_import_hook("jaxdissect", "beartype.beartype")


def pytest_configure(config: pytest.Config) -> None:
    """What one test has compiled, others of this process need not compile again."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        # Not one folder for all processes: one might read what another is just writing.
        folder = tempfile.TemporaryDirectory(prefix="jaxdissect-")
        config.add_cleanup(folder.cleanup)
        jax.config.update("jax_compilation_cache_dir", folder.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Most tests compile for longer than they compute; `optimised` marks those that do not."""
    quick = item.get_closest_marker("optimised") is None
    if quick != jax.config.read("jax_disable_most_optimizations"):
        jax.config.update("jax_disable_most_optimizations", quick)
        jax.clear_caches()  # or slow programs of other tests would be taken


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was skipped stands at the end, once for every reason: it has not been tested."""
    reasons = collections.Counter(
        str(report.longrepr[-1]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section(f"SKIPPED, NOT TESTED: {reasons.total()}", yellow=True, bold=True)
        for reason, number in reasons.most_common():
            terminalreporter.line(f"{number:5}  {reason}", yellow=True)
