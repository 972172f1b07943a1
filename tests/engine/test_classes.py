"""Classes of folders: by number, by name, by the published lists, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from jaxdissect.engine.data.class_names import read_class_names
from jaxdissect.engine.data.classes import with_classes
from jaxdissect.engine.data.folders import image_folder

PLACES = "/b/beach 1\n/a/apartment_building/outdoor 0\n/k/kitchen 3\n/b/bar 2\n"
NAMES = ("apartment_building/outdoor", "beach", "bar", "kitchen")

IMAGENET = "n02012849 crane\nn01440764 tench, Tinca tinca\nn03126707 crane\n"


def labels(root, folders, **options):
    """Write an image into each folder; return the class that each is given, and all names."""
    for folder in folders:
        (root / "images" / folder).mkdir(parents=True)
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(root / "images" / folder / "1.png")
    source = image_folder(root / "images")
    joined, names = with_classes(source, **options)
    assert joined[0]["label"].dtype == np.int32
    found = {
        name.rpartition("/")[0]: int(joined[i]["label"]) for i, name in enumerate(source.names)
    }
    return [found[folder] for folder in folders], names


@pytest.mark.parametrize("width", [1, 2])
def test_numbered_folders_are_the_outputs(tmp_path, width):
    folders = [f"{i:0{width}}" for i in range(12)]
    found, names = labels(tmp_path, folders, num_outputs=12)
    assert found == list(range(12)) and list(names) == folders


def test_folders_of_all_outputs_are_sorted_by_name(tmp_path):
    assert labels(tmp_path, ["b", "a/x", "a-b"], num_outputs=3) == ([2, 1, 0], ("a-b", "a/x", "b"))


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["a", "b"], r"there are 2 folders of images \(a, b\).* 4 outputs: give as `class_names`"),
        (["0", "1"], "there are 2 folders of images .* 4 outputs"),
        (["0", "2"], "the folders 0 to 2 are 2 numbers, not 0 to 1; give `class_names`"),
        (["1", "2", "3", "4"], "the folders 1 to 4 are 4 numbers, not 0 to 3"),
        (
            ["0", "1", "2", "cat"],
            "folders are numbers, like 0, others not: cat; give `class_names`",
        ),
        (["c1", "c2", "c10", "c3"], "one order as text .* numbers in them, see 'c10' and 'c2'"),
        (["1", "01"], "folders '01' and '1' are both class 1"),
    ],
)
def test_folders_must_be_one_for_one_with_outputs(tmp_path, folders, message):
    with pytest.raises(ValueError, match=message):
        labels(tmp_path, folders, num_outputs=4)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["kitchen", "apartment_building-outdoor"], [3, 0]),
        (["b/bar", "a/apartment_building/outdoor"], [2, 0]),
        (["Apartment Building (outdoor)"], [0]),
        (["3", "1"], [3, 1]),
    ],
)
def test_published_names_of_places(tmp_path, folders, expected):
    (tmp_path / "names.txt").write_text(PLACES)
    options = {"class_names": tmp_path / "names.txt", "num_outputs": 4}
    assert labels(tmp_path, folders, **options) == (expected, NAMES)


def test_published_names_of_imagenet(tmp_path):
    (tmp_path / "names.txt").write_text(IMAGENET)
    folders = ["n03126707", "tench", "n02012849 crane"]
    found, names = labels(tmp_path, folders, class_names=str(tmp_path / "names.txt"))
    assert found == [2, 1, 0] and names[0] == "n02012849 crane"


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("kitchenn", r"`class_names` has no class 'kitchenn' \(nearest: kitchen\)"),
        ("4", "folder 4 is no class: `class_names` has 4 names, 0 to 3"),
    ],
)
def test_unknown_folders_are_named(tmp_path, folder, message):
    with pytest.raises(ValueError, match=message):
        labels(tmp_path, [folder], class_names=NAMES)


def test_a_folder_of_two_classes_and_a_class_of_two_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="several classes for folder 'crane': 'n02012849 crane', "):
        labels(tmp_path / "1", ["crane"], class_names=IMAGENET.splitlines())
    with pytest.raises(ValueError, match="folders 'b/beach' and 'beach' are both class 'beach'"):
        labels(tmp_path / "2", ["beach", "b/beach"], class_names=NAMES)
    with pytest.raises(ValueError, match="there are 4 names in `class_names` .* 5 outputs"):
        labels(tmp_path / "3", ["beach"], class_names=NAMES, num_outputs=5)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("airfield 0\nalley 1\n", ("airfield", "alley")),
        ("2: alley\n1: airfield\n", ("airfield", "alley")),
        ("airfield\nalley\n", ("airfield", "alley")),
        ("a/airfield\na/alley\n", ("a/airfield", "a/alley")),
        ("digit 0\ndigit 1\n", ("digit 0", "digit 1")),
        ("id,name\n1,alley\n0,airfield\n", ("airfield", "alley")),
    ],
)
def test_files_of_names(tmp_path, content, expected):
    (tmp_path / "names.txt").write_text(content)
    assert read_class_names(tmp_path / "names.txt") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nb\na\n", r"line 3: `class_names` .* 'a' again"),
        ("a\n\nb\n", r"line 2: `class_names` must have one name per line"),
        ("0,a\n2,b\n", r"names.txt'\) must number its 2 names .* run from 0 to 2"),
    ],
)
def test_malformed_files_of_names_are_refused(tmp_path, content, message):
    (tmp_path / "names.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_class_names(tmp_path / "names.txt")
