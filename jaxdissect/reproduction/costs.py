"""About what experiments cost: floating-point operations of the published networks.

They are counted by hand, two for each multiplication with its addition, convolutions as they are
written. Programs that compute the same with fewer (the upsampling convolutions of the generator,
the pyramids of the segmenter) take less.
"""

from collections.abc import Iterable

from jaxdissect.reproduction.procedures.procedure import Step

FLOPS: dict[str, float] = {
    "vgg16_places365": 30.9e9,
    "vgg16_places365 after the layer": 0.24e9,
    "alexnet_places365": 1.44e9,
    "resnet152_places365": 23.0e9,
    "proggan_church": 17.6e9,
    "proggan_church after the layer": 16.9e9,
    "proggan_kitchen": 17.6e9,
    "segmenter": 210e9,
    "style transfer": 95e9,
}
"""Operations for one example: images of 224 x 224 pixels (AlexNet: 227 x 227), generators of 256 x
256 in the sizes of Karras et al. (those of the published files are in the files alone), the
segmenter at 256 x 256 (177 of them for objects, parts and materials, 33 for colors), "after the
layer" from conv5_3 or layer4 on."""

DEVICE = 10e12
"""Operations per second of the device that times are told for."""


def operations(steps: Iterable[Step]) -> float:
    """Add up the floating-point operations of all steps."""
    return sum(FLOPS[name] * number for step in steps for name, number in step.passes.items())


def cost_text(flops: float) -> str:
    """Say how many operations, and how long at 10^13 a second."""
    hours = flops / DEVICE / 3600
    if hours < 1:
        time = f"{60 * hours:.2g} minutes"
    else:
        time = f"{hours:.3g} hours" if hours < 72 else f"{hours / 24:,.0f} days"
    return f"{flops:.2e} floating-point operations: {time} at 10 TFLOP/s, without reading images"
