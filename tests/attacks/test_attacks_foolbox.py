"""Our attacks against those of foolbox, on the same small network in PyTorch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import toy_attacked as toy

from jaxdissect.attacks import carlini_wagner_l2 as cw
from jaxdissect.attacks import pgd as pgd

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
foolbox: Any = pytest.importorskip("foolbox", reason="foolbox is not installed")

NUMBER = 8


@pytest.fixture(scope="module")
def problem():
    """Images and targets, and the network as foolbox takes it."""
    torch.set_num_threads(1)  # a small network gains nothing from more
    images = toy.images(NUMBER, seed=5)
    params = {name: np.array(value) for name, value in toy.classifier().params.items()}
    convolutions = []
    for place in "12":
        kernel = params[f"kernel{place}"].transpose(3, 2, 0, 1).copy()
        layer = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        layer.weight.data = torch.from_numpy(kernel)
        layer.bias.data = torch.from_numpy(params[f"bias{place}"])
        convolutions.append(layer)
    linear = torch.nn.Linear(toy.UNITS, toy.CLASSES)
    linear.weight.data = torch.from_numpy(params["linear"].T.copy())
    linear.bias.data = torch.from_numpy(params["shift"])
    mean = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    layers = [convolutions[0], torch.nn.ReLU(), torch.nn.MaxPool2d(2), convolutions[1]]
    module = torch.nn.Sequential(*layers, torch.nn.ReLU(), mean, linear).eval()
    prepared = {"mean": 0.5, "std": 0.25}
    model = foolbox.PyTorchModel(module, bounds=(0, 1), preprocessing=prepared, device="cpu")
    shown = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        expected = toy.scores()(toy.scores().params, jnp.asarray(images))
        np.testing.assert_allclose(model(shown).numpy(), expected, 1e-4, 1e-5)
    return images, toy.targets(images), model, shown


def outcome(model, found, wanted, images, targeted=True):
    """Which images succeeded, and how far they are."""
    with torch.no_grad():
        reached = model(found).numpy().argmax(1) == wanted
    apart = found.numpy().transpose(0, 2, 3, 1) - images
    return (reached if targeted else ~reached), np.sqrt((apart**2).sum((1, 2, 3)))


def test_carlini_wagner_is_as_strong(problem):
    images, targets, model, shown = problem
    settings = cw.CarliniWagnerSettings(
        3, 150, learning_rate=2e-2, initial_const=0.3, abort_early=False
    )
    scores = toy.scores()
    ours = cw.carlini_wagner(
        scores, scores.params, jnp.asarray(images), jnp.asarray(targets), settings=settings
    )
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=3, steps=150, stepsize=2e-2, initial_const=0.3, abort_early=False
    )
    goal = foolbox.criteria.TargetedMisclassification(torch.from_numpy(targets.astype(np.int64)))
    success, distance = outcome(model, attack.run(model, shown, goal), targets, images)
    assert success.any() and ours.success.sum() >= success.sum()
    both = success & np.asarray(ours.success)
    medians = np.median(np.asarray(ours.distance)[both]), np.median(distance[both])
    np.testing.assert_allclose(*medians, 0.02)


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("ball", [pgd.EUCLIDEAN, pgd.MAXIMUM], ids=lambda ball: ball.name)
def test_projected_gradients_are_as_strong(problem, ball, targeted):
    """From the originals, where both are the same steps."""
    images, targets, model, shown = problem
    classes = targets if targeted else toy.predictions(images).astype(np.int32)
    epsilon = 0.6 if ball is pgd.EUCLIDEAN else 0.04
    settings = pgd.ProjectedGradientSettings(
        epsilon,
        ball=ball,
        steps=10,
        relative_step=0.1,
        targeted=targeted,
        random_start=False,
        loss=pgd.cross_entropy,
    )
    scores = toy.scores()
    ours = pgd.projected_gradient(
        jax.random.key(0), scores, scores.params, jnp.asarray(images), jnp.asarray(classes),
        settings,
    )  # fmt: skip
    kind = {"L2": foolbox.attacks.L2PGD, "Linf": foolbox.attacks.LinfPGD}[ball.name]
    attack = kind(rel_stepsize=0.1, steps=10, random_start=False)
    kinds = foolbox.criteria
    goal = kinds.TargetedMisclassification if targeted else kinds.Misclassification
    found = attack.run(
        model, shown, goal(torch.from_numpy(classes.astype(np.int64))), epsilon=epsilon
    )
    success, distance = outcome(model, found, classes, images, targeted)
    assert success.any()
    np.testing.assert_array_equal(ours.success, success)
    np.testing.assert_allclose(np.asarray(ours.distance)[success], distance[success], 0.02)
