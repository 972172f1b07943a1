"""Options that name images of classes, and sizes: classes are the outputs of the network."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import tyro
from PIL import Image

from jaxdissect.commands.options.class_images import ClassImages
from jaxdissect.commands.options.size import OptionalSize, Size
from jaxdissect.engine.batching import Joined
from jaxdissect.engine.data import DecodedCache
from jaxdissect.engine.identity import content
from jaxdissect.networks.adapters.staged_network import StagedNetwork


def network(outputs):
    return StagedNetwork(
        {"one": lambda params, images: images},
        {},
        head=lambda params, images: jnp.zeros((len(images), outputs)),
    )


@pytest.fixture
def options(tmp_path):
    """Make options of two folders with the same folders of classes."""

    def make(folders, measured=(), **others):
        for part, own in (("rank", folders), ("measure", measured or folders)):
            for folder in own:
                (tmp_path / part / folder).mkdir(parents=True)
                pixels = np.zeros((2, 2, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / folder / "1.png")
        if "class_names" in others:
            (tmp_path / "names.txt").write_text(others["class_names"])
            others["class_names"] = tmp_path / "names.txt"
        places = {"rank_images": tmp_path / "rank", "images": tmp_path / "measure"}
        return ClassImages(**places, **others)

    return make


def test_numbered_folders_are_outputs(options):
    found = options([str(i) for i in range(12)]).find_classes()
    assert found.names_of_outputs(network(12)) == tuple(map(str, range(12)))
    labels = [int(found.judging[i]["label"]) for i in range(12)]
    assert labels == sorted(range(12), key=str)  # images are sorted by path


def test_other_folders_need_the_names_of_all_outputs(options):
    found = options(["b", "a"]).find_classes()
    with pytest.raises(ValueError, match=r"2 folders in `rank_images` \(a, b\), .* 365 outputs"):
        found.names_of_outputs(network(365))


def test_folders_are_found_in_the_names_of_all_outputs(options):
    names = "/a/airfield 0\n/a/alley 1\n/b/barn/outdoor 2\n"
    found = options(["barn-outdoor", "alley"], ["alley"], class_names=names).find_classes()
    assert [int(found.ranking[i]["label"]) for i in range(2)] == [1, 2]
    assert int(found.judging[0]["label"]) == 1
    assert found.names_of_outputs(network(3)) == ("airfield", "alley", "barn/outdoor")
    with pytest.raises(ValueError, match="3 names in `class_names` .* 4 outputs"):
        found.names_of_outputs(network(4))


def test_both_folders_have_the_same_classes(options):
    with pytest.raises(ValueError, match="`images` has folders that `rank_images` has not: c;"):
        options(["a", "b"], ["a", "c"]).find_classes()


@pytest.mark.slow
def test_the_sample_is_for_networks_of_its_scenes(tmp_path):
    with pytest.raises(ValueError, match="`sample` has 10 classes .* 365 outputs"):
        ClassImages(sample="scenes", num_images=1).find_classes().names_of_outputs(network(365))
    with pytest.raises(ValueError, match="`class_names` goes with `images` or `tfds`"):
        ClassImages(sample="scenes", class_names=tmp_path).find_classes()


def test_damaged_images_may_be_skipped(options, tmp_path):
    chosen = options(["a", "b"], on_error="skip")
    (tmp_path / "measure/b/2.png").write_bytes(b"no picture")
    found = chosen.find_classes()
    assert len(found.judging) == 2 and "b/2.png" in found.skipped[0]


@pytest.mark.parametrize(
    ("words", "size"), [("224", (224, 224)), ("224 112", (224, 112)), ("", None)]
)
def test_one_number_is_both_sides_of_a_size(words, size):
    assert tyro.cli(OptionalSize, args=words.split(), default=None) == size
    assert tyro.cli(Size, args=words.split(), default=(5, 6)) == (size or (5, 6))


@pytest.mark.parametrize("words", ["1 2 3", "x", "1 y"])
def test_other_sizes_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        tyro.cli(OptionalSize, args=words.split(), default=None)
    assert f"must be H W or one number for both, not {words}" in capsys.readouterr().err


def test_decoded_images_are_kept(options, tmp_path):
    plain = options(["b", "a"])
    kept = replace(plain, image_cache=tmp_path / "decoded").find_classes()
    found = plain.find_classes()
    for own, other in ((kept.ranking, found.ranking), (kept.judging, found.judging)):
        assert isinstance(own, Joined) and isinstance(own.sources[0], DecodedCache)
        assert content(own) == content(other)  # so that checkpoints go with both
        for name, array in other[1].items():
            np.testing.assert_array_equal(own[1][name], array, strict=True)
    folders = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "decoded").iterdir())
    assert folders == ["measure", "rank"]
