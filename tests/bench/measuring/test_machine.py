import os
import platform

import jax
import pytest

from jaxdissect.bench.measuring import machine
from jaxdissect.bench.measuring.machine import largest_cache, read_machine


def test_the_card_of_this_machine():
    card = read_machine()
    assert (card.platform, card.devices, card.device) == ("cpu", 4, "cpu")
    assert card.device_memory is None and card.driver == ""
    assert 1 <= card.cores <= (os.cpu_count() or 1)
    assert card.processor
    assert card.system.startswith(platform.system())
    assert card.versions["jax"] == jax.__version__
    assert {"python", "jaxlib", "flax", "numpy"} <= set(card.versions)
    assert "xla_force_host_platform_device_count" in card.xla_flags
    assert card.load >= 0


def test_precision_and_settings_of_jax_stand_in_it():
    with jax.default_matmul_precision("highest"), jax.debug_nans(True):
        card = read_machine()
    assert card.matmul_precision == "highest"
    assert card.environment["jax_debug_nans"] == "on"
    assert read_machine().matmul_precision == "default"


def test_variables_that_change_speed_stand_in_it_and_no_others(monkeypatch):
    changing = {
        "JAX_ENABLE_X64": "0",
        "LIBTPU_INIT_ARGS": "--xla_tpu=1",
        "OMP_NUM_THREADS": "3",
        "NVIDIA_TF32_OVERRIDE": "0",
        "JAXDISSECT_KERNELS": "xla",
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    }
    others = {
        "HOME": "/root",
        "JAX_API_KEY": "1234",
        "JAX_COMPILATION_CACHE_DIR": "/somewhere",
        "TF_CLI_CONFIG_FILE": "of Terraform",
    }
    for name, value in (changing | others).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/x86_64/libtcmalloc.so.4")
    found = read_machine().environment
    assert changing.items() <= found.items()
    assert not set(others) & set(found)
    assert found["LD_PRELOAD"] == "libtcmalloc.so.4"


def test_flags_name_no_folders(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/somebody/dump --xla_cpu_use_onednn=true")
    assert read_machine().xla_flags == "--xla_dump_to=dump --xla_cpu_use_onednn=true"


@pytest.mark.parametrize(("kept", "told"), [(0, "empty"), (3, "3 programs")])
def test_programs_kept_by_earlier_processes_are_counted(kept, told, tmp_path):
    for index in range(kept):
        (tmp_path / f"jit_f-{index}-cache").touch()
        (tmp_path / f"jit_f-{index}-atime").touch()
    before = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        assert read_machine().cache == told
        jax.config.update("jax_compilation_cache_dir", str(tmp_path / "not yet there"))
        assert read_machine().cache == "empty"
        jax.config.update("jax_compilation_cache_dir", None)
        assert read_machine().cache == "off"
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_the_largest_cache(tmp_path):
    assert largest_cache(tmp_path / "none") == 0
    for index, size in enumerate(["32K\n", "1M", "odd", "36864K"]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size)
    assert largest_cache(tmp_path) == 36864 * 1024


def test_a_container_may_allow_less(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    monkeypatch.setattr(machine, "_CGROUP", str(tmp_path))
    card = read_machine()
    assert card.cores == min(2, os.cpu_count() or 1)
    assert card.host_memory == 2**30
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    free = read_machine()
    assert free.cores >= card.cores and free.host_memory >= card.host_memory


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.124.06  Wed Feb 26 01:52:56 UTC 2025",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build",
    ],
)
def test_the_driver_is_read_where_its_program_is_not(line, tmp_path, monkeypatch):
    (tmp_path / "version").write_text(f"{line}\nGCC version: gcc 12.2.0\n")
    monkeypatch.setattr(machine, "_DRIVER_FILE", str(tmp_path / "version"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine._driver() == "570.124.06"
