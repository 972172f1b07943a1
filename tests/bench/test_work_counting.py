"""Work counted by hand: published figures, XLA's own count, loops, gradients and platforms."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax import lax

from jaxdissect.bench.work_counting import Counts, count_work, size_in_bytes
from jaxdissect.bench.workloads.seeded_networks import SEEDED
from jaxdissect.networks.convolution import conv2d


def abstract(name, image_size, narrower=1):
    """A function, its parameters as shapes, and one image as a shape."""
    definition, params = nnx.split(nnx.eval_shape(lambda: SEEDED[name].build(image_size, narrower)))
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    return lambda params, images: nnx.merge(definition, params)(images), params, image


@pytest.mark.parametrize(
    ("name", "giga"),
    # Multiplications with their addition as torchvision 0.26 prints them beside its weights.
    [("vgg16", 15.47), ("resnet50", 4.09), ("vit_base", 17.56), ("mobilenet_v2", 0.30)],
)
def test_published_figures(name, giga):
    counts = count_work(*abstract(name, 224))
    assert counts.products == pytest.approx(2e9 * giga, rel=0.01 if giga > 1 else 0.02)


def test_xla_counts_about_the_same():
    forward, params, images = abstract("vgg16", 64, 16)
    by_hand = count_work(forward, params, images, padding=False)
    found: Any = jax.jit(forward).lower(params, images).compile().cost_analysis()
    assert by_hand.products + by_hand.operations == pytest.approx(found["flops"], rel=0.06)


def test_a_convolution_by_hand():
    maps, kernel = jnp.zeros((2, 6, 8, 3)), jnp.zeros((3, 3, 3, 5))
    counts = count_work(lambda x, k: conv2d(x, k), maps, kernel)
    assert counts.products == 2 * (2 * 6 * 8 * 5) * (3 * 3 * 3)
    assert counts.bytes == size_in_bytes((maps, kernel, jnp.zeros((2, 6, 8, 5))))
    inside = count_work(lambda x, k: conv2d(x, k), maps, kernel, padding=False)
    # Along an axis of n places, 3 n - 2 of the 3 n places of the kernel read a number.
    assert inside.products == 2 * 2 * (3 * 6 - 2) * (3 * 8 - 2) * 5 * 3


@pytest.mark.parametrize("stride", [1, 2])
def test_a_gradient_costs_as_much_as_the_convolution(stride):
    maps, kernel = jnp.zeros((2, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))

    def total(maps, kernel):
        return conv2d(maps, kernel, strides=(stride, stride), padding=((1, 1), (1, 1))).sum()

    once = count_work(total, maps, kernel).products
    for argument in (0, 1):
        both = count_work(jax.grad(total, argument), maps, kernel).products
        assert both == pytest.approx(2 * once, rel=0.1)


def test_loops_count_as_often_as_they_run():
    matrix = jnp.zeros((4, 4))
    once = count_work(lambda x: x @ x, matrix)
    looped = count_work(
        lambda x: lax.scan(lambda y, _: (y @ x, None), x, None, length=7)[0], matrix
    )
    assert looped.products == 7 * once.products
    mapped = count_work(lambda x: lax.map(lambda row: row @ x, x, batch_size=3), matrix)
    assert mapped.products == once.products
    with pytest.raises(ValueError, match="only when it runs"):
        count_work(lambda x: lax.while_loop(lambda y: y.sum() < 3, lambda y: y @ x, x), matrix)


def test_what_shapes_do_not_tell_is_refused():
    with pytest.raises(ValueError, match="`function` calls cholesky, whose work"):
        count_work(jnp.linalg.cholesky, jnp.eye(4))


def test_what_most_platforms_do_is_counted():
    matrix = jnp.zeros((4, 4))
    counts = count_work(
        lambda x: lax.platform_dependent(x, cpu=lambda x: x @ x @ x, default=lambda x: x @ x),
        matrix,
    )
    assert counts.products == 2 * 4**3


def test_other_operations_and_bytes():
    x = jnp.zeros((3, 5))
    assert count_work(lambda x: jnp.maximum(x + 1, 0), x).operations == 2 * 15
    assert count_work(lambda x: x.sum(), x).operations == 15
    assert count_work(lambda x: x.T.reshape(5, 3), x).operations == 0
    assert count_work(lambda x: x + 1, x).bytes == 2 * 15 * 4


def test_scattering_counts_what_is_added():
    whole, places, added = jnp.zeros(1000), jnp.array([3, 5]), jnp.ones(2)
    counts = count_work(lambda a, i, v: a.at[i].add(v), whole, places, added)
    assert 2 <= counts.operations <= 10  # with what is done to negative places


def test_counts_add_up():
    counts = Counts(1.0, 2.0, 3.0) + Counts(1.0, 1.0, 1.0) * 2
    assert counts == Counts(3.0, 4.0, 5.0)
    assert counts.as_work("by hand").counted == "by hand"
