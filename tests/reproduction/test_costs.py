"""What experiments cost, counted here from the shapes of layers; and what the plan says."""

import pytest

from jaxdissect.networks.models.alexnet import HIDDEN as ALEXNET_HIDDEN
from jaxdissect.networks.models.alexnet import WIDTHS as ALEXNET_WIDTHS
from jaxdissect.networks.models.proggan import default_sizes
from jaxdissect.networks.models.vgg import HIDDEN, WIDTHS
from jaxdissect.reproduction import needs_of, plan_text, read_experiments
from jaxdissect.reproduction.costs import FLOPS, cost_text, operations
from jaxdissect.reproduction.plan import steps_of
from jaxdissect.reproduction.procedures.procedure import Step

EXPERIMENTS = read_experiments("pnas2020")
CLASSES = 365


def convolution(side, size, inputs, units):
    return 2 * side**2 * size**2 * inputs * units


def vgg16():
    total, inputs = 0, 3
    for block, (units, number) in enumerate(zip(WIDTHS, (2, 2, 3, 3, 3), strict=True)):
        for _ in range(number):
            total += convolution(224 >> block, 3, inputs, units)
            inputs = units
    return total, 2 * (49 * inputs * HIDDEN + HIDDEN**2 + HIDDEN * CLASSES)


def alexnet():
    first, second, third, fourth, fifth = ALEXNET_WIDTHS
    hidden = ALEXNET_HIDDEN
    return (
        convolution(55, 11, 3, first)
        + convolution(27, 5, first // 2, second)
        + convolution(13, 3, second, third)
        + convolution(13, 3, third // 2, fourth)
        + convolution(13, 3, fourth // 2, fifth)
        + 2 * (36 * fifth * hidden + hidden**2 + hidden * CLASSES)
    )


def generator(after=0):
    latent, *units = default_sizes(256)
    layers = [2 * latent * 16 * units[0]]  # 16 cells, each from the latent alone
    inputs = units[0]
    for place, number in enumerate(units):
        side = 4 << place
        layers += [convolution(side, 3, inputs, number)] * (place > 0)
        layers += [convolution(side, 3, number, number)]
        inputs = number
    return sum(layers[after:]) + convolution(256, 1, inputs, 3)


def test_operations_are_those_of_the_shapes():
    convolutions, rest = vgg16()
    counted = {
        "vgg16_places365": convolutions + rest,
        "vgg16_places365 after the layer": rest,
        "alexnet_places365": alexnet(),
        "proggan_church": generator(),
        "proggan_church after the layer": generator(after=4),
    }
    for name, number in counted.items():
        assert FLOPS[name] == pytest.approx(number, rel=0.02), name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_a_cost(name):
    assert operations(steps_of(EXPERIMENTS[name])) > 1e15


def test_costs_add_up():
    steps = (Step("a", {"segmenter": 10}), Step("b", {"segmenter": 5, "alexnet_places365": 100}))
    assert operations(steps) == pytest.approx(15 * FLOPS["segmenter"] + 1.44e11)
    assert cost_text(3.6e16).startswith("3.60e+16 floating-point operations: 1 hours")
    assert "30 minutes" in cost_text(1.8e16) and "10 days" in cost_text(8.64e18)


def test_unknown_sizes_and_hashes_are_said_as_unknown():
    needs = {need.name: need for need in needs_of(EXPERIMENTS["remove-class-units"])}
    assert needs["vgg16_places365"].hash == "SHA-256 0bafbc55..."
    assert needs["vgg16_places365"].size == "543.0 MB"
    assert needs["color (labels)"].hash == needs["color (labels)"].size == "unknown"
    assert needs["places-val"].hash == "MD5 593bbc21590cf7c396faac2e600cd30c"
    assert needs["places-val"].size == "36,500 images, unknown bytes"


def test_the_plan_tells_all():
    experiment = EXPERIMENTS["remove-trees"]
    text = plan_text([experiment])
    for part in ("proggan_churchoutdoor-7e701dd5.pth", "hash unknown", "most: 30", "TFLOP/s"):
        assert part in text
    assert all(step.text in text for step in steps_of(experiment))
    assert all(difference in text for difference in experiment.differences)
    assert "31 read off a figure" in text
    assert "40.5" not in text  # a plan shows no result
    both = plan_text([experiment, EXPERIMENTS["style"]])
    assert "In all: 2 experiments" in both and "none are known here" in both
