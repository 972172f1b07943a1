"""Receptive fields that are measured, against those of networks that add up what they see."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxdissect.networks.convolution import conv2d
from jaxdissect.networks.receptive_extent import measure_receptive_extents

# Steps: a convolution (kernel, stride, padding, dilation) or a pooling (size, stride).
VALID = (
    ("conv", 5, 2, 0, 1),
    ("pool", 3, 2),
    ("conv", 3, 1, 0, 1),
)
SAME = (
    ("conv", 3, 1, 1, 1),
    ("pool", 2, 2),
    ("conv", 3, 1, 1, 1),
    ("pool", 2, 2),
)
DILATED = (
    ("conv", 3, 1, 1, 1),
    ("pool", 2, 2),
    ("conv", 3, 1, 4, 4),
)
PIXELWISE = (("conv", 1, 1, 0, 1),)
WIDE = (
    ("conv", 3, 1, 1, 1),
    *(("conv", 3, 2, 1, 1),) * 4,
)


@dataclass(frozen=True)
class Steps:
    """A network of steps, each of which is a layer."""

    steps: tuple[tuple, ...]

    def weights(self, channels, make):
        inputs = [3, *[channels] * len(self.steps)]
        return [
            make((step[1], step[1], count, channels)) if step[0] == "conv" else None
            for step, count in zip(self.steps, inputs[:-1], strict=True)
        ]

    def __call__(self, weights, x):
        found = {}
        for number, (step, kernel) in enumerate(zip(self.steps, weights, strict=True)):
            if step[0] == "conv":
                _, _, stride, pad, dilation = step
                x = conv2d(
                    x,
                    kernel,
                    strides=(stride, stride),
                    padding=[(pad, pad)] * 2,
                    dilation=dilation,
                )
                x = jax.nn.relu(x)
            else:
                _, size, stride = step
                window, strides = (1, size, size, 1), (1, stride, stride, 1)
                x = lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "VALID")
            found[str(number)] = x
        return found


def seen(steps, shape):
    """Which pixels every cell depends on, by layer: [h, w, H, W]."""
    network = Steps(steps)
    ones = network.weights(1, lambda shape: jnp.ones(shape, jnp.float32))
    pixels = np.eye(shape[0] * shape[1], dtype=np.float32).reshape(-1, *shape, 1)
    found = jax.jit(network)(ones, jnp.repeat(jnp.asarray(pixels), 3, axis=3))
    return {
        name: np.moveaxis(np.asarray(maps)[..., 0] > 0, 0, -1).reshape(*maps.shape[1:3], *shape)
        for name, maps in found.items()
    }


def expected_boxes(pixels):
    """Boxes [h, w, 4] around the pixels that cells depend on."""
    sides = []
    for axis in (-2, -1):  # rows, then columns
        line = pixels.any(axis=axis - 1 if axis == -1 else -1)
        length = line.shape[-1]
        sides.append((line.argmax(axis=-1), length - line[..., ::-1].argmax(axis=-1)))
    (top, bottom), (left, right) = sides
    return np.stack([left, top, right, bottom], axis=-1)


def random_weights(network, channels):
    rng = np.random.default_rng(0)
    return network.weights(
        channels,
        lambda shape: jnp.asarray(
            (rng.standard_normal(shape) / np.sqrt(np.prod(shape[:3]))).astype(np.float32)
        ),
    )


@pytest.mark.parametrize("steps", [VALID, SAME, DILATED, PIXELWISE, WIDE])
@pytest.mark.parametrize("shape", [(36, 28), (33, 41)])
def test_boxes_of_all_cells(steps, shape):
    network = Steps(steps)
    found = measure_receptive_extents(
        network, random_weights(network, 16), (*shape, 3), batch_size=3
    )
    for name, pixels in seen(steps, shape).items():
        boxes = expected_boxes(pixels)
        places = np.moveaxis(np.indices(boxes.shape[:2]), 0, -1)
        extent = found[name]
        assert extent is not None
        found_boxes = extent.boxes(places)
        if steps is DILATED:  # beside the border, kernels with gaps see fewer lines of pixels
            assert (found_boxes[..., :2] <= boxes[..., :2]).all()
            assert (found_boxes[..., 2:] >= boxes[..., 2:]).all()
            found_boxes, boxes = found_boxes[4:-4, 4:-4], boxes[4:-4, 4:-4]
        np.testing.assert_array_equal(found_boxes, boxes, err_msg=name)


def sizes(found):
    return {name: extent.size for name, extent in found.items() if extent is not None}


def test_sizes_of_whole_fields():
    network = Steps(VALID)
    found = measure_receptive_extents(network, random_weights(network, 16), (90, 90, 3))
    assert [sizes(found)[str(layer)] for layer in range(3)] == [(5, 5), (9, 9), (17, 17)]


def test_rounding_errors_of_winograds_form_are_no_receptive_field():
    network = Steps((("conv", 3, 1, 1, 1),) * 4)
    found = measure_receptive_extents(network, random_weights(network, 128), (48, 52, 3))
    assert [sizes(found)[str(layer)] for layer in range(4)] == [(n, n) for n in (3, 5, 7, 9)]


def everything(weights, x):
    """Layers that depend on all of the image, on none of it, and on its rows alone."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    return {
        "all": x[:, ::4, ::4] + mean,
        "pooled": mean,
        "none": jnp.zeros_like(x[:, ::4, ::4]),
        "rows": x[:, ::4, ::4] + 0 * weights + x.mean(axis=2, keepdims=True)[:, ::4],
    }


def test_layers_that_see_everything_or_nothing():
    found = measure_receptive_extents(everything, jnp.zeros(()), (20, 24, 3))
    assert sizes(found) == {"all": None, "pooled": None, "rows": (1, 24)}
    places = {"all": [0, 0], "pooled": [0, 0], "rows": [2, 1]}
    boxes = {
        name: extent.boxes(np.array(places[name])).tolist()
        for name, extent in found.items()
        if extent is not None
    }
    assert boxes == {"all": [0, 0, 24, 20], "pooled": [0, 0, 24, 20], "rows": [0, 8, 24, 9]}


def smooth_only(weights, x):
    """A layer that is zero wherever neighbouring pixels differ, as they do in fine noise."""
    edge = jnp.abs(x[:, 1:] - x[:, :-1]).max(axis=(2, 3), keepdims=True)
    return {"even": jnp.where(edge < 1e-6, x[:, 1:] + x[:, :-1], weights)}


def test_layers_that_fine_noise_leaves_dead():
    extent = measure_receptive_extents(smooth_only, jnp.zeros(()), (32, 24, 3))["even"]
    assert extent is not None


def test_networks_without_a_gradient_are_refused():
    def network(weights, x):
        return {"loop": lax.while_loop(lambda x: x.sum() < 0, lambda x: x + 1, x)}

    with pytest.raises(ValueError, match="Reverse-mode differentiation"):
        measure_receptive_extents(network, (), (8, 8, 3))
