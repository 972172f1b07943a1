"""Fields of batches: images, and what they must be for those who take them as RGB in [0, 1].

Shapes: B batch, H W image.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdissect.engine.batching import Batch
from jaxdissect.engine.image_bytes import Bytes

_ROUNDING = 1e-3  # by which resampling may leave [0, 1]


def field(batch: Mapping[str, Array], key: str) -> Array:
    """Return ``batch[key]``.

    Raises:
        ValueError: If there is none; the message names the field, and those that there are.
    """
    if key not in batch:
        found = ", ".join(map(repr, sorted(set(batch) - {"example", "weight"}))) or "nothing"
        raise ValueError(f"`source` has no array of numbers {key!r}; it has: {found}")
    return jnp.asarray(batch[key])


def float_images(batch: Mapping[str, Array], key: str) -> Array:
    """Return ``batch[key]`` if it may be float images [B, H, W, 3]; nothing is computed.

    Raises:
        ValueError: If there are none, they are not floats, lack channels, or have them first; the
            message names the field.
    """
    images = field(batch, key)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"`source` gives {images.dtype} in {key!r}; give images as floats in [0, 1], or pass "
            "`inputs`, which makes of a batch what the network takes"
        )
    if images.ndim == 3:
        raise ValueError(
            f"`source` gives {key!r} of shape {list(images.shape[1:])}; give images [H, W, 3], or "
            "pass `inputs`, which makes of a batch what the network takes"
        )
    if images.ndim == 4 and images.shape[1] == 3 and min(images.shape[2:]) > 4:
        raise ValueError(
            f"`source` gives {key!r} of shape {list(images.shape[1:])}, channels first; give "
            "images [H, W, 3], or pass `inputs`, which makes of a batch what the network takes"
        )
    return images


def check_unit_range(batch: Batch, keys: Sequence[str]) -> None:
    """Check images of a batch on the host, those that count.

    Args:
        batch: As `batches` yields it, or a block of a source.
        keys: Names of images.

    Raises:
        ValueError: If values lie outside [0, 1]; the message names field and example.
    """
    for key in keys:
        if isinstance(batch[key], Bytes) and _is_unit_range(batch[key].table):
            continue  # whatever the bytes
        flat = np.asarray(batch[key]).reshape(len(batch[key]), -1)
        wrong = (flat.max(axis=1) > 1 + _ROUNDING) | (flat.min(axis=1) < -_ROUNDING)
        if wrong.any():
            place = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"{key!r} of example {batch['example'][place] if 'example' in batch else place} "
                f"has values from {flat[place].min():g} to {flat[place].max():g}, but colors and "
                "segmenters are found in RGB in [0, 1]; give such images, and let `inputs` make of "
                "them what the network takes"
            )


def _is_unit_range(table: np.ndarray) -> bool:
    return bool((table >= 0).all() and (table <= 1).all())
