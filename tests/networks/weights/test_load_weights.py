"""Modules of a user take the weights of their PyTorch originals, and compute what these do."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

import jaxdissect as jd
from jaxdissect.networks.weights.files import write_weights
from jaxdissect.networks.weights.mapping import parameters
from jaxdissect.networks.weights.renaming import check_names


def conv(inputs, units, size, *, stride=1, pad=0, groups=1, bias=False, rngs):
    return nnx.Conv(
        inputs,
        units,
        (size, size),
        stride,
        padding=[(pad, pad)] * 2,
        feature_group_count=groups,
        use_bias=bias,
        rngs=rngs,
    )


class Block(nnx.Module):
    def __init__(self, inputs, units, stride, *, rngs):
        self.conv1 = conv(inputs, units, 3, stride=stride, pad=1, rngs=rngs)
        self.bn1 = nnx.BatchNorm(units, rngs=rngs)
        self.conv2 = conv(units, units, 3, pad=1, rngs=rngs)
        self.bn2 = nnx.BatchNorm(units, rngs=rngs)
        self.downsample = nnx.Sequential()
        if stride > 1:
            short = conv(inputs, units, 1, stride=stride, rngs=rngs)
            self.downsample = nnx.Sequential(short, nnx.BatchNorm(units, rngs=rngs))

    def __call__(self, x):
        inside = self.bn2(self.conv2(nnx.relu(self.bn1(self.conv1(x)))))
        return nnx.relu(inside + self.downsample(x))


class ResNet18(nnx.Module):
    def __init__(self, num_classes, *, rngs):
        self.conv1 = conv(3, 64, 7, stride=2, pad=3, rngs=rngs)
        self.bn1 = nnx.BatchNorm(64, rngs=rngs)
        inputs, self.stages = 64, ("layer1", "layer2", "layer3", "layer4")
        for index, name in enumerate(self.stages):
            units, stride = 64 << index, 1 + (index > 0)
            first, second = (
                Block(inputs, units, stride, rngs=rngs),
                Block(units, units, 1, rngs=rngs),
            )
            setattr(self, name, nnx.Sequential(first, second))
            inputs = units
        self.fc = nnx.Linear(512, num_classes, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.bn1(self.conv1(x)))
        around: Any = ((1, 1), (1, 1))
        x = nnx.max_pool(x, (3, 3), (2, 2), around)
        for name in self.stages:
            x = getattr(self, name)(x)
        return self.fc(x.mean(axis=(1, 2)))


class VGG(nnx.Module):
    """Convolutions, and linear maps that read their maps in a row."""

    def __init__(self, *, rngs):
        pool = lambda x: nnx.max_pool(x, (2, 2), (2, 2))  # noqa: E731
        self.features = nnx.Sequential(
            *(conv(3, 6, 3, pad=1, bias=True, rngs=rngs), nnx.BatchNorm(6, rngs=rngs)),
            *(nnx.relu, pool, conv(6, 8, 3, pad=1, bias=True, rngs=rngs), nnx.relu, pool),
        )
        self.classifier = nnx.Sequential(
            *(nnx.Linear(8 * 2 * 3, 10, rngs=rngs), nnx.relu, nnx.Dropout(0.5, rngs=rngs)),
            nnx.Linear(10, 5, rngs=rngs),
        )

    def __call__(self, x):
        x = self.features(x)
        return self.classifier(x.reshape(x.shape[0], -1))


def vgg():
    return VGG(rngs=nnx.Rngs(0))


ROWS = {"classifier.layers.0": (8, 2, 3)}


def torch_vgg():
    torch = pytest.importorskip("torch")
    return torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.BatchNorm2d(6), torch.nn.ReLU()),
        *(torch.nn.MaxPool2d(2), torch.nn.Conv2d(6, 8, 3, padding=1), torch.nn.ReLU()),
        *(torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(48, 10), torch.nn.ReLU()),
        *(torch.nn.Dropout(0.5), torch.nn.Linear(10, 5)),
    )


def randomise(model):
    """Random parameters and statistics, and evaluation mode."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, array in model.state_dict().items():
            if array.is_floating_point():
                fan_in = max(array[0].numel() if array.ndim > 1 else 1, 1)
                values = torch.randn(array.shape, generator=generator) / fan_in**0.5
                positive = array.ndim == 1 and name.endswith(("weight", "running_var"))
                array.copy_(1 + 0.3 * values.abs() if positive else values)
    return model.eval()


def save(model, path):
    torch = pytest.importorskip("torch")
    if path.suffix == ".pth":
        torch.save(model.state_dict(), path)
    else:
        arrays = {name: array.numpy() for name, array in model.state_dict().items()}
        if path.suffix == ".npz":
            np.savez(path, **arrays)
        else:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


def random_inputs(*shape):
    return np.random.RandomState(0).standard_normal(shape).astype(np.float32)


def run_torch(model, inputs, *, to_last=True):
    """What the original gives for channels-last inputs, channels last."""
    torch = pytest.importorskip("torch")
    first = np.moveaxis(inputs, -1, 1) if inputs.ndim > 2 else inputs
    with torch.no_grad():
        outputs = model(torch.from_numpy(np.ascontiguousarray(first))).numpy()
    return np.moveaxis(outputs, 1, -1) if outputs.ndim > 2 and to_last else outputs


def assert_same(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


class TestNetworks:
    def test_resnet18(self, tmp_path):
        torchvision = pytest.importorskip("torchvision")
        original = randomise(torchvision.models.resnet18(num_classes=7))
        path = save(original, tmp_path / "resnet18.pth")
        for module in (
            ResNet18(7, rngs=nnx.Rngs(0)),
            nnx.eval_shape(lambda: ResNet18(7, rngs=nnx.Rngs(0))),
        ):
            loaded = jd.load_weights(module, path)
            images = random_inputs(2, 64, 96, 3)
            assert_same(loaded(images), run_torch(original, images))

    @pytest.mark.parametrize("ending", [".pth", ".safetensors", ".npz"])
    def test_maps_in_a_row(self, tmp_path, ending):
        original = randomise(torch_vgg())
        path = save(original, tmp_path / f"vgg{ending}")
        module: Any = vgg()
        names = {"classifier.layers.0": "8", "classifier.layers.3": "11"}
        before = jax.tree.map(np.asarray, nnx.state(module, (nnx.Param, nnx.BatchStat)))
        images = random_inputs(2, 8, 12, 3)
        loaded = jd.load_weights(module, path, names=names | {"features": ""}, flattened=ROWS)
        assert_same(loaded(images), run_torch(original, images))
        assert loaded.classifier.layers[2].deterministic
        assert not module.classifier.layers[2].deterministic
        after = nnx.state(module, (nnx.Param, nnx.BatchStat))
        jax.tree.map(np.testing.assert_array_equal, before, after)

        def original_name(path):
            ours, numbers = "features.layers", {"classifier.layers.0": "8"}
            return path.removeprefix(f"{ours}.") if ours in path else numbers.get(path, "11")

        again = jd.load_weights(module, path, names=original_name, flattened=ROWS)
        assert_same(again(images), loaded(images))

    def test_depthwise_and_grouped(self, tmp_path):
        torch = pytest.importorskip("torch")
        layers = [
            torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU6(),
            torch.nn.Conv2d(8, 8, 3, padding=1, groups=8),
            torch.nn.Conv2d(8, 12, (3, 1), groups=4),
            torch.nn.Conv2d(12, 12, 1),
        ]
        original = randomise(torch.nn.Sequential(*layers))
        path = save(original, tmp_path / "depthwise.safetensors")
        rngs = nnx.Rngs(0)
        module = nnx.Sequential(
            conv(3, 8, 3, stride=2, pad=1, rngs=rngs),
            nnx.BatchNorm(8, rngs=rngs),
            nnx.relu6,
            conv(8, 8, 3, pad=1, groups=8, bias=True, rngs=rngs),
            nnx.Conv(8, 12, (3, 1), feature_group_count=4, padding="VALID", rngs=rngs),
            jd.networks.Conv2D(12, 12, (1, 1), rngs=rngs),
        )
        images = random_inputs(2, 9, 11, 3)
        assert_same(jd.load_weights(module, path)(images), run_torch(original, images))

    @pytest.mark.parametrize("transposed", [False, True])
    def test_transposed_convolutions_of_a_generator(self, tmp_path, transposed):
        torch = pytest.importorskip("torch")
        layers = [
            torch.nn.Linear(6, 4 * 2 * 3),
            torch.nn.BatchNorm1d(4 * 2 * 3),
            torch.nn.Unflatten(1, (4, 2, 3)),
            torch.nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1, bias=False),
            torch.nn.Tanh(),
            torch.nn.ConvTranspose2d(4, 3, 3, stride=1, padding=0),
        ]
        original = randomise(torch.nn.Sequential(*layers))
        path = save(original, tmp_path / "generator.pth")
        rngs, how = nnx.Rngs(0), {"transpose_kernel": transposed}
        module = nnx.Sequential(
            nnx.Linear(6, 4 * 2 * 3, rngs=rngs),
            nnx.BatchNorm(4 * 2 * 3, rngs=rngs),
            lambda x: x.reshape(-1, 2, 3, 4),
            nnx.ConvTranspose(4, 4, (4, 4), 2, use_bias=False, rngs=rngs, **how),
            nnx.tanh,
            nnx.ConvTranspose(4, 3, (3, 3), 1, padding="VALID", rngs=rngs, **how),
        )
        rows = {"layers.0": (4, 2, 3), "layers.1": (4, 2, 3)}
        latents = random_inputs(5, 6)
        loaded = jd.load_weights(module, path, unflattened=rows)
        assert_same(loaded(latents), run_torch(original, latents))

    @pytest.mark.parametrize("naming", ["PyTorch", "other widths", "timm", "apart"])
    def test_attention(self, tmp_path, naming):
        torch = pytest.importorskip("torch")
        width = 6 if naming == "other widths" else 8
        attention = torch.nn.MultiheadAttention(
            8, 2, kdim=width, vdim=width, batch_first=True, bias=True
        )
        original = randomise(
            torch.nn.ModuleDict({"norm": torch.nn.LayerNorm(8), "attn": attention})
        )
        arrays = {name: array.numpy() for name, array in original.state_dict().items()}
        if naming == "timm":
            arrays["attn.qkv.weight"] = arrays.pop("attn.in_proj_weight")
            arrays["attn.qkv.bias"] = arrays.pop("attn.in_proj_bias")
            for end in ("weight", "bias"):
                arrays[f"attn.proj.{end}"] = arrays.pop(f"attn.out_proj.{end}")
        if naming == "apart":
            for end in ("weight", "bias"):
                parts = np.split(arrays.pop(f"attn.in_proj_{end}"), 3)
                for name, part in zip(("query", "key", "value"), parts, strict=True):
                    arrays[f"attn.{name}.{end}"] = part
        np.savez(tmp_path / "attention.npz", **arrays)

        class Module(nnx.Module):
            def __init__(self, rngs):
                self.norm = nnx.LayerNorm(8, epsilon=1e-5, rngs=rngs)
                kinds = {"in_kv_features": width, "decode": False}
                self.attn = nnx.MultiHeadAttention(2, 8, rngs=rngs, **kinds)

        module = jd.load_weights(Module(nnx.Rngs(0)), tmp_path / "attention.npz")
        queries, keys = random_inputs(3, 5, 8), random_inputs(3, 7, width)
        with torch.no_grad():
            normal = original["norm"](torch.from_numpy(queries))
            others = torch.from_numpy(keys)
            expected, _ = attention(normal, others, others)
        assert_same(module.attn(module.norm(queries), keys), expected.numpy())

    def test_all_other_kinds_of_layers(self, tmp_path):
        torch = pytest.importorskip("torch")
        kinds = torch.nn
        originals = {
            "line": kinds.Conv1d(4, 6, 3),
            "cube": kinds.Conv3d(2, 2, (1, 2, 3)),
            "groups": kinds.GroupNorm(2, 4, eps=1e-6),
            "instance": kinds.InstanceNorm2d(4, affine=True, eps=1e-6),
            "rms": kinds.RMSNorm(4, eps=1e-6),
            "prelu": kinds.PReLU(),
            "general": kinds.Linear(6, 8),
            "einsum": kinds.Linear(6, 8),
            "words": kinds.Embedding(5, 5),
        }
        original = randomise(kinds.ModuleDict(originals))
        rngs = nnx.Rngs(0)
        modules = {
            "line": nnx.Conv(4, 6, (3,), padding="VALID", rngs=rngs),
            "cube": nnx.Conv(2, 2, (1, 2, 3), padding="VALID", rngs=rngs),
            "groups": nnx.GroupNorm(4, 2, rngs=rngs),
            "instance": nnx.InstanceNorm(4, rngs=rngs),
            "rms": nnx.RMSNorm(4, rngs=rngs),
            "prelu": nnx.PReLU(),
            "general": nnx.LinearGeneral((2, 3), (2, 4), axis=(-2, -1), rngs=rngs),
            "einsum": nnx.Einsum("nab,bcda->ncd", (3, 2, 4, 2), (2, 4), rngs=rngs),
            "words": nnx.Embed(5, 5, rngs=rngs),
        }
        module = nnx.Dict({name: module for name, module in modules.items()})
        loaded = jd.load_weights(
            module, save(original, tmp_path / "kinds.pth"), flattened={"": None}
        )
        for name, shape in {
            "line": (2, 7, 4),
            "cube": (2, 3, 4, 5, 2),
            "groups": (2, 3, 5, 4),
            "instance": (2, 3, 5, 4),
            "rms": (2, 4),
            "prelu": (2, 3, 5, 4),
        }.items():
            inputs = random_inputs(*shape)
            assert_same(loaded[name](inputs), run_torch(original[name], inputs))
        pairs = random_inputs(3, 2, 3)
        for name in ("general", "einsum"):
            expected = run_torch(original[name], pairs.reshape(3, 6)).reshape(3, 2, 4)
            assert_same(loaded[name](pairs), expected)
        words = np.array([3, 0, 4])
        expected = original["words"](torch.from_numpy(words)).detach().numpy()
        assert_same(loaded["words"](words), expected)


class Net(nnx.Module):
    """Layers whose kernels are square, and other arrays than parameters."""

    def __init__(self, *, rngs, classes=4):
        self.stem = nnx.Linear(4, 4, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(2)])
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.tied = self.stem
        self.token = nnx.Param(jnp.zeros((1, 1, 4)))
        self.steps = nnx.Variable(jnp.array(3))
        self.means = jnp.arange(3.0)
        self.head = nnx.Linear(4, classes, rngs=rngs)


def net(**options):
    return Net(rngs=nnx.Rngs(0), **options)


def net_arrays():
    random = np.random.RandomState(0)
    shapes = {"stem": (4, 4), "blocks.0": (4, 4), "blocks.1": (4, 4), "head": (4, 4)}
    made = {f"{name}.weight": random.uniform(0.5, 1.5, shape) for name, shape in shapes.items()}
    made |= {f"{name}.bias": random.uniform(0.5, 1.5, 4) for name in shapes}
    for name in ("weight", "bias", "running_mean", "running_var"):
        made[f"norm.{name}"] = random.uniform(0.5, 1.5, 4)
    made = {name: array.astype("f4") for name, array in made.items()}
    made |= {"token": random.uniform(0.5, 1.5, (1, 1, 4)).astype("f4")}
    return made | {"norm.num_batches_tracked": np.array(3)}


def saved(tmp_path, arrays):
    np.savez(tmp_path / "net.npz", **arrays)
    return tmp_path / "net.npz"


class TestNames:
    def test_square_kernels_are_transposed_by_kind(self, tmp_path):
        arrays = net_arrays()
        loaded = jd.load_weights(net(), saved(tmp_path, arrays))
        np.testing.assert_array_equal(loaded.blocks[1].kernel[...], arrays["blocks.1.weight"].T)
        np.testing.assert_array_equal(loaded.token[...], arrays["token"])
        np.testing.assert_array_equal(loaded.norm.var[...], arrays["norm.running_var"])

    def test_variables_keep_their_values_unless_the_file_has_some(self, tmp_path):
        loaded = jd.load_weights(net(), saved(tmp_path, net_arrays()))
        assert int(loaded.steps[...]) == 3
        np.testing.assert_array_equal(loaded.means, [0, 1, 2])
        counted = net_arrays() | {"steps": np.array(7, np.int32)}
        assert int(jd.load_weights(net(), saved(tmp_path, counted)).steps[...]) == 7

    def test_shared_modules_have_one_name_or_two(self, tmp_path):
        arrays = net_arrays()
        both = arrays | {f"tied.{end}": arrays[f"stem.{end}"] for end in ("weight", "bias")}
        loaded = jd.load_weights(net(), saved(tmp_path, both))
        assert loaded.tied is loaded.stem
        for end in ("weight", "bias"):
            both.pop(f"stem.{end}")
        again = jd.load_weights(net(), saved(tmp_path, both))
        np.testing.assert_array_equal(again.stem.kernel[...], arrays["stem.weight"].T)
        differing = both | {f"stem.{end}": arrays[f"head.{end}"] for end in ("weight", "bias")}
        with pytest.raises(ValueError, match="stem.* and tied.* are one array: they differ"):
            jd.load_weights(net(), saved(tmp_path, differing))

    @pytest.mark.parametrize("prefix", ["module.", "net.backbone."])
    def test_prefixes(self, tmp_path, prefix):
        arrays = {f"{prefix}{name}": array for name, array in net_arrays().items()}
        loaded = jd.load_weights(net(), saved(tmp_path, arrays))
        expected = net_arrays()["stem.weight"].T
        np.testing.assert_array_equal(loaded.stem.kernel[...], expected)
        strange = arrays | {"optimiser.rate": np.zeros(1, "f4")}
        if prefix == "net.backbone.":
            with pytest.raises(ValueError, match="unexpected"):
                jd.load_weights(net(), saved(tmp_path, strange))
            again = jd.load_weights(
                net(), saved(tmp_path, strange), names={"": "net.backbone"}, unused=["optimiser"]
            )
            np.testing.assert_array_equal(again.stem.kernel[...], expected)

    def test_the_longest_path_counts(self, tmp_path):
        moved = {
            "blocks.0.": "layers.first.",
            "blocks.1.": "layers.last.",
            "token": "cls",
            "norm.running_var": "norm.variance",
        }
        arrays = net_arrays()
        for here, there in moved.items():
            for name in [name for name in arrays if name.startswith(here)]:
                arrays[name.replace(here, there)] = arrays.pop(name)
        names = {
            "blocks": "layers",
            "blocks.0": "layers.first",
            "blocks.1": "layers.last",
            "token": "cls",
            "norm.var": "norm.variance",
        }
        loaded = jd.load_weights(net(), saved(tmp_path, arrays), names=names)
        for name, array in parameters(
            jd.load_weights(net(), saved(tmp_path, net_arrays()))
        ).items():
            np.testing.assert_array_equal(parameters(loaded)[name], array)

    def test_own_files(self, tmp_path):
        whole = jd.load_weights(net(), saved(tmp_path, net_arrays()))
        del whole.means
        native = {name: np.asarray(array) for name, array in parameters(whole).items()}
        write_weights(tmp_path / "net.safetensors", native, metadata={})

        def without_constants():
            module = net()
            del module.means
            return module

        again = jd.load_weights(nnx.eval_shape(without_constants), tmp_path / "net.safetensors")
        for name, array in parameters(again).items():
            np.testing.assert_array_equal(array, native[name])


class TestRows:
    """Where maps may have been laid in a row, it must be said."""

    def test_what_reads_rows_is_asked_for(self, tmp_path):
        path = save(randomise(torch_vgg()), tmp_path / "vgg.pth")
        names = {"features": "", "classifier.layers.0": "8", "classifier.layers.3": "11"}
        for module in (vgg(), nnx.eval_shape(vgg)):
            with pytest.raises(ValueError, match="fits in two ways") as problem:
                jd.load_weights(module, path, names=names)
            assert str(problem.value).splitlines()[1:] == [
                "  flattened={'classifier.layers.0': (8, h, w) with h w = 6} if its 48 inputs are "
                "8 maps of 6 cells, or {'classifier.layers.0': None}"
            ]
        rows = {"classifier.layers.0": None}
        loaded = jd.load_weights(module, path, names=names, flattened=rows)
        images = random_inputs(2, 8, 12, 3)
        right = jd.load_weights(module, path, names=names, flattened=ROWS)
        assert np.abs(loaded(images) - right(images)).max() > 1e-3

    def test_what_makes_rows_is_asked_for(self, tmp_path):
        rngs = nnx.Rngs(0)

        class Generator(nnx.Module):
            def __init__(self, rngs):
                self.project = nnx.Linear(6, 32, rngs=rngs)
                self.norm = nnx.BatchNorm(32, rngs=rngs)
                self.convolve = nnx.ConvTranspose(8, 3, (4, 4), 2, rngs=rngs)

        module = Generator(rngs)
        arrays = {
            "project.weight": np.zeros((32, 6), "f4"),
            "project.bias": np.zeros(32, "f4"),
            "convolve.weight": np.zeros((8, 3, 4, 4), "f4"),
            "convolve.bias": np.zeros(3, "f4"),
        }
        for name in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"norm.{name}"] = np.arange(32, dtype="f4")
        with pytest.raises(ValueError, match=r"unflattened={'project': \(8, 2, 2\)} if its 32 out"):
            jd.load_weights(module, saved(tmp_path, arrays))
        rows = {"project": (8, 2, 2), "norm": (8, 2, 2)}
        loaded = jd.load_weights(module, saved(tmp_path, arrays), unflattened=rows)
        expected = np.arange(32).reshape(8, 2, 2).transpose(1, 2, 0).reshape(-1)
        np.testing.assert_array_equal(loaded.norm.scale[...], expected)

    @pytest.mark.parametrize("maps", [(8, 3, 3), (8, 6), (48,)])
    def test_other_sizes_are_refused(self, tmp_path, maps):
        path = save(randomise(torch_vgg()), tmp_path / "vgg.pth")
        with pytest.raises(ValueError, match="`flattened` .* must be channels, rows and columns"):
            jd.load_weights(vgg(), path, flattened={"classifier.layers.0": maps})


class TestBadInput:
    def problem(self, tmp_path, arrays, module=None, **options):
        with pytest.raises(ValueError) as problem:
            jd.load_weights(module or net(), saved(tmp_path, arrays), **options)
        return str(problem.value).splitlines()

    def test_everything_is_listed_with_the_nearest_names(self, tmp_path):
        arrays = net_arrays()
        arrays["classifier.head.weight"] = arrays.pop("head.weight")
        arrays["norm.bias"] = np.zeros(5, "f4")
        arrays["stem.weight"] = np.zeros((4, 4), np.int8)
        del arrays["token"]
        first, *lines = self.problem(tmp_path, arrays)
        assert first.endswith("net.npz does not fit the network")
        assert lines == [
            "2 missing:",
            "  token [1, 1, 4]",
            "  head.weight [4, 4]; nearest in the file: classifier.head.weight [4, 4]",
            "1 unexpected:",
            "  classifier.head.weight [4, 4]",
            "1 misshapen:",
            "  norm.bias: expected [4], got [5]",
            "1 no floating-point numbers:",
            "  stem.weight: int8",
            '`names={"path here": "name in the file"}` says what a module or an array is called in '
            'the file, `unused=["name in the file"]` which of its arrays have no place here',
        ]

    def test_another_number_of_classes(self, tmp_path):
        lines = self.problem(tmp_path, net_arrays(), net(classes=7))
        assert lines[1:] == [
            "2 misshapen:",
            "  head.weight: expected [7, 4], got [4, 4]",
            "  head.bias: expected [7], got [4]",
        ]
        body = {name: a for name, a in net_arrays().items() if not name.startswith("head")}
        headless = net()
        del headless.head
        loaded = jd.load_weights(headless, saved(tmp_path, net_arrays()), unused=["head"])
        assert loaded.stem.kernel.shape == body["stem.weight"].shape

    def test_another_architecture(self, tmp_path):
        path = save(randomise(torch_vgg()), tmp_path / "vgg.pth")
        with pytest.raises(ValueError, match="13 missing"):
            jd.load_weights(net(), path)

    def test_long_lists_are_cut(self, tmp_path):
        many = {f"layers.{number}.weight": np.zeros((4, 4), "f4") for number in range(2000)}
        lines = self.problem(tmp_path, many)
        assert len(lines) < 70 and "  ... and 1960 more" in lines

    def test_half_a_file(self, tmp_path):
        path = save(randomise(torch_vgg()), tmp_path / "vgg.pth")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ValueError, match="vgg.pth is truncated"):
            jd.load_weights(vgg(), path)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"names": {"stemm": "x"}}, ValueError, "`names` has 'stemm', .*; nearest: stem$"),
            ({"names": lambda path: None}, TypeError, "`names` gives None for 'stem'"),
            ({"unused": "head"}, TypeError, "`unused` must be a list"),
            ({"unused": ["nothing"]}, ValueError, "1 in `unused`, but not in the file:\n  nothing"),
            ({"flattened": {"fc": (1, 2, 2)}}, ValueError, "`flattened` has 'fc', and nothing"),
            ({"layouts": {"stem": np.asarray}}, ValueError, "'stem', which is a module"),
            ({"dtype": jnp.int32}, ValueError, "`dtype` .* must be a floating dtype"),
        ],
    )
    def test_options(self, tmp_path, options, error, message):
        with pytest.raises(error, match=message):
            jd.load_weights(net(), saved(tmp_path, net_arrays()), **options)

    @pytest.mark.parametrize("names", [["stem"], {"stem": 3}, 7])
    def test_names_of_another_type(self, names):
        with pytest.raises(TypeError, match="`names` must be a mapping from paths"):
            check_names(names, ["stem.kernel"])

    @pytest.mark.parametrize("module", [Net, net, {"stem": 3}, None])
    def test_what_is_no_module(self, tmp_path, module):
        with pytest.raises(TypeError, match=r"`module` .* must be an nnx.Module"):
            jd.load_weights(module, saved(tmp_path, net_arrays()))

    def test_an_abstract_module_without_its_constants(self, tmp_path):
        with pytest.raises(ValueError, match="is abstract, and lacks the values of means"):
            jd.load_weights(nnx.eval_shape(net), saved(tmp_path, net_arrays()))


class TestLayouts:
    def test_what_no_kind_decides_takes_a_function(self, tmp_path):
        heads = nnx.LinearGeneral(3, 4, batch_axis={0: 2}, rngs=nnx.Rngs(0))
        module = nnx.Dict(heads=heads)
        random = np.random.RandomState(0)
        shapes = {"heads.weight": (2, 4, 3), "heads.bias": (4, 2)}
        arrays = {name: random.uniform(size=shape).astype("f4") for name, shape in shapes.items()}
        path = saved(tmp_path, arrays)
        with pytest.raises(ValueError, match="2 of a layout that the kind") as problem:
            jd.load_weights(module, path)
        assert "  heads.kernel [2, 3, 4]" in str(problem.value).splitlines()
        layouts = {"heads.kernel": lambda array: array.swapaxes(1, 2), "heads.bias": np.transpose}
        loaded = jd.load_weights(module, path, layouts=layouts)
        kernel = arrays["heads.weight"].transpose(0, 2, 1)
        np.testing.assert_array_equal(loaded["heads"].kernel[...], kernel)
        np.testing.assert_array_equal(loaded["heads"].bias[...], arrays["heads.bias"].T)
        wrong = {"heads.kernel": np.asarray, "heads.bias": lambda array: array.nothing}
        with pytest.raises(ValueError, match=r"gives \[2, 4, 3\], not \[2, 3, 4\]") as problem:
            jd.load_weights(module, path, layouts=wrong)
        assert "`layouts` for heads.bias fails (AttributeError" in str(problem.value)


def test_dtypes_are_those_of_the_module_or_as_given(tmp_path):
    halves = {name: array.astype("f2") for name, array in net_arrays().items()}
    path = saved(tmp_path, halves)
    loaded = jd.load_weights(net(), path)
    assert loaded.stem.kernel.dtype == jnp.float32
    loaded = jd.load_weights(net(), path, dtype=jnp.bfloat16)
    assert loaded.stem.kernel.dtype == loaded.norm.var.dtype == jnp.bfloat16
    assert loaded.steps.dtype == jnp.int32
    bfloat = nnx.Linear(4, 4, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    loaded = jd.load_weights(
        bfloat, path, names={"": "stem"}, unused=[n for n in halves if n[:4] != "stem"]
    )
    assert loaded.kernel.dtype == jnp.bfloat16
