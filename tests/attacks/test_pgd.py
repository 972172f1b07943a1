"""Projected gradients: plain steps, the ball they stay in, invariances, faults."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import toy_attacked as toy

from jaxdissect.attacks import pgd as pgd

WITHIN = pgd.ProjectedGradientSettings(0.6, steps=10, relative_step=0.2)


def within(images, classes, settings=WITHIN, *, slots=3, seed=0, **options):
    scores = toy.scores()
    return pgd.projected_gradient(
        jax.random.key(seed), scores, scores.params, jnp.asarray(images), jnp.asarray(classes),
        settings, slots=slots, **options,
    )  # fmt: skip


@pytest.mark.parametrize("ball", [pgd.EUCLIDEAN, pgd.MAXIMUM], ids=lambda ball: ball.name)
@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("random_start", [True, False])
def test_projected_gradients_stay_in_the_ball(ball, targeted, random_start):
    images = toy.images(7)
    classes = toy.targets(images) if targeted else toy.predictions(images).astype(np.int32)
    epsilon = 0.6 if ball is pgd.EUCLIDEAN else 0.05
    settings = WITHIN._replace(
        epsilon=epsilon, ball=ball, targeted=targeted, random_start=random_start
    )
    found = within(images, classes, settings)
    apart = np.asarray(found.images) - images
    size = np.sqrt((apart**2).sum((1, 2, 3))) if ball.name == "L2" else abs(apart).max((1, 2, 3))
    assert (size <= epsilon + 1e-5).all() and found.success.any()
    assert found.images.min() >= 0 and found.images.max() <= 1
    reached = toy.predictions(found.images) == classes
    np.testing.assert_array_equal(found.success, reached if targeted else ~reached)


@pytest.mark.parametrize("axes", ["Auto", "Explicit"])
def test_projected_gradients_over_devices(axes):
    images = toy.images(7)
    classes = toy.targets(images)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType[axes],))
    found = within(images, classes)
    toy.assert_same(within(images, classes, mesh=mesh), found)
    toy.assert_same(within(images, classes, slots=7), found)


def test_projected_gradient_step_by_step():
    """The same as plain steps, written out."""
    images, scores = toy.images(7), toy.scores()
    classes = jnp.asarray(toy.targets(images))
    settings = WITHIN._replace(random_start=False, steps=4, loss=pgd.cross_entropy)

    def surprise(shown):
        return -jax.nn.log_softmax(scores(scores.params, shown))[jnp.arange(7), classes].sum()

    shown = jnp.asarray(images)
    for _ in range(4):
        slope = jax.grad(surprise)(shown)
        slope /= jnp.sqrt((slope**2).sum((1, 2, 3), keepdims=True))
        apart = shown - 0.2 * 0.6 * slope - images
        length = jnp.sqrt((apart**2).sum((1, 2, 3), keepdims=True))
        shown = jnp.clip(images + apart * jnp.minimum(1, 0.6 / length), 0, 1)
    found = within(images, classes, settings)
    assert found.success.any()
    expected = np.where(found.success[:, None, None, None], shown, images)
    np.testing.assert_allclose(found.images, expected, atol=1e-5)


def scaled_scores(params, images):
    weights, scale = params
    return (images.reshape(len(images), -1) @ weights) * scale


@pytest.mark.parametrize(
    ("ball", "epsilon", "reached"),
    [(pgd.EUCLIDEAN, 1.5, (1.0, 1.0)), (pgd.MAXIMUM, 0.2, (0.96, 0.56))],
)
def test_scale_of_scores_hides_nothing(ball, epsilon, reached):
    """A linear classifier and the same with greater scores, which predicts the same.

    Linear programs reach 0.969 and 0.609 of these images within the greatest difference.
    """
    random = np.random.default_rng(0)
    weights = jnp.asarray(random.normal(size=(27, 4)), jnp.float32)
    images = jnp.asarray(random.random((64, 3, 3, 3)), jnp.float32)
    predictions = scaled_scores((weights, 1.0), images).argmax(1)

    def success(scale, targeted, **options):
        settings = pgd.ProjectedGradientSettings(epsilon, ball=ball, targeted=targeted, **options)
        classes = (predictions + int(targeted)) % 4
        params = (weights, jnp.float32(scale))
        return np.asarray(
            pgd.projected_gradient(
                jax.random.key(0), scaled_scores, params, images, classes, settings
            ).success
        )

    for targeted, least in zip((False, True), reached, strict=True):
        first = success(1, targeted)
        assert first.mean() >= least
        for scale in (1e-3, 10, 100, 1000, 1e20):
            np.testing.assert_array_equal(success(scale, targeted), first)
    # The cross-entropy finds less and less.
    lost = [success(scale, False, loss=pgd.cross_entropy).mean() for scale in (1, 1000)]
    assert lost[1] < lost[0] - 0.1


def test_smooth_margin_and_its_gradient():
    random = np.random.default_rng(0)
    scores, classes = random.normal(size=(6, 5)), np.array([0, 1, 2, 3, 4, 0])
    scores[5, 4] = -np.inf  # a class that is masked is not ahead
    expected, slopes = [], np.zeros((6, 5))
    for row, (own, target) in enumerate(zip(scores, classes, strict=True)):
        others = [j for j in range(5) if j != target and np.isfinite(own[j])]
        temperature = (own[others].max() - own[others].mean()) / pgd.SHARPNESS
        weights = np.exp((own[others] - own[others].max()) / temperature)
        weights /= weights.sum()
        expected.append(weights @ own[others] - own[target])
        slopes[row, others], slopes[row, target] = weights, -1
    found = jnp.asarray(scores, jnp.float32)
    np.testing.assert_allclose(pgd.smooth_margin(found, jnp.asarray(classes)), expected, 1e-5)
    gradient = jax.grad(lambda z: pgd.smooth_margin(z, jnp.asarray(classes)).sum())
    np.testing.assert_allclose(gradient(found), slopes, atol=1e-5)
    two = jnp.asarray([[1.0, 3.0]])
    np.testing.assert_array_equal(pgd.smooth_margin(two, jnp.asarray([0])), [2.0])


def test_random_starts_depend_on_key_and_place():
    images = np.repeat(toy.images(1), 7, axis=0)
    classes = toy.targets(toy.images(1)).repeat(7)
    settings = WITHIN._replace(steps=1, relative_step=1e-6, targeted=False)
    first, again, other = (within(images, classes, settings, seed=seed) for seed in (0, 0, 1))
    assert first.success.all()
    np.testing.assert_array_equal(first.images, again.images)
    assert len({np.asarray(image).tobytes() for image in [*first.images, *other.images]}) == 14


@pytest.mark.parametrize("ball", [pgd.EUCLIDEAN, pgd.MAXIMUM], ids=lambda ball: ball.name)
def test_random_differences_fill_the_ball(ball):
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: ball.draw(key, (1, 3, 1), jnp.float32))(keys).reshape(-1, 3)
    size = np.linalg.norm(drawn, axis=1) if ball.name == "L2" else abs(drawn).max(1)
    # The size of a uniform point in three dimensions is at most r with probability r cubed.
    for radius in (0.5, 0.8, 1.0):
        assert abs((size <= radius).mean() - radius**3) < 0.03
    assert abs(np.asarray(drawn).mean(0)).max() < 0.04


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (WITHIN._replace(epsilon=0.0), "`epsilon`"),
        (WITHIN._replace(steps=0), "`steps`"),
        (WITHIN._replace(relative_step=-1.0), "`relative_step`"),
        (WITHIN._replace(bounds=(0.0, 0.5)), "must lie within `bounds`"),
    ],
)
def test_projected_gradients_refuse_what_makes_no_sense(settings, message):
    images = toy.images(3)
    with pytest.raises(ValueError, match=message):
        within(images, toy.targets(images), settings)
