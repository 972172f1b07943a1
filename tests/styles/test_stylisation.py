"""Folders of images in the style of others: names, choice, sizes, and what is written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from support.interrupted import Ending, Killed

from jaxdissect.engine.data.folders import image_folder
from jaxdissect.engine.data.pairs import paired_folders
from jaxdissect.engine.identity import content
from jaxdissect.networks.models.adain import AdaINDecoder, AdaINEncoder, stylize
from jaxdissect.styles.stylisation import choose_styles, stylise_folder, stylised_name

SIZE = (18, 11)  # not a multiple of 8


@pytest.fixture(scope="module")
def networks():
    encoder = AdaINEncoder((3, "pool", 3, "pool", "pool", 4), rngs=nnx.Rngs(0))
    return encoder, AdaINDecoder(4, (3, "up", "up", "up", 3), rngs=nnx.Rngs(1))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("images")
    for name in ("own/a/1.webp", "own/b/2.jpg", "own/3.png", "art/x.jpg", "art/old/y.png"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = SIZE if name.startswith("own") else (9, 12)
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return image_folder(root / "own"), image_folder(root / "art")


def stylise(networks, folders, out, **options):
    (encoder, decoder), (contents, styles) = networks, folders
    return stylise_folder(encoder, decoder, contents, styles, out, **options)


def test_images_are_written_as_the_reference_names_them(networks, folders, tmp_path):
    contents, styles = folders
    files = stylise(networks, folders, tmp_path, styles_per_image=2, batch_size=2, alpha=0.7)
    expected = [
        tmp_path / f"{name}-stylized-{style}.png"
        for name, order in zip(("3", "a/1", "b/2"), choose_styles(3, 2, 2), strict=True)
        for style in np.array(["y", "x"])[order]
    ]
    assert files == expected
    assert sorted(path for path in tmp_path.rglob("*.png")) == sorted(expected)
    chosen = choose_styles(3, 2, 2).ravel()
    both = (
        jnp.stack([folder[int(i)]["image"] for i in order])
        for folder, order in ((contents, np.repeat(np.arange(3), 2)), (styles, chosen))
    )
    encoder, decoder = networks
    whole = jax.jit(lambda a, b: stylize(encoder, decoder, a, b, alpha=0.7))(*both)
    found = np.stack([np.asarray(Image.open(file)) for file in files]) / 255
    cut = np.asarray(whole)[:, : SIZE[1], : SIZE[0]]
    np.testing.assert_allclose(found, cut, atol=0.51 / 255 + 1e-4)
    pairs = paired_folders(contents, image_folder(tmp_path))
    assert len(pairs) == 6
    np.testing.assert_array_equal(pairs[0]["image"], contents[0]["image"])


@pytest.mark.slow
def test_interrupted_rendering_resumes(networks, folders, tmp_path):
    expected = stylise(networks, folders, tmp_path / "whole", batch_size=1)
    options = {"checkpoints": tmp_path / "kept", "batch_size": 1, "save_every": 1}
    with pytest.raises(Killed):
        stylise(networks, folders, tmp_path / "out", progress=Ending(2), **options)
    assert not (tmp_path / "out").exists()
    resuming = Ending(9)
    files = stylise(networks, folders, tmp_path / "out", progress=resuming, **options)
    assert resuming.starts == [2]
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in expected]
    again = stylise(networks, folders, tmp_path / "again", **options)
    both = (image_folder(tmp_path / name) for name in ("out", "again"))
    assert len({content(folder) for folder in both}) == 1 and len(again) == len(files)


def test_styles_are_chosen_by_place_and_seed():
    whole = choose_styles(9, 5, 3, seed=2)
    np.testing.assert_array_equal(choose_styles(4, 5, 3, seed=2), whole[:4])
    assert all(len(set(own)) == 3 for own in whole.tolist())
    assert (choose_styles(9, 5, 3, seed=3) != whole).any() and len(np.unique(whole)) == 5


def test_names():
    assert stylised_name("a/1.jpg", "b/monet.webp") == "a/1-stylized-monet.png"


def test_what_cannot_be_stylised(networks, folders, tmp_path):
    contents, styles = folders
    for options, message in (
        ({"alpha": 1.5}, "`alpha`"),
        ({"styles_per_image": 3}, "`styles_per_image`"),
    ):
        with pytest.raises(ValueError, match=message):
            stylise(networks, folders, tmp_path, **options)
    (tmp_path / "3-stylized-x.png").touch()
    with pytest.raises(ValueError, match="3-stylized-x.png already"):
        stylise(networks, folders, tmp_path, styles_per_image=2)
    same = tmp_path / "same"
    for name in ("p/x.png", "q/x.png"):
        (same / name).parent.mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(same / name)
    with pytest.raises(ValueError, match="must have different names.*: 3-stylized-x.png"):
        stylise(networks, (contents, image_folder(same)), tmp_path / "new", styles_per_image=2)
