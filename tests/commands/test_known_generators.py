"""Generators of known kinds with weights of the user's: from Python, and `jaxdissect generate`."""

import csv
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support import command_line
from support.random_weights import named_shapes
from support.toy_generators import strongest_color

from jaxdissect.commands.main import main
from jaxdissect.dissection.result import load_dissection
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.generators import (
    Generator,
    dissect_generator,
    insert_units,
    remove_units,
)
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.edits import insert, keep_units
from jaxdissect.networks.models.described_generator import ConvolveTransposed, DescribedGenerator
from jaxdissect.networks.models.stylegan2 import StyleGAN2
from jaxdissect.networks.models.stylegan2_weights import from_shapes
from jaxdissect.networks.weights.mapping import with_parameters

SEGMENTER = """
from support.toy_generators import strongest_color
"""


def random_arrays(build):
    random = np.random.RandomState(0)
    arrays = {
        name: np.asarray(0.5 * random.standard_normal(shape), "f4")
        for name, shape in named_shapes(build).items()
    }
    # Colors within the range; maps of latents are scaled by 0.01 when they run.
    scales = {"torgb.weight": 0.1, "torgb.bias": 0.03}
    for name in arrays:
        found = [scale for ending, scale in scales.items() if name.endswith(ending)]
        scale = found[0] if found else 200 if "mapping.fc" in name else 1
        arrays[name] = np.asarray(scale * arrays[name], "f4")
    return arrays


def save(path, arrays):
    np.savez(path, **arrays)


def styles(sizes=(6, 5, 4)):
    return StyleGAN2(sizes, latent_size=7, style_size=8, num_mapping=2, rngs=nnx.Rngs(0))


@functools.cache
def style_arrays():
    return random_arrays(styles)


def convolutions():
    parts = {"0": ConvolveTransposed(5, 4, 1, 0), "2": ConvolveTransposed(4)}
    parts |= {"4": ConvolveTransposed(3)}
    return DescribedGenerator(6, {"main": parts}, rngs=nnx.Rngs(0))


@pytest.fixture
def segmenter(tmp_path):
    path = tmp_path / "colors.py"
    path.write_text(SEGMENTER)
    return f"{path}:strongest_color"


def run(task, out, segmenter, **options):
    known = {
        "out": out,
        "num_images": 6,
        "num_ranking_images": 6,
        "chunk_size": 3,
        "grid": [8, 8],
        "segmenter": segmenter,
    }
    return main(command_line.words("generate", task, options=known | options))


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.slow
def test_units_of_a_stylegan2_are_dissected_removed_and_inserted():
    shapes = {name: array.shape for name, array in style_arrays().items()}
    module = with_parameters(lambda: from_shapes(shapes), style_arrays())
    subject = Generator(module, module.latent_size, segmenter=strongest_color(), grid=(8, 8))
    source, layer = latents(6, 7), "synthesis.b8.conv1"
    result = dissect_generator(subject, source, layers=(layer, "synthesis.b16.conv0"))
    assert result[layer].iou.shape == (4, 5)
    removal = remove_units(
        subject, source, layer, single_unit_masks(5), concepts=[1, 2, 3], chunk_size=3
    )
    insertion = insert_units(
        subject, source, layer, [0, 3], [9.0, 8.0], cells=[(0, 2), (5, 4)], concepts=[1, 2, 3]
    )

    @jax.jit
    def areas(edit):
        """By hand: the network with an edit."""
        vectors = jnp.asarray(source.read(0, 6)["latent"])
        images = subject.network.apply(subject.network.params, vectors, edits={layer: edit})[0]
        known = strongest_color()
        labels = known.segment(known.params, jnp.clip((images + 1) / 2, 0, 1), (8, 8))
        return jnp.stack([(labels == color).sum((1, 2, 3)) for color in (1, 2, 3)], axis=1)

    before = areas(keep_units(jnp.ones(5, bool)))
    np.testing.assert_array_equal(removal.before[:, 1:], before)
    assert len(np.unique(before)) > 3
    for unit, after in enumerate(removal.after):
        np.testing.assert_array_equal(after, areas(keep_units(jnp.arange(5) != unit)))
    where = jnp.zeros((8, 8)).at[5, 4].set(1)
    painted = areas(insert([0, 3], jnp.asarray([9.0, 8.0]), 5, where=where))
    np.testing.assert_array_equal(insertion.added[:, 1], painted - before)
    assert insertion.added.any() and (removal.after != before[None]).any()


@pytest.mark.slow
def test_the_command_takes_a_stylegan2(tmp_path, segmenter):
    save(tmp_path / "style.npz", style_arrays())
    options = {"model": "stylegan2", "weights": tmp_path / "style.npz", "truncation": 0.7}
    out = tmp_path / "units"
    assert run("dissect", out, segmenter, **options, num_top_images=2, num_ranking_images=None) == 0
    assert list(load_dissection(out).layers) == ["synthesis.b16.conv1"]


def test_the_command_takes_a_dcgan(tmp_path, segmenter):
    save(tmp_path / "netG.npz", random_arrays(convolutions))
    options = {"model": "dcgan", "weights": tmp_path / "netG.npz", "layer": "main.3", "most": 2}
    out = tmp_path / "removed"
    assert run("remove", out, segmenter, **options, shown=[0, 1], concept="red") == 0
    assert [int(row["units removed"]) for row in rows_of(out / "sets.csv")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "dcgan"}, "`weights` go with `model` 'proggan' or 'stylegan2' or 'dcgan' or"),
        ({"model": "scenes", "truncation": 0.5}, "`truncation` (=0.5) goes with `model` 'stylegan"),
        ({"model": "stylegan2", "weights": "g.pkl"}, "torch.save(G_ema.state_dict(), "),
        ({"model": "dcgan", "random_weights": 1}, "`model` 'dcgan' has the sizes of its weights"),
        ({"model": "dcgan", "weights": "style.npz"}, "these are weights of stylegan2"),
        (
            {"model": "stylegan2", "weights": "style.npz", "segmenter": None},
            "`segmenter` is needed",
        ),
        ({"model": "stylegan2", "weights": "style.npz", "latent_size": 8}, "must be 7 for `model`"),
        ({"model": "stylegan2", "weights": "style.npz", "layers": "b8"}, "no layer 'b8'; valid"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, segmenter, capsys, monkeypatch, options, message):
    save(tmp_path / "style.npz", style_arrays())
    (tmp_path / "g.pkl").write_bytes(b"\x80\x04.")
    monkeypatch.chdir(tmp_path)
    changes = {"segmenter": segmenter, "num_ranking_images": None} | options
    given = changes.pop("segmenter")
    assert run("dissect", tmp_path / "out", given, **changes) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
