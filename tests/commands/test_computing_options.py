"""Options of where and how networks run: what is refused, and what JAX is told."""

import json
import logging
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.commands.main import main
from jaxdissect.commands.options.computing import Computing, images_like
from jaxdissect.commands.options.output import OutputOptions
from jaxdissect.commands.output import progress_bar
from jaxdissect.commands.output.run_file import write_run
from jaxdissect.engine import compilation_cache
from jaxdissect.engine.meter import Meter
from jaxdissect.networks.network import as_network


class Small(nnx.Module):
    def __init__(self):
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0))

    def __call__(self, images):
        return self.conv(images).mean((1, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--devices", "0"], "`devices` (=0) must be at least 1, or all"),
        (["--devices", "99"], "`devices` (=99) must be all, or 1 to 4"),
        (["--devices", "two"], "`devices` (=two) must be at least 1, or all"),
        (["--batch-size", "0"], "`batch_size` (=0) must be at least 1, or auto"),
        (["--batch-size", "-4"], "`batch_size` (=-4) must be at least 1, or auto"),
        (["--dtype", "float16"], "`dtype` (='float16') must be one of: float32, bfloat16"),
        (["--matmul-precision", "low"], "must be one of: default, high, highest"),
        (["--profile", "{file}/trace"], "cannot be written to (Not a directory); give another"),
        (["--distributed", "here"], "must be HOST:PORT,NUMBER,INDEX, such as 10.0.0.1:8476,2,0"),
        (["--distributed", "a:1,2,2"], "INDEX, of this process, must be from 0 and below NUMBER"),
        (["--distributed", "a:1,0,0"], "INDEX, of this process, must be from 0 and below NUMBER"),
        (["--distributed", "a:1,2,0", "b"], "must be HOST:PORT,NUMBER,INDEX"),
        (["--distributed", "a:1,2,0"], "JAX has computed in this process already; start a new"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_one_line(tmp_path, capsys, options, message):
    jax.devices()
    (tmp_path / "file").touch()
    given = [word.format(file=tmp_path / "file") for word in options]
    out = tmp_path / "out"
    assert main(["dissect", "--model", "scenes", "--sample", "scenes", f"--out={out}", *given]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()


def test_devices_are_counted():
    assert Computing(devices="1").mesh is None
    mesh = Computing(devices="3").mesh
    assert mesh is not None and mesh.axis_names == ("data",)
    assert list(mesh.devices) == jax.devices()[:3]


def test_batches_are_as_given_or_as_fits_the_devices():
    network, images = as_network(Small()), images_like((8, 8))
    assert Computing(batch_size="3").size_of_batches(network, images) == 3
    assert Computing().size_of_batches(network, images, on_processor=16) == 16


def test_products_are_as_precise_as_asked_for():
    with Computing(matmul_precision="highest").ready():
        assert jax.config.values["jax_default_matmul_precision"] == "highest"
    assert jax.config.values["jax_default_matmul_precision"] is None


def test_networks_compute_in_the_dtype():
    network = as_network(Small())
    assert Computing().computed(network) is network
    rounded = Computing(dtype="bfloat16").computed(network)
    assert {leaf.dtype for leaf in jax.tree.leaves(rounded.params)} == {jnp.dtype(jnp.bfloat16)}


@pytest.fixture
def default_cache(tmp_path, monkeypatch):
    """No folder of compiled programs is set; the user's cache folder is a new one."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("JAXDISSECT_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.compilation_cache.reset_cache()


def test_compiled_programs_are_kept_in_the_users_folder(default_cache):
    with Computing().ready():
        place = jax.config.values["jax_compilation_cache_dir"]
        jax.jit(lambda x: x * 3.25)(jnp.ones(3))
    assert place.startswith(str(default_cache / "programs" / jax.__version__))
    assert list(default_cache.rglob("*-cache"))
    assert jax.config.values["jax_compilation_cache_dir"] is None


def test_the_usual_variable_and_the_option_say_where_programs_are_kept(tmp_path):
    usual = jax.config.values[
        "jax_compilation_cache_dir"
    ]  # as JAX reads it of JAX_COMPILATION_CACHE_DIR
    assert usual is not None
    with Computing().ready():
        assert jax.config.values["jax_compilation_cache_dir"] == usual
    with Computing(compilation_cache=str(tmp_path)).ready():
        assert jax.config.values["jax_compilation_cache_dir"].startswith(str(tmp_path))
    with Computing(compilation_cache="off").ready():
        assert not jax.config.values["jax_enable_compilation_cache"]
    assert jax.config.values["jax_enable_compilation_cache"]
    assert jax.config.values["jax_compilation_cache_dir"] == usual


def test_a_folder_that_cannot_keep_programs_costs_a_warning(tmp_path, default_cache, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="compiled programs are not kept in .*Not a directory"):
        with Computing(compilation_cache=str(tmp_path / "file")).ready():
            assert jax.config.values["jax_compilation_cache_dir"] is None

    def no_space(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compilation_cache.tempfile, "TemporaryFile", no_space)
    with pytest.warns(UserWarning, match="No space left on device"):
        with Computing().ready():
            assert jax.config.values["jax_compilation_cache_dir"] is None


def test_programs_that_were_not_written_to_the_end_are_removed(tmp_path, monkeypatch):
    with compilation_cache.programs_kept(tmp_path):
        pass
    (place,) = tmp_path.iterdir()
    for name in ("half-cache", "whole-cache", "whole-atime"):
        (place / name).touch()
    monkeypatch.setattr(compilation_cache.time, "time", lambda: 1e12)
    with warnings.catch_warnings(), compilation_cache.programs_kept(tmp_path):
        pass
    assert sorted(path.name for path in place.iterdir() if "-" in path.name) == [
        "whole-atime",
        "whole-cache",
    ]


def test_how_a_command_ran_is_written(tmp_path):
    meter = Meter()
    running = meter.begin("first pass", [], 4)
    running.ran(4)
    running.reached(4)
    running.end()
    options = OutputOptions(out=tmp_path, computing=Computing(devices="2"))
    write_run(tmp_path / "run.json", options, meter)
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["command"]["devices"] == "2" and found["command"]["out"] == str(tmp_path)
    assert found["versions"]["jax"] == jax.__version__ and len(found["devices"]) == 4
    assert found["passes"][0]["description"] == "first pass"
    assert found["summary"]["forward_passes"] == 1 and found["processes"] == 1


def test_the_figures_of_long_passes_are_shown(tmp_path, capsys, monkeypatch):
    options = OutputOptions(out=tmp_path / "out", page=False)
    with options.working() as (folder, progress):
        for description, least in (("short", 1e6), ("long", 0)):
            monkeypatch.setattr(progress_bar, "SHOWN_SECONDS", least)
            running = progress.begin(description, np.zeros(4), 4)
            running.reached(4)
            running.end()
        (folder / "attack.json").touch()
    error = capsys.readouterr().err
    assert "long: 4 images in" in error and "short" not in error
    assert logging.getLogger(progress_bar.METER_LOGGER).handlers == []
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"attack.json", "run.json"}


def test_a_dry_run_measures_some_steps_and_writes_nothing(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["dissect", "--sample", "scenes", "--num-images", "96", "--model", "scenes", "--out"]
    command += [str(out), "--layers", "features.relu1_1", "--grid", "16", "--dry-run", "--quiet"]
    assert main([*command, "--batch-size", "8"]) == 0
    printed = capsys.readouterr().out
    for word in ("FLOPs", "bytes read and written", "memory: ", "images: 96", "time: about "):
        assert word in printed
    assert main([*command, "--checkpoints", str(tmp_path / "kept")]) == 2
    assert "`dry_run` writes nothing: give it without `checkpoints`" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
