"""Two folders of images, matched by the names of their files."""

import numpy as np
import pytest
from PIL import Image

from jaxdissect.engine.batching import Stored, read_block
from jaxdissect.engine.data.folders import image_folder
from jaxdissect.engine.data.pairs import Paired, pair_name, paired_folders


def write(folder, names, *, size=(6, 5), first=0):
    """Images whose gray level is their place in the list."""
    for place, name in enumerate(names, first):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (place, place, place)).save(path)
    return image_folder(folder)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/1.png", "a/1"),
        ("a/1-stylized-monet.jpg", "a/1"),
        ("a/1.2-stylized-x.y.jpg", "a/1.2"),
        ("Places365_val_00000001.jpg", "Places365_val_00000001"),
        ("abbey/Places365_val_00000001_cubist-stylized-3.png", "abbey/Places365_val_00000001"),
        ("Places365_train_17-x/2.png", "Places365_train_17"),
    ],
)
def test_names(path, name):
    assert pair_name(path) == name


def test_pairs_of_folders(tmp_path):
    originals = write(tmp_path / "own", ["b/2.png", "a/1.png", "a/3.png"])
    names = ["a/1-stylized-y.png", "a/1-stylized-x.png", "a/3.png", "b/2-stylized-x.png"]
    stylised = write(tmp_path / "other", names, first=100)
    pairs = paired_folders(originals, stylised)
    block = read_block(pairs, 0, len(pairs))
    levels = np.rint(255 * np.stack([block[key][:, 0, 0, 0] for key in ("image", "stylised")]))
    # By path of the stylised image: a/1-x, a/1-y, a/3, b/2.
    np.testing.assert_array_equal(levels, [[1, 1, 2, 0], [101, 100, 102, 103]])
    for index in range(4):
        for key, array in pairs[index].items():
            np.testing.assert_array_equal(array, block[key][index])
    assert len(paired_folders(originals, stylised, limit=3)) == 3


def test_masks_stay_with_the_originals(tmp_path):
    write(tmp_path / "own", ["1.png", "2.png"])
    for place in (1, 2):
        path = tmp_path / "masks" / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (6, 5), place).save(path)
    originals = image_folder(tmp_path / "own", masks=[tmp_path / "masks"])
    stylised = write(tmp_path / "other", ["2.jpg", "1.jpg"])
    pairs = paired_folders(originals, stylised)
    assert [int(pairs[i]["labels"].max()) for i in range(2)] == [1, 2]


def test_files_without_partner_are_named(tmp_path):
    originals = write(tmp_path / "own", [f"{i}.png" for i in range(9)])
    stylised = write(tmp_path / "other", ["0.png", "8.png", "x.png"])
    with pytest.raises(ValueError) as error:
        paired_folders(originals, stylised)
    assert str(error.value) == (
        "images without a partner of the same name: 7 of `originals`: 1.png, 2.png, 3.png, 4.png, "
        "5.png, and 2 more; 1 of `stylised`: x.png"
    )


def test_other_faults(tmp_path):
    originals = write(tmp_path / "own", ["1.png", "1.jpg"])
    with pytest.raises(ValueError, match="1.jpg and 1.png have the same name"):
        paired_folders(originals, originals)
    one = write(tmp_path / "one", ["1.png"])
    with pytest.raises(ValueError, match=r"`limit` \(=0\)"):
        paired_folders(one, one, limit=0)
    larger = write(tmp_path / "larger", ["1.png"], size=(8, 5))
    with pytest.raises(ValueError, match="5 x 8 pixels .* 5 x 6"):
        paired_folders(one, larger)
    with pytest.raises(ValueError, match=r"`stylised` \(=2\) must be as many"):
        Paired(one, originals)
    assert len(Paired(one, Stored({"image": np.zeros((1, 5, 6, 3), np.float32)}))) == 1
