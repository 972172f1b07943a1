"""What is particular to each kind of network, stopping early, token grids, and the reference."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from support import golden
from support.probed_networks import images, probed_network

from jaxdissect.networks.adapters.linen_network import LinenNetwork
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.networks.adapters.tapped_network import TappedNetwork
from jaxdissect.networks.edits import Edit, ablate
from jaxdissect.networks.network import as_network, layer_shapes


class Exploding:
    """A layer that must not run."""

    def __call__(self, *_):
        raise AssertionError("ran past the last requested layer")


class TestStopping:
    def staged(self):
        stages = {"first": lambda params, x: x + params, "second": Exploding()}
        return StagedNetwork(stages, jnp.ones(()), head=Exploding())

    def nnx(self):
        class Module(nnx.Module):
            def __init__(self):
                self.first = nnx.Linear(3, 4, rngs=nnx.Rngs(0))

            def __call__(self, x):
                try:
                    x = self.first(x)
                except Exception:  # what stops the run must pass through handlers like this
                    x = None
                return Exploding()(x)

        return NnxNetwork(Module())

    def linen(self):
        class Module(nn.Module):
            @nn.compact
            def __call__(self, x, explode=True):
                x = nn.Dense(4, name="first")(x)
                return Exploding()(x) if explode else x

        variables = Module().init(jax.random.key(0), images(), explode=False)
        return LinenNetwork(Module(), variables)

    @pytest.mark.parametrize("kind", ["staged", "nnx", "linen"])
    @pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
    def test_nothing_after_the_last_requested_layer_runs(self, kind, transform):
        network = getattr(self, kind)()
        read = transform(
            lambda params, x: network.activations(
                params, x, layers=("first",), edits={"first": Edit(jnp.ones(()), jnp.zeros(()))}
            )
        )
        assert read(network.params, images())["first"].shape[:3] == (2, 8, 8)
        assert layer_shapes(network, images(), ("first",))["first"].shape[:3] == (2, 8, 8)
        with pytest.raises(AssertionError, match="ran past"):
            network.apply(network.params, images(), layers=("first",))


class TestCalls:
    """Layers called twice, never, or giving something else than an array."""

    class Calls(nnx.Module):
        def __init__(self):
            self.twice = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
            self.never = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
            self.last = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
            self.pair = TestCalls.Pair()

        def __call__(self, x):
            return self.last(self.twice(self.pair(self.twice(x))[0]))

    class Pair(nnx.Module):
        def __call__(self, x):
            return x, x

    def test_each_call_is_named(self):
        module = self.Calls()
        network = NnxNetwork(module)
        first = module.twice(images())
        second = module.twice(first)
        layers = ("twice@2", "twice@1", "last", "last@1")
        for found in (
            network.activations(network.params, images(), layers=layers),
            network.apply(network.params, images(), layers=layers)[1],
        ):
            assert set(found) == set(layers)
            np.testing.assert_array_equal(found["twice@1"], first)
            np.testing.assert_array_equal(found["twice@2"], second)
            np.testing.assert_array_equal(found["last@1"], found["last"])
        edited, _ = network.apply(network.params, images(), edits={"twice@2": ablate([0], 3)})
        np.testing.assert_array_equal(edited, module.last(second.at[..., 0].set(0)))

    def test_a_layer_that_is_called_twice_needs_a_call(self):
        network = NnxNetwork(self.Calls())
        message = "layer 'twice' is called more than once .*: twice@1, twice@2"
        jitted = jax.jit(network.activations, static_argnames="layers")
        for method in (network.apply, network.activations, jitted):
            with pytest.raises(ValueError, match=f"`layers`: {message}"):
                method(network.params, images(), layers=("twice",))
            with pytest.raises(ValueError, match=f"`edits`: {message}"):
                network.apply(network.params, images(), edits={"twice": ablate([0], 3)})
            with pytest.raises(ValueError, match=r"is called 2 times .* no call 'twice@3'"):
                method(network.params, images(), layers=("twice@3",))
        with pytest.raises(ValueError, match="`layers`: layer 'twice' is called more than once"):
            layer_shapes(network, images(), ("twice",))

    def test_one_name_is_one_layer(self):
        network = NnxNetwork(self.Calls())
        for found in (
            network.activations(network.params, images(), layers="last"),
            network.apply(network.params, images(), layers="last")[1],
            layer_shapes(network, images(), "last"),
        ):
            assert list(found) == ["last"]

    def test_never(self):
        network = NnxNetwork(self.Calls())
        for method in (network.apply, network.activations):
            with pytest.raises(ValueError, match="'never' exists, but .* does not call it"):
                method(network.params, images(), layers=("never",))

    def test_not_an_array(self):
        network = NnxNetwork(self.Calls())
        with pytest.raises(ValueError, match="'pair' must give one array, it gives tuple of "):
            network.apply(network.params, images(), layers=("pair",))


class TestTransformations:
    """Layers inside transformations of the network's own."""

    class Block(nnx.Module):
        def __init__(self, rngs):
            self.inner = nnx.Linear(3, 3, rngs=rngs)

        def __call__(self, x):
            return self.inner(x)

    class Net(nnx.Module):
        def __init__(self, transform):
            self.stem = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
            self.block = TestTransformations.Block(nnx.Rngs(1))
            self.transform = transform

        def __call__(self, x):
            return self.transform(lambda block, x: block(x))(self.block, self.stem(x))

    class Scanned(Net):
        def __init__(self):
            super().__init__(None)
            self.block = nnx.vmap(TestTransformations.Block)(nnx.Rngs(0).split(3))

        def __call__(self, x):
            scan = nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
            return scan(lambda x, block: block(x))(self.stem(x), self.block)

    def nnx_remat(self):
        return NnxNetwork(self.Net(nnx.remat))

    def nnx_jit(self):
        return NnxNetwork(self.Net(nnx.jit))

    def nnx_scan(self):
        return NnxNetwork(self.Scanned())

    def linen_scan(self):
        class Block(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                return nn.Dense(3, name="inner")(x), None

        class Module(nn.Module):
            @nn.compact
            def __call__(self, x):
                axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
                scanned = nn.scan(Block, **axes, length=3)(name="block")
                return scanned(nn.Dense(3, name="stem")(x), None)[0]

        return LinenNetwork(Module(), Module().init(jax.random.key(0), images()))

    @pytest.mark.parametrize("kind", ["nnx_remat", "nnx_jit", "nnx_scan", "linen_scan"])
    def test_are_refused_and_others_are_read(self, kind):
        network = getattr(self, kind)()
        read = network.activations(network.params, images(), layers=("stem",))
        applied = network.apply(network.params, images(), layers=("stem",))[1]
        np.testing.assert_array_equal(np.asarray(read["stem"]), applied["stem"])
        for method in (network.apply, network.activations):
            for layer, reason in [
                ("block.inner", "runs inside a transformation"),
                ("block", "transformation"),
            ]:
                with pytest.raises(ValueError, match=reason):
                    method(network.params, images(), layers=(layer,))
        with pytest.raises(ValueError, match="`edits`: .* inside a transformation"):
            network.apply(network.params, images(), edits={"block.inner": ablate([0], 3)})


class TestNnx:
    class Nested(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.stem = nnx.Sequential(
                nnx.Linear(3, 4, rngs=rngs),
                nnx.relu,
                nnx.Sequential(nnx.Linear(4, 4, rngs=rngs), nnx.tanh),
            )
            self.blocks = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(11)])
            self.heads = nnx.Dict(good=nnx.Linear(4, 2, rngs=rngs))
            self.plain = nnx.data([nnx.Linear(2, 2, rngs=rngs)])
            self.pair = nnx.data((nnx.Linear(2, 2, rngs=rngs), (nnx.relu, nnx.tanh)))
            self.scales = nnx.List([nnx.Param(jnp.ones(()))])
            self.again = self.blocks[0]
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.calls = nnx.Variable(jnp.zeros((), jnp.int32))

        def __call__(self, x, *, scale=1.0):
            assert isinstance(self.blocks[3], nnx.Linear) and self.blocks[3].out_features == 4
            self.calls.set_value(self.calls.get_value() + 1)
            x = self.drop(self.stem(x))
            for block in self.blocks:
                x = block(x) + block.kernel.get_value().mean()
            for layer in (self.pair[0], *self.pair[1]):
                x = layer(x) if layer is not self.pair[0] else layer(self.heads.good(x))
            return self.plain[0](x) * scale

    def test_names_are_paths_in_order_of_definition(self):
        network = NnxNetwork(self.Nested())
        assert network.layer_names == (
            *("stem", "stem.layers.0", "stem.layers.1", "stem.layers.2"),
            *("stem.layers.2.layers.0", "stem.layers.2.layers.1"),
            *(f"blocks.{index}" for index in range(11)),
            *("heads.good", "plain.0", "pair.0", "pair.1.0", "pair.1.1", "again", "drop"),
        )

    def test_nested_layers_are_recorded_and_edited(self):
        network = NnxNetwork(self.Nested())
        layers = tuple(name for name in network.layer_names if name != "again")
        output, activations = network.apply(network.params, images(), layers=layers)
        assert set(activations) == set(layers)
        relu = np.maximum(activations["stem.layers.0"], 0)
        np.testing.assert_array_equal(activations["stem.layers.1"], relu)
        np.testing.assert_array_equal(activations["stem"], activations["stem.layers.2"])
        np.testing.assert_array_equal(activations["plain.0"], output)
        for name in layers:
            no_progress = {name: Edit(jnp.zeros(()), jnp.ones(()))}
            changed, _ = network.apply(network.params, images(), edits=no_progress)
            assert np.abs(changed - output).max() > 1e-4, name

    def test_module_and_parameters_are_never_written(self):
        module = self.Nested()
        network = NnxNetwork(module, scale=2.0)
        before = jax.tree.map(jnp.copy, network.params)
        output, _ = network.apply(network.params, images(), layers=("blocks.3",))
        jax.tree.map(np.testing.assert_array_equal, network.params, before)
        assert int(module.calls.get_value()) == 0
        assert not module.drop.deterministic  # still in training mode
        assert type(module.blocks[3]) is nnx.Linear
        module.eval()
        np.testing.assert_array_equal(output, module(images(), scale=2.0))
        assert int(module.calls.get_value()) == 1
        again, _ = network.apply(network.params, images())
        np.testing.assert_array_equal(output, again)

    def test_normalisation_uses_the_running_average(self):
        network, _ = probed_network("nnx convolutional")
        alone, _ = network.apply(network.params, images(4)[:1])
        together, _ = network.apply(network.params, images(4))
        np.testing.assert_allclose(alone, together[:1], rtol=1e-5, atol=1e-6)


class TestLinen:
    class Doubled(nn.Dense):
        def __call__(self, inputs):
            return 2 * super().__call__(inputs)

    class Nested(nn.Module):
        def setup(self):
            self.trunk = nn.Sequential([nn.Dense(4), nn.relu, TestLinen.Doubled(4)])
            self.named = TestLinen.Doubled(2)

        def __call__(self, x):
            return self.named(self.trunk(x))

    def test_nested_names_and_calls_of_super(self):
        module = self.Nested()
        network = LinenNetwork(module, module.init(jax.random.key(0), images()))
        names = ("trunk.layers_0", "trunk.layers_2", "trunk", "named")
        assert network.layer_names(images()) == names
        output, activations = network.apply(network.params, images(), layers=names)
        np.testing.assert_array_equal(activations["named"], output)
        halved, _ = network.apply(
            network.params, images(), edits={"named": Edit(jnp.full((), 0.5), jnp.zeros(()))}
        )
        np.testing.assert_array_equal(halved, output / 2)


class TestAsNetwork:
    def test_nnx_module(self):
        network = as_network(TestCalls.Calls())
        assert isinstance(network, NnxNetwork)

    @pytest.mark.parametrize("model", [nn.Dense(3), lambda x: x], ids=["linen", "function"])
    def test_others_are_told_of_the_adapters(self, model):
        with pytest.raises(TypeError, match=r"LinenNetwork\(module, .*StagedNetwork\(stages, "):
            as_network(model)


class TestOtherModels:
    """Models of other frameworks, which need not be installed: their classes tell."""

    def model_of(self, *homes):
        base = object
        for home in reversed(homes):
            base = type("Model", (base,), {"__module__": home})
        return base()

    @pytest.mark.parametrize(
        ("homes", "advice"),
        [
            (("mine", "torch.nn.modules.module"), r"is a PyTorch module, .*load_weights\(module"),
            (("timm.models.resnet", "torch.nn.modules.module"), "is a PyTorch model of timm"),
            (
                ("transformers.models.vit.modeling_vit", "torch.nn.modules.module"),
                "is a PyTorch model of transformers",
            ),
            (
                ("transformers.models.vit.modeling_flax_vit", "transformers.modeling_flax_utils"),
                r'LinenNetwork\(model.module, {"params": model.params}\)',
            ),
            (("mine", "equinox._module._module"), r"equinox.partition\(model, equinox.is_array\)"),
            (("mine", "keras.src.models.model"), "is a Keras model: (?s:.)*stateless_call"),
            (("tensorflow.python.module.module",), "is a TensorFlow model"),
            (("haiku._src.transform",), "is a transformed Haiku function"),
        ],
    )
    def test_frameworks(self, homes, advice):
        with pytest.raises(TypeError, match=f"`model` .*Model.* must be .*{advice}"):
            as_network(self.model_of(*homes))

    @pytest.mark.parametrize(
        ("model", "advice"),
        [
            (TestCalls.Calls, r"not its class: Calls\(\.\.\.\)"),
            ("vgg16", r"`pretrained\(name\)` and `load_network\(name, file\)`"),
            ({"conv1.weight": 1}, "weights alone are no network"),
            ((nn.Dense(3), {}), r"LinenNetwork\(module, variables\)"),
            (nnx.split(nnx.Linear(2, 2, rngs=nnx.Rngs(0))), r"nnx.merge\(graphdef, state\)"),
        ],
        ids=["class", "name", "weights", "linen pair", "nnx pair"],
    )
    def test_what_is_nearly_a_model(self, model, advice):
        with pytest.raises(TypeError, match=f"`model` .* must be .*{advice}"):
            as_network(model)

    def test_the_real_torch(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(TypeError, match=r"`model` \(=Linear\) .* is a PyTorch module"):
            as_network(torch.nn.Linear(2, 2))

    def test_the_way_for_equinox(self):
        equinox = pytest.importorskip("equinox")

        class Model(equinox.Module):
            conv1: Any

            def __call__(self, x):
                x = self.conv1(x)
                x = jnp.moveaxis(checkpoint_name(jnp.moveaxis(x, 0, -1), "conv1"), -1, 0)
                return x.mean((1, 2))

        model = Model(equinox.nn.Conv2d(3, 4, 3, key=jax.random.key(0)))
        with pytest.raises(TypeError, match="jax.vmap.model..jnp.moveaxis.images, -1, 1"):
            as_network(model)
        params, static = equinox.partition(model, equinox.is_array)

        def named(params, images, tap):
            del tap
            model = equinox.combine(params, static)
            return jax.vmap(model)(jnp.moveaxis(images, -1, 1))

        def by_parts(params, images, tap):
            model = equinox.combine(params, static)
            x = jax.vmap(model.conv1)(jnp.moveaxis(images, -1, 1))
            return tap("conv1", jnp.moveaxis(x, 1, -1)).mean((1, 2))

        expected = jax.vmap(model)(jnp.moveaxis(images(), -1, 1))
        for run in (named, by_parts):
            network = TappedNetwork(run, params)
            output, found = network.apply(params, images(), layers=("conv1",))
            np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found["conv1"].mean((1, 2)), expected, rtol=1e-5, atol=1e-6)
            edited, _ = network.apply(params, images(), edits={"conv1": ablate(range(4), 4)})
            np.testing.assert_array_equal(edited, np.zeros((2, 4)))


def test_parameters_on_an_explicit_mesh_are_moved():
    mesh = jax.make_mesh((4,), ("data",))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    network = NnxNetwork(TestCalls.Calls())
    network.params = jax.device_put(network.params, whole)
    moved = as_network(network)
    for leaf, old in zip(*map(jax.tree.leaves, (moved.params, network.params)), strict=True):
        assert leaf.sharding.mesh.axis_types == (jax.sharding.AxisType.Auto,)
        np.testing.assert_array_equal(leaf, old)
    with jax.set_mesh(mesh), pytest.raises(ValueError, match="`jax.set_mesh` has set a mesh"):
        as_network(network)


def test_a_linen_module_in_training_mode_is_told_what_to_pass():
    class Module(nn.Module):
        @nn.compact
        def __call__(self, x, train=True):
            x = nn.Conv(2, (1, 1), name="conv")(x)
            return nn.Dropout(0.5, deterministic=not train, name="drop")(x)

    module = Module()
    variables = module.init(jax.random.key(0), images(), train=False)
    training = LinenNetwork(module, variables)
    with pytest.raises(ValueError, match=r"runs as in training: .*pass .*, train=False\)"):
        training.activations(variables, images(), layers=("drop",))
    for network, layer in (
        (training, "conv"),
        (LinenNetwork(module, variables, train=False), "drop"),
    ):
        assert network.activations(variables, images(), layers=(layer,))[layer].shape[-1] == 2


def test_a_layer_that_is_no_map_is_named():
    network = StagedNetwork({"flat": lambda params, x: x.reshape(2, -1)}, jnp.ones(()))
    message = "layer 'flat' gives (2, 192), which must be [B, h, w, U] or [B, T, U]"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer_shapes(network, images(), ("flat",))


class TestReference:
    """The reference's hooks on linear a, tanh b, linear c, sigmoid d."""

    def stages(self):
        return {
            "a": lambda params, x: x @ params["w:a.weight"].T + params["w:a.bias"][None],
            "b": lambda params, x: jnp.tanh(x),
            "c": lambda params, x: x @ params["w:c.weight"].T + params["w:c.bias"][None],
            "d": lambda params, x: jax.nn.sigmoid(x),
        }

    def test_recording_editing_and_parts(self):
        arrays, meta = golden.load("nethook")
        params = {name: jnp.asarray(a) for name, a in arrays.items() if name.startswith("w:")}
        stages = self.stages()
        network = StagedNetwork(stages, params)
        x = jnp.asarray(arrays["x"])
        # The reference scales by 1 - 0.3 and adds 0.3 times the replacement.
        edits = {"b": Edit(jnp.full((), 0.7), 0.3 * jnp.asarray(arrays["replacement"]))}
        full, kept = network.apply(params, x, layers=("b", "c"))
        edited, kept_while_edited = network.apply(params, x, layers=("b",), edits=edits)
        part = StagedNetwork({name: stages[name] for name in meta["sub_names"]}, params)
        inner = jnp.asarray(arrays["c_in"])
        for name, actual in {
            "full": full,
            "retained_b": kept["b"],
            "retained_c": kept["c"],
            "upto_b": network.activations(params, x, layers=("b",))["b"],
            "edited": edited,
            "retained_b_while_edited": kept_while_edited["b"],
            "after_remove": network.apply(params, x)[0],
            "sub_out": part.apply(params, inner)[0],
            "only_c": stages["c"](params, inner),
        }.items():
            np.testing.assert_allclose(actual, arrays[name], rtol=1e-5, atol=1e-6, err_msg=name)
