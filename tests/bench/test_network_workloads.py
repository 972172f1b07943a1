"""Workloads of networks in tiny sizes: right answers pass their gates, wrong ones do not."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.bench.checking.precisions import tolerance_of
from jaxdissect.bench.workloads.attack import ATTACK, AttackSizes
from jaxdissect.bench.workloads.convolution import CONVOLUTION, ConvolutionSizes
from jaxdissect.bench.workloads.forward import FORWARD, ForwardSizes
from jaxdissect.bench.workloads.insertion import INSERTION, InsertionSizes
from jaxdissect.bench.workloads.removals import REMOVALS, RemovalSizes
from jaxdissect.bench.workloads.seeded_networks import make_network
from jaxdissect.bench.workloads.taylor import TAYLOR, TaylorSizes
from jaxdissect.networks.models.layers import PLACES365
from jaxdissect.networks.network import as_network

SMALL_VGG: dict[str, Any] = {"narrower": 32, "image_size": 32}


@functools.cache
def ran(workload, sizes):
    """A workload made ready, the answer of a run, and its gate."""
    prepared = workload.prepare(sizes)
    answer = prepared.program.function(*prepared.program.arguments)
    return prepared, answer, prepared.check(answer)


def small(**options):
    return ForwardSizes(batch=3, **SMALL_VGG, **options)


@pytest.mark.parametrize("precision", ["highest", "default", "bfloat16"])
def test_forward_passes_its_gate(precision):
    layer = "features.relu5_3"
    prepared, (scores, activations), gate = ran(FORWARD, small(precision=precision, layer=layer))
    assert gate.passed, gate
    assert scores.shape == (3, PLACES365)
    assert activations["features.relu5_3"].shape == (3, 2, 2, 16)
    assert prepared.images == 3
    assert prepared.work.products > 0
    assert gate.tolerance == tolerance_of(precision).share


def test_forward_gate_tells_precisions_apart():
    """An answer in bfloat16 fails where float32 was asked for, and one in TF32 where the most."""
    layer = "features.relu5_3"
    exact, (scores, layers), _ = ran(FORWARD, small(precision="highest", layer=layer))
    _, rough, _ = ran(FORWARD, small(precision="bfloat16", layer=layer))
    assert not exact.check(rough).passed
    assert not exact.check((scores * (1 + 2**-11), layers)).passed


@pytest.mark.parametrize("which", [0, -1])
def test_forward_gate_reads_the_first_and_the_last_image(which):
    sizes = small(precision="default", layer="features.relu5_3")
    prepared, (scores, layers), _ = ran(FORWARD, sizes)
    assert not prepared.check((scores.at[which].set(scores[1]), layers)).passed
    assert not prepared.check((scores.at[which, 3].set(jnp.nan), layers)).passed


def test_the_generator_is_timed_too():
    sizes = ForwardSizes(network="proggan", batch=1, image_size=8, narrower=32)
    assert ran(FORWARD, sizes)[2].passed


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    ["resnet50", "vit_base", "efficientnet_lite0", "mobilenet_v2", "upernet_resnet50"],
)
def test_larger_networks(network):
    size = 64 if network == "upernet_resnet50" else 32
    sizes = ForwardSizes(network=network, batch=1, image_size=size)
    assert ran(FORWARD, sizes)[2].passed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "lenet"}, r"`network` \(='lenet'\) must be one of: vgg16"),
        ({"image_size": 100}, "`image_size` .=100. must be a multiple of 32 for vgg16"),
        ({"network": "proggan", "image_size": 100}, "`resolution`"),
        ({"precision": "float8"}, "`precision` .='float8'. must be one of: highest"),
        ({"batch": 0}, "`batch` .=0. must be at least 1"),
        ({"narrower": 3}, "`narrower` .=3. must be 1, 2, 4"),
        ({"network": "vit_base", "narrower": 8}, "`narrower` .=8. must be 1, 2 or 4"),
        ({"network": "mobilenet_v2", "narrower": 2}, "`narrower` .=2. must be 1"),
    ],
)
def test_forward_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ForwardSizes(**options)


def test_forward_refuses_unknown_layers():
    with pytest.raises(ValueError, match="features.conv5_3"):
        FORWARD.prepare(ForwardSizes(batch=1, layer="conv99", **SMALL_VGG))


@pytest.mark.parametrize("form", ["library", "xla"])
@pytest.mark.parametrize("depthwise", [False, True])
def test_convolutions(form, depthwise):
    channels = 8 if depthwise else 128
    sizes = ConvolutionSizes(form=form, batch=2, side=28, channels=channels, depthwise=depthwise)
    prepared, answer, gate = ran(CONVOLUTION, sizes)
    assert gate.passed
    inputs = 1 if depthwise else channels
    assert prepared.work.products == 2 * 2 * 28**2 * channels * inputs * 9
    assert not prepared.check(jnp.roll(answer, 1, axis=1)).passed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "torch"}, "`form`"),
        ({"kernel": 2}, "`kernel` .=2. must be odd"),
        ({"depthwise": True, "units": 3}, "`units` .=3."),
        ({"stride": 0}, "`stride` .=0. must be at least 1"),
        ({"precision": "half"}, "`precision`"),
    ],
)
def test_convolution_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ConvolutionSizes(**options)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["low_rank", "edited"])
def test_removals(method):
    sizes = RemovalSizes(images=2, method=method, narrower=32)
    prepared, (predictions, scores), gate = ran(REMOVALS, sizes)
    assert gate.passed, gate
    assert scores.shape == (17, 2, PLACES365)
    # The scores of another unit's removal, of none, predictions of others: none of these pass.
    assert not prepared.check((predictions, scores.at[1:].set(jnp.roll(scores[1:], 1, 0)))).passed
    nothing = jnp.broadcast_to(scores[:1], scores.shape)
    assert not prepared.check((nothing.argmax(-1).astype(jnp.int32), nothing)).passed
    assert not prepared.check(((predictions + 1) % PLACES365, scores)).passed
    assert not prepared.check((predictions, scores.at[5, 1, 7].set(jnp.inf))).passed


def test_work_of_removals_by_hand():
    """The trunk and the first linear map once, the others for each removal and for none."""
    prepared, _, _ = ran(REMOVALS, RemovalSizes(images=2, narrower=32))
    widths, side, inputs, trunk = (2, 2, 4, 4, 8, 8, 8, 16, 16, 16, 16, 16, 16), 224, 3, 0
    for index, units in enumerate(widths):
        if index in (2, 4, 7, 10):
            side //= 2
        trunk += 2 * 9 * inputs * units * side**2
        inputs = units
    hidden = 4096 // 32
    by_hand = trunk + 2 * 49 * 16 * hidden + 17 * 2 * (hidden**2 + hidden * PLACES365)
    # And the sum over removed units of what each contributes: 16 parts for each.
    assert prepared.work.products == pytest.approx(2 * by_hand, rel=0.01)


def test_removals_refuse():
    with pytest.raises(ValueError, match=r"`method` \(='masked'\) must be one of: low_rank"):
        RemovalSizes(method="masked")
    with pytest.raises(ValueError, match="`images`"):
        RemovalSizes(images=0)
    with pytest.raises(ValueError, match="'edited' always does"):
        REMOVALS.prepare(RemovalSizes(images=1, **SMALL_VGG))


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["features.conv5_3", "features.relu2_2"])
def test_taylor(layer):
    sizes = TaylorSizes(images=3, layer=layer, **SMALL_VGG)
    prepared, (effects, finite), gate = ran(TAYLOR, sizes)
    assert gate.passed, gate
    assert not prepared.check((-effects, finite)).passed
    assert not prepared.check((jnp.roll(effects, 1, axis=1), finite)).passed
    assert not prepared.check((effects, jnp.zeros_like(finite))).passed
    forward = ran(FORWARD, small(precision="default", layer="features.relu5_3"))[0].work.products
    assert forward < prepared.work.products < 3 * forward


def test_taylor_refuses():
    with pytest.raises(ValueError, match="`images`"):
        TaylorSizes(images=0)
    with pytest.raises(ValueError, match="`image_size`"):
        TaylorSizes(image_size=100)


@pytest.mark.slow
def test_insertion():
    prepared, areas, gate = ran(INSERTION, InsertionSizes(images=2, cells=3, together=2))
    assert gate.passed, gate
    assert prepared.images == 2 * 4
    assert len(areas) == 4
    nothing = jnp.broadcast_to(areas[:1], areas.shape)
    assert not prepared.check(nothing).passed
    assert not prepared.check(areas[::-1]).passed
    assert not prepared.check(areas.at[0, 0, -1].set(1)).passed


def test_insertion_refuses():
    cases: list[tuple[dict[str, Any], str]] = [
        ({"generator": "kitchen"}, "`generator` .='kitchen'. must be one of: farm, church"),
        ({"units": 0}, "`units` .=0. must be at least 1"),
        ({"precision": "half"}, "`precision`"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            InsertionSizes(**options)


@pytest.mark.slow
@pytest.mark.parametrize("stop_early", [False, True])
def test_attack(stop_early):
    sizes = AttackSizes(images=3, iterations=30, stop_early=stop_early)
    prepared, answer, gate = ran(ATTACK, sizes)
    assert gate.passed, gate
    steps = prepared.notes["gradient steps"]
    assert steps == int(answer.iterations.sum())
    assert stop_early or steps == 3 * 5 * 30
    images = np.asarray(prepared.program.arguments[1])
    # Unchanged images that are said to be classified as the target; images twice as far; others'
    # distances; images out of bounds; fewer steps.
    for wrong in (
        answer._replace(images=jnp.asarray(images), distance=jnp.zeros(3)),
        answer._replace(distance=answer.distance * 1.1),
        answer._replace(images=answer.images + 1),
        answer._replace(iterations=answer.iterations // 2),
        answer._replace(success=jnp.zeros(3, bool)),
    ):
        assert not prepared.check(wrong).passed


def test_attack_refuses():
    cases: list[tuple[dict[str, Any], str]] = [
        ({"images": 0}, "`images` .=0. must be at least 1"),
        ({"slots": -1}, "`slots` .=-1. must be at least 0"),
        ({"precision": "bfloat16"}, "`precision` .='bfloat16'. must be one of: highest, default"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            AttackSizes(**options)


def test_weights_are_the_same_every_time():
    prepared, _, _ = ran(FORWARD, small(precision="default", layer="features.relu5_3"))
    again = make_network("vgg16", 32, 32)
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.tree.leaves(prepared.program.arguments[0]),
        jax.tree.leaves(as_network(again).params),
    )
