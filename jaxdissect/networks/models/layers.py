"""Building blocks of the models beside convolutions: named chains, pooling, resizing, input checks.

Letters of shapes: B batch, H W input, h w output, U units, N classes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.arrays.separable import separable
from jaxdissect.networks.weights.mapping import Shapes

IMAGENET = 1000
"""Classes of the networks that were trained on ImageNet."""

PLACES365 = 365
"""Classes of the networks that were trained on Places365."""


class Layer(nnx.Module):
    """A function without parameters, such as a ReLU, as a layer that can be recorded and edited."""

    def __init__(self, function: Callable[[Array], Array]):
        self.function = function

    def __call__(self, inputs: Array) -> Array:
        return self.function(inputs)


class Chain(nnx.Module):
    """Layers that are called one after the other, each an attribute under its own name.

    Unlike those of `nnx.Sequential`, names are free: "conv5_3", or "0" as in PyTorch.

    Args:
        layers: Modules, or functions, which become a `Layer`, by name in the order of calls.
    """

    def __init__(self, layers: Mapping[str, Callable[[Any], Any]]):
        self.names = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer if isinstance(layer, nnx.Module) else Layer(layer))

    def __call__(self, inputs: Any) -> Any:
        for name in self.names:
            inputs = getattr(self, name)(inputs)
        return inputs


class ImageClassifier(Chain):
    """Layers that score classes of images, with linear maps that expect one number of cells.

    Args:
        layers: Modules, or functions, by name in the order of calls.
        side: Height and width of the images in training.
        sides: Heights and widths that give as many cells.
    """

    def __init__(self, layers: Mapping[str, Callable[[Any], Any]], *, side: int, sides: range):
        super().__init__(layers)
        self.side, self.sides = side, sides

    def __call__(self, inputs: Any) -> Float[Array, "B N"]:
        """Score the classes.

        Args:
            inputs: Images, floats [B, H, W, 3]: RGB in [0, 1], less the mean (0.485, 0.456,
                0.406), over the deviation (0.229, 0.224, 0.225), see `imagenet_normalised`; H and W
                are among `sides`.

        Returns:
            Logits, of which `jax.nn.softmax` makes probabilities.

        Raises:
            ValueError: If the images have other axes or sides, or are no floats.
        """
        images = checked_images(inputs, dtype=getattr(self, self.names[0]).kernel.dtype)
        if not all(side in self.sides for side in images.shape[1:3]):
            raise ValueError(
                f"`images` (={images.shape}) must be {self.side} x {self.side} pixels (H x W; "
                f"{self.sides[0]} to {self.sides[-1]} give as many cells) for this network"
            )
        return super().__call__(images)


class PooledClassifier(nnx.Module):
    """Convolutions (`features`) whose maps are averaged to a fixed grid (`avgpool`) and classified.

    Args:
        features: Layers by name in the order of calls; the first is a convolution.
        classifier: Layers that take [B, U * rows * columns], units first, by name in that order.
        grid: Rows and columns that the classifier expects.
        least: The smallest height and width of images that leave the last map a cell.
    """

    def __init__(
        self,
        features: Mapping[str, Callable[[Any], Any]],
        classifier: Mapping[str, Callable[[Any], Any]],
        *,
        grid: tuple[int, int],
        least: tuple[int, int],
    ):
        self.features = Chain(features)
        self.avgpool = Layer(partial(_fitted, grid=grid))
        self.classifier = Chain(classifier)
        self.least = least

    def __call__(self, images: Any) -> Float[Array, "B N"]:
        """Score the classes.

        Args:
            images: Floats [B, H, W, 3]: RGB in [0, 1], less the mean (0.485, 0.456, 0.406), over
                the deviation (0.229, 0.224, 0.225), see `imagenet_normalised`; 224 x 224 in
                training, here any size from `least` on.

        Returns:
            Logits, of which `jax.nn.softmax` makes probabilities.

        Raises:
            ValueError: If `images` have other axes, are no floats, or are too small.
        """
        dtype = getattr(self.features, self.features.names[0]).kernel.dtype
        units = self.avgpool(self.features(checked_images(images, dtype=dtype, least=self.least)))
        # PyTorch's weights of the first linear map count units first, then rows, then columns.
        return self.classifier(units.transpose(0, 3, 1, 2).reshape(len(units), -1))


def batch_norm(units: int, *, epsilon: float = 1e-5) -> nnx.BatchNorm:
    """Normalise with the statistics of training, as all networks here do; epsilon is PyTorch's."""
    # Initial values are constants, but a stream is asked for. Drawing from one of the caller would
    # take most of the time of building a residual network abstractly.
    with jax.ensure_compile_time_eval():
        return nnx.BatchNorm(units, use_running_average=True, epsilon=epsilon, rngs=nnx.Rngs(0))


def mean_of_cells(units: Float[Array, "B h w U"]) -> Float[Array, "B 1 1 U"]:
    """Average over all cells, and leave one."""
    return units.mean(axis=(1, 2), keepdims=True)


def only_cell(units: Float[Array, "B 1 1 U"]) -> Float[Array, "B U"]:
    """Take the one cell that there is."""
    return units[:, 0, 0]


def gelu(inputs: Float[Array, "*a"]) -> Float[Array, "*a"]:
    """Multiply by the normal distribution function, exactly."""
    return jax.nn.gelu(inputs, approximate=False)


def max_pool(
    inputs: Float[Array, "B H W U"], *, size: int, stride: int, padding: int = 0
) -> Float[Array, "B h w U"]:
    """Take the maximum of square windows; places outside the input never win."""
    pads: Any = ((padding, padding), (padding, padding))
    return nnx.max_pool(inputs, (size, size), (stride, stride), pads)


def adaptive_average_pool(
    inputs: Float[Array, "B H W U"], shape: tuple[int, int]
) -> Float[Array, "B h w U"]:
    """Average over h x w windows that cover the input, overlapping where sizes do not divide.

    Window i along an axis of n places is [floor(i n / h), ceil((i + 1) n / h)).
    """
    rows, columns = (
        jnp.asarray(_window_means(source, target), inputs.dtype)
        for source, target in zip(inputs.shape[1:3], shape, strict=True)
    )
    return separable(inputs, rows, columns)


def upsample_nearest(inputs: Float[Array, "B H W U"]) -> Float[Array, "B h w U"]:
    """Double height and width by repeating every cell."""
    batch, height, width, units = inputs.shape
    cells = inputs[:, :, None, :, None, :]
    doubled = jnp.broadcast_to(cells, (batch, height, 2, width, 2, units))
    return doubled.reshape(batch, 2 * height, 2 * width, units)


def checked_images(
    images: Any, *, dtype: Any, least: tuple[int, int] = (1, 1)
) -> Float[Array, "B H W 3"]:
    """Return images in the dtype of a network's parameters.

    Args:
        images: What should be float images [B, H, W, 3].
        dtype: Dtype of the parameters.
        least: The smallest height and width that leave the last layer a cell.

    Raises:
        ValueError: If the images have other axes, are no floats, or are too small.
    """
    images = float_images(images)
    if images.shape[1] < least[0] or images.shape[2] < least[1]:
        raise ValueError(
            f"`images` (={images.shape}) must be at least {least[0]} x {least[1]} pixels (H x W) "
            "for this network"
        )
    return images.astype(dtype)


def float_images(
    images: Any,
    *,
    expected: str = "floats: divide bytes by 255, then normalise them as the network was trained",
) -> Float[Array, "B H W 3"]:
    """Return images, after making sure that they are floats [B, H, W, 3].

    Args:
        images: What should be images.
        expected: The dtype and range that the error message asks for.

    Raises:
        ValueError: If they are not.
    """
    images = jnp.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"`images` (={images.shape}) must have axes [B, H, W, 3]")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"`images` (={images.dtype}) must be {expected}")
    return images


def units_in(shapes: Shapes, name: str, default: int) -> int:
    """Read how many units the weight of a layer makes; the default if it is missing or malformed.

    Args:
        shapes: PyTorch's names and shapes.
        name: Name of the weight of a convolution [O, I, kh, kw] or linear map [O, I].
        default: Units otherwise.
    """
    shape = shapes.get(name, ())
    return shape[0] if len(shape) in (2, 4) and all(size > 0 for size in shape) else default


def _fitted(units: Float[Array, "B H W U"], *, grid: tuple[int, int]) -> Float[Array, "B h w U"]:
    """Average to a grid, if the units have another one."""
    return units if units.shape[1:3] == grid else adaptive_average_pool(units, grid)


def _window_means(source: int, target: int) -> np.ndarray:
    """Matrix [target, source] that averages over windows."""
    windows = np.arange(target)
    first = windows * source // target
    last = -((-(windows + 1) * source) // target)
    places = np.arange(source)
    inside = (places >= first[:, None]) & (places < last[:, None])
    return inside / (last - first)[:, None]
