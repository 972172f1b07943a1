import jax
import jax.numpy as jnp
import pytest
from jax.experimental import pallas as pl
from jax.sharding import NamedSharding, PartitionSpec

from jaxdissect.bench.measuring.analysis import NotCounted, analyse, operations, several
from jaxdissect.engine.devices import data_mesh

SIZE, TURNS = 32, 7
SQUARE = jnp.ones((SIZE, SIZE))
STACK = jnp.ones((TURNS, SIZE, SIZE))
PRODUCT = 2 * SIZE**3


def counted(function, *arguments):
    return analyse(jax.jit(function), arguments)


def test_a_product_is_counted_as_by_hand():
    work = counted(lambda x: x @ x, SQUARE)
    assert work.products == PRODUCT
    assert work.operations == 0
    assert work.bytes == 2 * 4 * SIZE**2 or work.bytes == 3 * 4 * SIZE**2


def test_products_are_told_from_other_operations():
    work = counted(lambda x: jnp.maximum(x @ x, 0.0) + jnp.exp(x), SQUARE)
    assert work.products == PRODUCT
    assert work.operations == 3 * SIZE**2


def test_a_convolution_is_counted_without_its_padding():
    def convolve(images, kernel):
        names = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=names)

    work = counted(convolve, jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 5)))
    inside = (3 * 8 - 2) ** 2  # pixels of all windows, those outside the image left out
    assert work.products == 2 * 2 * inside * 4 * 5


@pytest.mark.parametrize(
    ("looped", "turns"),
    [
        (lambda x: jax.lax.map(lambda each: each @ each, x), TURNS),
        (lambda x: jax.lax.fori_loop(0, 5, lambda _, each: each @ each, x[0]), 5),
        (
            lambda x: jax.lax.map(
                lambda each: jax.lax.fori_loop(0, 5, lambda _, one: one @ one, each), x
            ),
            5 * TURNS,
        ),
        (
            lambda x: jax.jit(jax.checkpoint(lambda y: jax.lax.map(jnp.dot(y[0], y[0]).dot, y)))(x),
            8,
        ),
    ],
)
def test_the_body_of_a_loop_counts_as_often_as_it_runs(looped, turns):
    work = counted(looped, STACK)
    assert work.products == turns * PRODUCT
    least = turns * 3 * 4 * SIZE**2
    assert 0.5 * least < work.bytes < 10 * least


def test_a_loop_of_one_turn_counts_as_none():
    def step(each):
        return each @ each

    looped = counted(lambda x: jax.lax.map(lambda y: jax.lax.map(step, y), x), STACK[None, :1])
    assert looped.products == PRODUCT
    unrolled = counted(lambda x: jax.lax.fori_loop(0, 1, lambda _, y: y @ y, x), SQUARE)
    assert unrolled.products == PRODUCT


def test_turns_that_are_written_out_are_not_counted_again():
    def unrolled(x):
        return jax.lax.scan(lambda y, _: (y @ y, None), x, None, length=TURNS, unroll=True)[0]

    looped = counted(lambda x: jax.lax.fori_loop(0, TURNS, lambda _, y: y @ y, x), SQUARE)
    work = counted(unrolled, SQUARE)
    assert work.products == looped.products == TURNS * PRODUCT
    assert work.bytes == pytest.approx(looped.bytes, rel=0.5)


def test_loops_count_like_the_same_without_a_loop():
    def step(each):
        return jnp.maximum(each @ each, 0.0)

    looped = counted(lambda x: jax.lax.map(step, x), STACK)
    at_once = counted(jax.vmap(step), STACK)
    assert looped.products == at_once.products
    assert looped.operations == pytest.approx(at_once.operations, rel=0.01)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: jax.lax.while_loop(lambda y: y[0, 0] < 9, lambda y: y @ y, x), "how many turns"),
        (
            lambda x: jax.lax.cond(
                x[0, 0] > 0, lambda y: jax.lax.fori_loop(0, 3, lambda _, z: z @ z, y), jnp.sin, x
            ),
            "whether a loop runs",
        ),
        (
            lambda x: pl.pallas_call(
                lambda left, right: right.__setitem__(..., left[...]),
                out_shape=jax.ShapeDtypeStruct((SIZE, SIZE), jnp.float32),
                interpret=True,
            )(x),
            "Pallas",
        ),
        (
            lambda x: jax.shard_map(
                lambda part: part * 2.0,
                mesh=jax.sharding.Mesh(jax.devices(), "data"),
                in_specs=PartitionSpec("data"),
                out_specs=PartitionSpec("data"),
            )(x),
            "written for each",
        ),
    ],
)
def test_what_cannot_be_counted_is_not(function, reason):
    with pytest.raises(NotCounted, match=reason):
        counted(function, SQUARE)


def test_of_branches_the_dearest_counts():
    work = counted(
        lambda x: jax.lax.cond(x[0, 0] > 0, lambda y: y @ y @ y, lambda y: y @ y, x), SQUARE
    )
    assert work.products == 2 * PRODUCT


@pytest.mark.parametrize(("platform", "products"), [("cpu", 1), ("gpu", 2), ("tpu", 6)])
def test_of_parts_for_platforms_that_of_the_device_counts(platform, products):
    @jax.jit
    def dependent(x):
        return jax.lax.platform_dependent(
            x,
            cpu=lambda y: y @ y,
            cuda=lambda y: jnp.maximum(y @ y @ y, 0.0),
            default=lambda y: jax.lax.fori_loop(0, 6, lambda _, z: z @ z, y),
        )

    program = jax.make_jaxpr(lambda x: dependent(x) + 1.0)(SQUARE)
    found = operations(program, platform)
    assert found.products == products * PRODUCT
    others = 2 if platform == "gpu" else 1
    assert found.all - found.products == pytest.approx(others * SIZE**2, abs=30)


def test_several_devices_count_together():
    mesh = data_mesh(4)
    assert mesh is not None
    arguments = (
        jax.device_put(STACK[:4], NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))),
        jax.device_put(SQUARE, NamedSharding(mesh, PartitionSpec())),
    )
    work = counted(lambda x, y: x @ y, *arguments)
    assert work.products == 4 * PRODUCT
    # Every device reads the second argument.
    assert work.bytes == pytest.approx(4 * 3 * 4 * SIZE**2, rel=0.5)
    with pytest.raises(NotCounted, match="several devices"):
        counted(lambda x, y: jax.lax.map(lambda each: each @ y, x), *arguments)


def test_constants_and_where_values_lie_do_not_matter():
    mesh = data_mesh(4)
    assert mesh is not None
    elsewhere = jax.device_put(SQUARE, jax.devices()[2])
    assert counted(lambda x: x @ elsewhere, elsewhere).products == PRODUCT
    everywhere = NamedSharding(mesh, PartitionSpec())
    spread = jax.device_put(SQUARE, everywhere)
    work = counted(lambda x: jax.lax.with_sharding_constraint(x @ x, everywhere) @ x, spread)
    assert work.products == 2 * PRODUCT


def test_keys_of_random_numbers_may_be_arguments():
    assert counted(jax.random.key_data, jax.random.key(0)).products == 0


def test_loops_of_xla_itself_are_not_counted_as_one_turn():
    # On processors, random numbers are made in a loop that stands nowhere in the program.
    with pytest.raises(NotCounted, match="XLA has made loops"):
        counted(lambda key: jax.random.normal(key, (3,)), jax.random.key(0))


def test_work_of_several_programs_is_added():
    one, other = counted(lambda x: x @ x, SQUARE), counted(jnp.exp, SQUARE)
    both = several((3, one), (2, other))
    assert both.products == 3 * PRODUCT
    assert both.operations == 2 * SIZE**2
    assert both.bytes == 3 * one.bytes + 2 * other.bytes
