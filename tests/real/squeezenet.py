"""A trained scene classifier as its owner would write it: SqueezeNet v1.1 in plain flax nnx.

Nothing here knows of jaxdissect, so the tests that dissect this network see what any user brings.
Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (2016), with batch
normalization and a leaky rectifier; trained on the 365 scenes of Places365.

Letters of shapes: B batch, H W image, h w layer grid, U units, S = 224 network input, N = 365.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from PIL import Image
from stored_arrays import refuse_others

IMAGE_SIZE = 224
NUM_CLASSES = 365
# A rectifier whose slope was random in training is evaluated at the mean of that slope.
NEGATIVE_SLOPE = 0.55
_STATISTICS = ("beta", "gamma", "mean", "inv_std")
_WITHOUT_BATCH_NORM = "conv10"


class RectifiedConv(nnx.Module):
    """A convolution, centred padding, followed by the leaky rectifier."""

    def __init__(self, inputs: int, units: int, size: int, *, stride: int = 1, rngs: nnx.Rngs):
        self.convolution = nnx.Conv(
            inputs, units, (size, size), strides=stride, padding=size // 2, rngs=rngs
        )

    def __call__(self, inputs: Float[Array, "B H W _"]) -> Float[Array, "B h w U"]:
        return jax.nn.leaky_relu(self.convolution(inputs), NEGATIVE_SLOPE)


class Fire(nnx.Module):
    """Squeeze to a few units, then expand with 1x1 and 3x3 filters laid side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int, *, rngs: nnx.Rngs):
        self.squeeze = RectifiedConv(inputs, squeezed, 1, rngs=rngs)
        self.expand1x1 = RectifiedConv(squeezed, expanded, 1, rngs=rngs)
        self.expand3x3 = RectifiedConv(squeezed, expanded, 3, rngs=rngs)

    def __call__(self, inputs: Float[Array, "B h w _"]) -> Float[Array, "B h w U"]:
        squeezed = self.squeeze(inputs)
        return jnp.concatenate([self.expand1x1(squeezed), self.expand3x3(squeezed)], axis=-1)


class SqueezeNet(nnx.Module):
    """Scores of 365 scenes; each named submodule returns its rectified units."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv1 = RectifiedConv(3, 64, 3, stride=2, rngs=rngs)
        self.fire2 = Fire(64, 16, 64, rngs=rngs)
        self.fire3 = Fire(128, 16, 64, rngs=rngs)
        self.fire4 = Fire(128, 32, 128, rngs=rngs)
        self.fire5 = Fire(256, 32, 128, rngs=rngs)
        self.fire6 = Fire(256, 48, 192, rngs=rngs)
        self.fire7 = Fire(384, 48, 192, rngs=rngs)
        self.fire8 = Fire(384, 64, 256, rngs=rngs)
        self.fire9 = Fire(512, 64, 256, rngs=rngs)
        self.conv10 = RectifiedConv(512, NUM_CLASSES, 1, rngs=rngs)

    def features(self, inputs: Float[Array, "B S S 3"]) -> Float[Array, "B 13 13 512"]:
        """Return the output of fire9 for images made ready by `preprocess`."""
        units = _pool(self.conv1(inputs))
        units = _pool(self.fire3(self.fire2(units)))
        units = _pool(self.fire5(self.fire4(units)))
        return self.fire9(self.fire8(self.fire7(self.fire6(units))))

    def scores(self, features: Float[Array, "B h w 512"]) -> Float[Array, "B N"]:
        """Return the class scores (before softmax) of fire9 features."""
        return self.conv10(features).mean(axis=(1, 2))

    def __call__(self, inputs: Float[Array, "B S S 3"]) -> Float[Array, "B N"]:
        return self.scores(self.features(inputs))


def _pool(units: Float[Array, "B H W U"]) -> Float[Array, "B h w U"]:
    return nnx.max_pool(units, (3, 3), strides=(2, 2), padding="VALID")


def squeezenet_places365(folder: Path) -> SqueezeNet:
    """Build the network with the trained weights of `weights.npz` in `folder`.

    Batch normalization in inference form is an affine map of each unit, so it is folded into the
    convolution before it: kernel * s and (bias - mean) * s + beta, with s = gamma * inv_std.

    Raises:
        ValueError: if the file lacks arrays, has other ones, or shapes differ; all are listed.
    """
    with np.load(folder / "weights.npz") as file:
        arrays = {name: file[name] for name in file.files}
    # Only shapes are made here: random values would be thrown away.
    network = nnx.eval_shape(lambda: SqueezeNet(rngs=nnx.Rngs(0)))
    convolutions = {
        ".".join(map(str, path)): module.convolution
        for path, module in nnx.iter_graph(network)
        if isinstance(module, RectifiedConv)
    }
    _check_arrays(arrays, {name: layer.kernel.shape for name, layer in convolutions.items()})
    for name, layer in convolutions.items():
        kernel, bias = _fold(arrays, name)
        layer.kernel, layer.bias = nnx.Param(jnp.asarray(kernel)), nnx.Param(jnp.asarray(bias))
    return network


def _check_arrays(arrays: dict[str, np.ndarray], kernels: dict[str, tuple[int, ...]]) -> None:
    """Compare every name and shape (filters OIHW) with the kernels (HWIO) of the network."""
    expected = {}
    for name, (height, width, inputs, units) in kernels.items():
        expected[f"{name}.weight"] = (units, inputs, height, width)
        expected[f"{name}.bias"] = (units,)
        if name != _WITHOUT_BATCH_NORM:
            expected |= {f"{name}.bn.{statistic}": (units,) for statistic in _STATISTICS}
    refuse_others(arrays, expected)


def _fold(arrays: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (HWIO) and bias of one convolution, with its batch normalization where it has one."""
    kernel = arrays[f"{name}.weight"].transpose(2, 3, 1, 0).astype(np.float64)
    bias = arrays[f"{name}.bias"].astype(np.float64)
    if name != _WITHOUT_BATCH_NORM:
        beta, gamma, mean, inv_std = (
            arrays[f"{name}.bn.{statistic}"].astype(np.float64) for statistic in _STATISTICS
        )
        kernel, bias = kernel * (gamma * inv_std), (bias - mean) * gamma * inv_std + beta
    return kernel.astype(np.float32), bias.astype(np.float32)


def read_mean(folder: Path) -> Float[Array, "S S 3"]:
    """Read the mean image of `mean.npz` in `folder`: BGR, 0 to 255, its central 224 pixels."""
    with np.load(folder / "mean.npz") as file:
        mean = file["mean_bgr"].transpose(1, 2, 0)
    edge = (mean.shape[0] - IMAGE_SIZE) // 2
    inside = slice(edge, edge + IMAGE_SIZE)
    return jnp.asarray(mean[inside, inside])


def read_categories(folder: Path) -> tuple[str, ...]:
    """Read the names of the 365 scenes, such as "/a/airfield", in the order of the scores."""
    lines = (folder / "categories_places365.txt").read_text().splitlines()
    return tuple(line.split()[0] for line in lines)


def read_photograph(path: Path) -> Float[np.ndarray, "S S 3"]:
    """Read a photograph as RGB in [0, 1], resized to 224 pixels with PIL's bilinear filter."""
    with Image.open(path) as file:
        image = file.convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32) / np.float32(255)


def preprocess(
    images: Float[Array, "B H W 3"], mean: Float[Array, "S S 3"]
) -> Float[Array, "B S S 3"]:
    """Turn RGB images in [0, 1] into network input: (BGR bytes - mean) / 255, 224 pixels wide.

    Images of another size are resized bilinearly (what PIL does, without its rounding to bytes).

    Args:
        images: RGB in [0, 1].
        mean: the mean image from `read_mean`, BGR, 0 to 255.
    """
    resized = jax.image.resize(
        images, (images.shape[0], IMAGE_SIZE, IMAGE_SIZE, 3), jax.image.ResizeMethod.LINEAR
    )
    return resized[..., ::-1] - mean[None] / 255
