"""What has no module of its own becomes a layer: named, sown and perturbed values."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from support.probed_networks import images

from jaxdissect.classifiers import ablation_sweep
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.adapters.linen_network import LinenNetwork
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.networks.adapters.tapped_network import TappedNetwork
from jaxdissect.networks.edits import Edit, ablate
from jaxdissect.networks.network import layer_shapes


def fused(x, kernel):
    """A block of the user's whose activations no module gives."""
    return checkpoint_name(jax.nn.relu(x @ kernel), "fused.post")


class NnxFused(nnx.Module):
    def __init__(self, wrap=lambda f: f):
        self.stem = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
        self.kernel = nnx.Param(jnp.asarray(np.eye(4, 5, dtype=np.float32)))
        self.head = nnx.Linear(5, 2, rngs=nnx.Rngs(1))
        self.wrap = wrap

    def __call__(self, x):
        return self.head(self.wrap(fused)(self.stem(x), self.kernel[...]))


class LinenFused(nn.Module):
    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.normal(1.0), (4, 5))
        return nn.Dense(2, name="head")(fused(nn.Dense(4, name="stem")(x), kernel))


def tapped(params, x, tap):
    x = tap("stem", x @ params["stem"])
    return fused(x, params["kernel"]) @ params["head"]


def staged_fused(known):
    stages = {
        "stem": lambda params, x: x @ params["stem"],
        "head": lambda params, x: fused(x, params["kernel"]) @ params["head"],
    }
    random = np.random.RandomState(0)
    shapes = {"stem": (3, 4), "kernel": (4, 5), "head": (5, 2)}
    params = {
        name: jnp.asarray(random.standard_normal(shape).astype(np.float32))
        for name, shape in shapes.items()
    }
    return StagedNetwork(stages, params) if known else TappedNetwork(tapped, params)


NETWORKS = {
    "nnx": lambda: NnxNetwork(NnxFused()),
    "nnx remat": lambda: NnxNetwork(NnxFused(jax.checkpoint)),
    "nnx jit": lambda: NnxNetwork(NnxFused(jax.jit)),
    "linen": lambda: LinenNetwork(LinenFused(), LinenFused().init(jax.random.key(0), images())),
    "staged": lambda: staged_fused(known=True),
    "tapped": lambda: staged_fused(known=False),
}


@pytest.mark.parametrize("kind", NETWORKS)
class TestNamedValues:
    def test_they_are_recorded_beside_modules(self, kind):
        network = NETWORKS[kind]()
        plain, _ = network.apply(network.params, images())
        layers = ("fused.post", "stem")
        output, applied = network.apply(network.params, images(), layers=layers)
        np.testing.assert_allclose(output, plain, rtol=1e-6)
        eager = network.activations(network.params, images(), layers=layers)
        read = jax.jit(partial(network.activations, layers=layers))
        jitted = read(network.params, images())
        assert set(applied) == set(eager) == set(jitted) == set(layers)
        for found in (eager, jitted):
            for name in layers:
                np.testing.assert_allclose(found[name], applied[name], rtol=1e-5, atol=1e-6)
        assert applied["fused.post"].shape == (2, 8, 8, 5)
        assert applied["fused.post"].min() == 0 < applied["fused.post"].max()
        shapes = layer_shapes(network, images(), ("fused.post",))
        assert shapes["fused.post"].shape == (2, 8, 8, 5)

    def test_they_are_edited(self, kind):
        network = NETWORKS[kind]()
        original, found = network.apply(network.params, images(), layers=("fused.post",))
        gone = {"fused.post": ablate(range(5), 5)}
        edited, kept = network.apply(network.params, images(), layers=("fused.post",), edits=gone)
        np.testing.assert_array_equal(kept["fused.post"], found["fused.post"])
        assert np.ptp(np.asarray(edited), axis=(0, 1, 2)).max() == 0
        assert np.abs(edited - original).max() > 1e-3
        many = Edit(jnp.array([0.0, 0.5, 1.0]), jnp.zeros(3))
        mapped = jax.vmap(
            lambda edit: network.apply(network.params, images(), edits={"fused.post": edit})[0]
        )(many)
        np.testing.assert_allclose(mapped[0], edited, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mapped[2], original, rtol=1e-5, atol=1e-6)

    def test_edits_reach_layers_further_on_only(self, kind):
        network = NETWORKS[kind]()
        read = partial(network.activations, network.params, images())
        stem = read(layers=("stem",))["stem"]
        gone = {"fused.post": ablate(range(5), 5)}
        np.testing.assert_array_equal(read(layers=("stem",), edits=gone)["stem"], stem)
        upstream = read(layers=("fused.post",), edits={"stem": ablate(range(4), 4)})
        biased = kind.startswith("nnx") or kind == "linen"
        expected = read(layers=("fused.post",))["fused.post"] * 0
        if not biased or kind.startswith("nnx"):  # biases are zero at first
            np.testing.assert_array_equal(upstream["fused.post"], expected)

    def test_unknown_names(self, kind):
        network = NETWORKS[kind]()
        for method in (network.apply, network.activations):
            with pytest.raises(ValueError, match=r"`layers`: no layer 'fused\.pre'; .*fused\.post"):
                method(network.params, images(), layers=("fused.pre",))
            with pytest.raises(
                ValueError, match=r"`edits`: no layer 'fused\.pre'.*checkpoint_name"
            ):
                edits = {"fused.pre": ablate([0], 5)}
                method(network.params, images(), layers=("stem",), edits=edits)
            with pytest.raises(ValueError, match="is called 1 times .* no call 'fused.post@2'"):
                method(network.params, images(), layers=("fused.post@2",))


class TestWhatFollows:
    def named(self, what_follows):
        def run(params, x, tap):
            x = checkpoint_name(tap("stem", x + params), "named")
            return what_follows(x)

        return TappedNetwork(run, jnp.ones(()))

    def test_what_follows_may_fail(self):
        def fail(x):
            raise AssertionError("ran past")

        network = self.named(fail)
        found = network.activations(network.params, images(), layers=("named", "stem"))
        np.testing.assert_array_equal(found["named"], images() + 1)
        with pytest.raises(AssertionError, match="ran past"):
            network.apply(network.params, images(), layers=("named",))
        with pytest.raises(AssertionError, match="ran past"):
            network.activations(network.params, images(), layers=("other",))

    def test_what_follows_is_not_run(self):
        ran = []

        def follow(x):
            jax.debug.callback(lambda value: ran.append(1), x.sum())
            return x

        network = self.named(follow)
        network.activations(network.params, images(), layers=("named",))
        jax.effects_barrier()
        assert not ran
        network.apply(network.params, images(), layers=("named",))
        jax.effects_barrier()
        assert ran

    def test_names_that_are_used_twice_are_numbered(self):
        network = self.named(lambda x: checkpoint_name(2 * x, "named"))
        read = partial(network.activations, network.params, images())
        for method in (read, partial(network.apply, network.params, images())):
            with pytest.raises(ValueError, match="'named' is called more than once"):
                method(layers=("named",))
        found = read(layers=("named@1", "named@2"))
        np.testing.assert_array_equal(2 * found["named@1"], found["named@2"])

    def test_loops_are_out_of_reach(self):
        def loop(x):
            step = lambda x, _: (checkpoint_name(x, "inner"), None)  # noqa: E731
            return jax.lax.scan(step, x, None, length=2)[0]

        network = self.named(loop)
        for method in (network.apply, network.activations):
            with pytest.raises(ValueError, match="`layers`: layer 'inner' runs inside a transf"):
                method(network.params, images(), layers=("inner",))
        with pytest.raises(ValueError, match="`edits`: layer 'inner' runs inside a transformation"):
            network.apply(network.params, images(), edits={"inner": ablate([0], 3)})

    def test_one_name_for_two_things(self):
        network = self.named(lambda x: checkpoint_name(x, "stem"))
        with pytest.raises(ValueError, match="'stem' is the name of a layer and"):
            network.apply(network.params, images(), layers=("stem", "named"))

    def test_values_within_vmap(self):
        def each(params, x, tap):
            del tap
            return jax.vmap(lambda image: checkpoint_name(image * params, "each").mean())(x)

        network = TappedNetwork(each, jnp.full((), 2.0))
        found = network.activations(network.params, images(), layers=("each",))
        np.testing.assert_array_equal(found["each"], 2 * images())


def within_vmap(*, named=lambda kernel, x: checkpoint_name(kernel @ x, "h"), **how):
    """A network whose jax.vmap has the axis of the examples in the middle of what is named."""

    def run(kernel, tokens, tap):
        del tap
        return jax.vmap(lambda x: 3 * named(kernel, x), **how)(tokens)

    return TappedNetwork(run, jnp.asarray(RANDOM.standard_normal((4, 4)).astype(np.float32)))


RANDOM = np.random.RandomState(0)


class TestValuesWithinVmap:
    @pytest.mark.parametrize("count", [1, 3, 4])
    @pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.checkpoint])
    def test_the_examples_come_first(self, count, wrap):
        network = within_vmap(named=wrap(lambda kernel, x: checkpoint_name(kernel @ x, "h")))
        tokens = RANDOM.standard_normal((count, 4, 5)).astype(np.float32)
        due = jnp.einsum("ts,bsu->btu", network.params, tokens)
        output, applied = network.apply(network.params, tokens, layers=("h",))
        np.testing.assert_allclose(output, 3 * due, rtol=1e-5, atol=1e-6)
        read = jax.jit(partial(network.activations, layers=("h",)))
        for found in (applied, read(network.params, tokens)):
            np.testing.assert_allclose(found["h"], due, rtol=1e-5, atol=1e-6)
        shapes = layer_shapes(network, tokens, ("h",))
        assert shapes["h"].shape == (count, 4, 5)
        each = jnp.arange(1.0, count + 1)[:, None, None]
        edits = {"h": Edit(each, jnp.zeros(()))}
        edited, _ = network.apply(network.params, tokens, edits=edits)
        np.testing.assert_allclose(edited, 3 * each * due, rtol=1e-5, atol=1e-6)
        mapped = jax.vmap(lambda edit: network.apply(network.params, tokens, edits=edit)[0])
        both = mapped({"h": Edit(jnp.stack([each, 0 * each]), jnp.zeros(2))})
        np.testing.assert_allclose(both[0], edited, rtol=1e-5, atol=1e-6)
        assert not both[1].any()

    REFUSED = {
        "constant": (
            lambda kernel, x: x * checkpoint_name(2 * kernel[:1, :1], "h"),
            r"shape \(1, 1\), no axis grows",
        ),
        "nested": (
            lambda kernel, x: jax.vmap(lambda v: checkpoint_name(kernel @ v, "h"), 1)(x),
            "there is a jax.vmap around it",
        ),
    }

    @pytest.mark.parametrize("case", REFUSED)
    def test_where_it_cannot_be_told_it_is_refused(self, case):
        named, why = self.REFUSED[case]
        network = within_vmap(named=named)
        tokens = np.ones((4, 4, 5), np.float32)
        for method in (network.apply, network.activations):
            with pytest.raises(ValueError, match=f"`layers`: 'h' is named within jax.vmap.*{why}"):
                method(network.params, tokens, layers=("h",))
        with pytest.raises(ValueError, match=f"`edits`: 'h' is named within jax.vmap.*{why}"):
            network.apply(network.params, tokens, edits={"h": ablate([0], 4)})

    def test_several_axes_that_grow(self):
        def run(params, x, tap):
            del params, tap
            return jax.vmap(lambda v: checkpoint_name(x @ v, "h"))(x)

        network = TappedNetwork(run, jnp.ones(()))
        with pytest.raises(ValueError, match=r"axes \[0, 1\] grow with the number of examples"):
            network.apply(network.params, np.ones((4, 3), np.float32), layers=("h",))

    def test_networks_for_one_number_of_examples(self):
        def run(params, x, tap):
            del tap
            return jax.vmap(lambda v, w: checkpoint_name(v * w, "h"))(x, params)

        network = TappedNetwork(run, jnp.ones((4, 3)))
        with pytest.raises(ValueError, match="twice as many examples do not get as far: vmap got"):
            network.apply(network.params, np.ones((4, 3), np.float32), layers=("h",))


class NnxSown(nnx.Module):
    class Block(nnx.Module):
        def __init__(self):
            self.inner = nnx.Linear(3, 4, rngs=nnx.Rngs(0))

        def __call__(self, x):
            x = nnx.relu(self.inner(x))
            self.sow(nnx.Intermediate, "kept", x)
            return self.perturb("passed", 2 * x)

    def __init__(self):
        self.block = NnxSown.Block()

    def __call__(self, x):
        x = self.block(x)
        self.sow(nnx.Intermediate, "last", x)
        return x


class LinenSown(nn.Module):
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Dense(4)(x))
            self.sow("intermediates", "kept", x)
            return self.perturb("passed", 2 * x)

    def setup(self):
        self.block = LinenSown.Block()

    def __call__(self, x):
        x = self.block(x)
        self.sow("intermediates", "last", x)
        return x


def linen_sown():
    variables = LinenSown().init(jax.random.key(0), images())
    return LinenNetwork(LinenSown(), {"params": variables["params"]})


@pytest.mark.parametrize("make", [lambda: NnxNetwork(NnxSown()), linen_sown], ids=["nnx", "linen"])
class TestSownValues:
    def test_they_are_recorded(self, make):
        network = make()
        layers = ("block.kept", "block.passed", "last", "block")
        output, found = network.apply(network.params, images(), layers=layers)
        read = jax.jit(partial(network.activations, layers=layers))
        for activations in (found, read(network.params, images())):
            np.testing.assert_allclose(activations["last"], output, rtol=1e-6)
            np.testing.assert_allclose(2 * activations["block.kept"], output, rtol=1e-6)
            np.testing.assert_allclose(activations["block.passed"], output, rtol=1e-6)
        for name in layers:
            assert layer_shapes(network, images(), (name,))[name].shape == (2, 8, 8, 4)

    def test_what_is_passed_on_can_be_edited(self, make):
        network = make()
        half = Edit(jnp.full((), 0.5), jnp.zeros(()))
        plain, _ = network.apply(network.params, images())
        edited, found = network.apply(
            network.params, images(), layers=("last", "block.kept"), edits={"block.passed": half}
        )
        np.testing.assert_allclose(edited, plain / 2, rtol=1e-6)
        np.testing.assert_array_equal(found["last"], edited)
        for method in (network.apply, network.activations):
            with pytest.raises(ValueError, match="'block.kept' is kept by `sow`.*checkpoint_name"):
                method(network.params, images(), layers=("last",), edits={"block.kept": half})

    def test_they_are_listed(self, make):
        network = make()
        with pytest.raises(ValueError, match=r"no layer 'x'; valid names: .*block\.kept.*last"):
            network.apply(network.params, images(), layers=("x",))


class NnxReadsSown(nnx.Module):
    """Uses what a child keeps, as networks with auxiliary losses do."""

    class Block(nnx.Module):
        kept: nnx.Intermediate
        passed: nnx.Cache

        def __call__(self, x):
            self.sow(nnx.Intermediate, "kept", 3 * x, init_fn=lambda: 1, reduce_fn=jnp.add)
            return self.perturb("passed", x, variable_type=nnx.Cache)

    def __init__(self):
        self.block = NnxReadsSown.Block()

    def __call__(self, x):
        return self.block(x) + self.block.kept[...] + self.block.passed[...]


@pytest.mark.filterwarnings("ignore:(?s).*Module:DeprecationWarning")
def test_what_is_kept_can_be_read_by_the_network():
    network = NnxNetwork(NnxReadsSown())
    due = NnxReadsSown()(images())
    for layers in ((), ("block.kept",)):
        output, found = network.apply(network.params, images(), layers=layers)
        np.testing.assert_array_equal(output, due)
    np.testing.assert_array_equal(found["block.kept"], 3 * images())


def test_an_experiment_takes_them():
    class Pictures:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return {"image": np.asarray(images()[index]), "scene": index}

    def scores(params, x, tap):
        return tapped(params, x, tap).mean((1, 2))

    network = TappedNetwork(scores, staged_fused(known=False).params)
    sweep = ablation_sweep(
        network, Pictures(), "fused.post", single_unit_masks(5), label_key="scene"
    )
    assert sweep.damage().shape == (5, 2)
