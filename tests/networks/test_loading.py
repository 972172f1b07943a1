"""From files of weights to networks: loading, converting, fetching, in Python and on the command
line."""

import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.published_files import NUM_CLASSES, narrow_vgg, publish_vgg
from support.pytorch_files import state_dict, write_legacy, write_zip
from support.random_weights import random_weights

from jaxdissect.commands.main import main
from jaxdissect.networks.loading import convert, fetch, load_network, pretrained
from jaxdissect.networks.models import TorchvisionAlexNet, pyramid_pooling, upernet, vgg16
from jaxdissect.networks.models.catalog import ARCHITECTURES, imagenet_normalised
from jaxdissect.networks.weights.download import CACHE_VARIABLE
from jaxdissect.networks.weights.files import read_weights, sha256
from jaxdissect.networks.weights.installed import InstalledFile
from jaxdissect.networks.weights.mapping import parameters
from jaxdissect.networks.weights.published import PUBLISHED


@pytest.fixture(scope="module")
def arrays():
    return narrow_vgg()


@pytest.fixture
def weights(arrays, tmp_path):
    """A file with them."""
    path = tmp_path / "vgg.pth"
    write_zip(path, state_dict(arrays))
    return path


def torchvision_names(arrays):
    convolutions = [name for name in arrays if name.startswith("features.") and "weight" in name]
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    renamed = {"fc6": "0", "fc7": "3", "fc8a": "6"}
    for name, place in zip(convolutions, places, strict=True):
        renamed[name.split(".")[1]] = str(place)
    return {
        ".".join([part, renamed[layer], own]): array
        for name, array in arrays.items()
        for part, layer, own in [name.split(".")]
    }


def metadata_of(path):
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size])["__metadata__"]


def test_weights_of_three_layouts_convert_to_the_same_bytes(arrays, tmp_path, capsys):
    write_zip(tmp_path / "zip.pth", state_dict(arrays))
    write_legacy(tmp_path / "legacy.pth", state_dict(arrays))
    checkpoint = {"epoch": 90, "state_dict": state_dict(arrays, "module.")}
    write_legacy(tmp_path / "checkpoint.pth.tar", checkpoint)
    write_zip(tmp_path / "torchvision.pth", state_dict(torchvision_names(arrays)))
    converted = []
    for name in ("zip.pth", "legacy.pth", "checkpoint.pth.tar", "torchvision.pth"):
        source, target = tmp_path / name, tmp_path / f"{name}.safetensors"
        assert main(["convert", str(source), str(target), "--model", "vgg16"]) == 0
        assert capsys.readouterr().out == f"{target}\n"
        metadata = metadata_of(target)
        assert metadata["source"] == name and metadata["source_sha256"] == sha256(source)
        assert metadata["architecture"] == "vgg16" and metadata["jaxdissect"]
        found = read_weights(target)
        converted.append({key: array.tobytes() for key, array in found.items()})
    assert all(other == converted[0] for other in converted[1:])
    kernel = read_weights(tmp_path / "zip.pth.safetensors")["features.conv1_1.kernel"]
    np.testing.assert_array_equal(
        kernel, arrays["features.conv1_1.weight"].transpose(2, 3, 1, 0), strict=True
    )


def test_converted_weights_compute_the_same(weights, tmp_path):
    images = np.random.RandomState(0).standard_normal((2, 40, 48, 3)).astype("f4")
    convert("vgg16", weights, tmp_path / "vgg.safetensors")
    first = load_network("vgg16", weights)
    second = load_network("vgg16", tmp_path / "vgg.safetensors")
    assert isinstance(first, vgg16.VGG16) and isinstance(second, vgg16.VGG16)
    scores = jax.jit(first)(images)
    assert scores.shape == (2, NUM_CLASSES)
    np.testing.assert_array_equal(jax.jit(second)(images), scores)


def test_weights_of_another_network_are_refused_with_every_name(arrays, tmp_path, capsys):
    weights = tmp_path / "vgg.pth"
    write_zip(weights, state_dict(arrays | {"extra": np.zeros(1, np.float32)}))  # of none we know
    target = tmp_path / "out.safetensors"
    assert main(["convert", str(weights), str(target), "--model", "alexnet"]) == 2
    message = capsys.readouterr().err
    assert f"{weights}, read as alexnet, does not fit the network" in message
    assert "  conv1.weight" in message and "  features.conv5_3.bias [8]" in message
    assert "conv1.bias" in message and not target.exists()

    assert main(["convert", str(weights), str(target), "--model", "vgg99"]) == 2
    assert "must be one of: alexnet, vgg16, resnet152_places" in capsys.readouterr().err

    weights.write_bytes(weights.read_bytes()[:5000])
    assert main(["convert", str(weights), str(target), "--model", "vgg16"]) == 2
    assert "truncated" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "none.pth"), str(target), "--model", "vgg16"]) == 2
    assert "No such file" in capsys.readouterr().err
    nowhere = tmp_path / "absent" / "out.safetensors"
    assert main(["convert", str(weights), str(nowhere), "--model", "vgg16"]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["convert", str(tmp_path), str(target), "--model", "vgg16"]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert main(["convert", str(tmp_path), str(target), "--model", "upernet_resnet50"]) == 2
    assert "must hold one file encoder*" in capsys.readouterr().err
    assert not target.exists()


def build_narrow_alexnet():
    return TorchvisionAlexNet(NUM_CLASSES, widths=(4, 4, 6, 6, 8), hidden=10, rngs=nnx.Rngs(0))


def test_weights_of_a_network_that_is_known_are_refused_by_its_name(tmp_path, capsys):
    arrays = random_weights(build_narrow_alexnet)
    write_zip(tmp_path / "a.pth", state_dict(arrays, "module."))
    target = tmp_path / "out.safetensors"
    assert main(["convert", str(tmp_path / "a.pth"), str(target), "--model", "alexnet"]) == 2
    message = capsys.readouterr().err
    assert "read as alexnet, does not fit the network" in message and message.count("\n") == 1
    assert message.endswith("these are weights of alexnet_torchvision\n") and not target.exists()
    parallel = {name.replace("features.", "features.module."): a for name, a in arrays.items()}
    write_zip(tmp_path / "a.pth", {"state_dict": state_dict(parallel)})
    with pytest.raises(ValueError, match="are weights of alexnet_torchvision"):
        load_network("vgg11", tmp_path / "a.pth")
    loaded = parameters(load_network("alexnet_torchvision", tmp_path / "a.pth"))
    np.testing.assert_array_equal(loaded["features.10.bias"], arrays["features.10.bias"])


def test_published_weights_become_a_network(arrays, monkeypatch, tmp_path, capsys):
    publish_vgg(monkeypatch, arrays, tmp_path / "narrow")
    network = pretrained("narrow", folder=tmp_path, dtype=jnp.bfloat16)
    assert isinstance(network, vgg16.VGG16)
    assert jax.eval_shape(network, jnp.zeros((1, 32, 32, 3))).dtype == jnp.bfloat16

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert fetch("narrow") == {"": tmp_path / "narrow" / "file.pth"}
    assert main(["fetch", "narrow", "--quiet"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'narrow' / 'file.pth'}\n"

    (tmp_path / "narrow" / "file.pth").unlink()
    assert main(["fetch", "narrow"]) == 2
    message = capsys.readouterr().err
    assert "http://127.0.0.1:9/models/file.pth cannot be downloaded" in message
    assert str(tmp_path / "narrow" / "file.pth") in message


def test_bytes_are_not_taken_for_images_by_published_preparations():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    for prepare in (imagenet_normalised, upernet.prepare, pyramid_pooling.prepare):
        with pytest.raises(ValueError, match="must be floats"):
            prepare(images)


def test_published_weights_have_networks_and_are_listed(capsys):
    for name, published in PUBLISHED.items():
        parts = ARCHITECTURES[published.architecture].parts or ("",)
        assert [part for part in published.files if part != "labels"] == list(parts), name
        for file in published.files.values():
            if isinstance(file, InstalledFile):
                assert file.sha256 in file.name
                continue
            assert file.url.endswith(f"/{file.name}")
            if "-" in file.name:
                assert file.name.endswith(f"-{file.sha256}.pth")
    assert main(["fetch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PUBLISHED)
    assert main(["fetch", "vgg19"]) == 2
    assert "must be one of: alexnet_places365, vgg16_places365" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_can_be_dissected_from_the_command_line(weights, tmp_path, capsys):
    out = tmp_path / "results"
    arguments = ["dissect", "--sample", "scenes", "--num-images", "12", "--out", str(out)]
    assert main([*arguments, "--model", "vgg16", "--weights", str(weights), "--quiet"]) == 0
    rows = (out / "units.csv").read_text().splitlines()
    assert len(rows) == 1 + 8 and rows[1].startswith("features.relu5_3,")

    arguments[-1] = str(tmp_path / "others")
    assert main([*arguments, "--model", "scenes", "--weights", str(weights)]) == 2
    assert "`weights` go with a kind of network" in capsys.readouterr().err
    assert main([*arguments, "--model", "vgg16"]) == 2
    assert "(='vgg16') is a kind of network, and needs `weights`" in capsys.readouterr().err
    assert main([*arguments, "--model", "proggan_church"]) == 2
    assert "is no network that images can be shown to" in capsys.readouterr().err
