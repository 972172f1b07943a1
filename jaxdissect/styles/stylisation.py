"""Stylise a folder of images: each in the style of another image, written as a file.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization",
ICCV 2017, as the paper used it to ask which units see shapes. Files are named as its code names
them, `<content>-stylized-<style><ending>`, so that `paired_folders` finds the pairs again.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int64

from jaxdissect.engine.batching import batches
from jaxdissect.engine.data.folders import ImageFolder
from jaxdissect.engine.data.pairs import STYLE_MARK
from jaxdissect.engine.folding import Progress, silent
from jaxdissect.networks.models.adain import stylize


def stylise_folder(
    encoder: nnx.Module,
    decoder: nnx.Module,
    contents: ImageFolder,
    styles: ImageFolder,
    out: Path,
    *,
    alpha: float = 1.0,
    styles_per_image: int = 1,
    seed: int = 0,
    batch_size: int = 4,
    progress: Progress = silent,
) -> list[Path]:
    """Write every image of a folder in the style of others, chosen by chance.

    Images keep their size: what style transfer adds to make sides multiples of 8 is cut off, so
    that layouts stay in place. (The published code keeps it; sides of 256 have none.)

    Args:
        encoder: An `AdaINEncoder`, `pretrained("adain_encoder")`.
        decoder: An `AdaINDecoder`, `pretrained("adain_decoder")`.
        contents: What to show, all of one size; of `image_folder`.
        styles: How to show it, all of one size.
        out: Folder to write to, with the subfolders of the contents; made if need be.
        alpha: From 0, the content as it comes back from its features, to 1, all of the style.
        styles_per_image: Different styles for each content.
        seed: Of the choice of styles. That for an image depends on its place alone.
        batch_size: Images in a step.
        progress: Told how far it has come.

    Returns:
        The files, in the order of the contents.

    Raises:
        ValueError: if `alpha` is out of range, there are not `styles_per_image` styles, a file
            would be written twice or is there already, or the networks refuse the images.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` (={alpha}) must lie in [0, 1]")
    if not 1 <= styles_per_image <= len(styles):
        raise ValueError(
            f"`styles_per_image` (={styles_per_image}) must lie in [1, {len(styles)}], the number "
            "of `styles`"
        )
    chosen = choose_styles(len(contents), len(styles), styles_per_image, seed=seed)
    files = [
        [out / stylised_name(contents.names[row], styles.names[style]) for style in own]
        for row, own in enumerate(chosen)
    ]
    _check_new([file for own in files for file in own])
    networks = nnx.split((encoder, decoder))

    @jax.jit
    def render(state: Any, content: Array, style: Array) -> Array:
        encode, decode = nnx.merge(networks[0], state)
        rendered = stylize(encode, decode, content, style, alpha=alpha)
        cut = rendered[:, : content.shape[1], : content.shape[2]]
        return jnp.round(cut * 255).astype(jnp.uint8)

    total, done = len(contents) * styles_per_image, 0
    for batch in batches(contents, batch_size):
        rows = batch["example"]
        for place in range(styles_per_image):
            style = np.stack([styles[int(chosen[row, place])]["image"] for row in rows])
            images = np.asarray(render(networks[1], batch["image"], style))
            counted = rows[batch["weight"]]
            for row, image in zip(counted, images[: len(counted)], strict=True):
                _write(files[row][place], image)
            done += len(counted)
        progress("stylising", done, total)
    return [file for own in files for file in own]


def choose_styles(
    num_contents: int, num_styles: int, styles_per_image: int, *, seed: int = 0
) -> Int64[np.ndarray, "contents styles"]:
    """Choose different styles for each content."""

    def choose(place: int) -> np.ndarray:
        chance = np.random.default_rng([seed, place])
        return chance.choice(num_styles, styles_per_image, replace=False)

    return np.stack([choose(place) for place in range(num_contents)]).astype(np.int64)


def stylised_name(content: str, style: str) -> str:
    """Name a stylised image, both given as paths below their folders.

    It lies in the subfolder of its content: `a/1.jpg` in the style of `b/monet.png` is
    `a/1-stylized-monet.jpg`.
    """
    path = PurePosixPath(content)
    return str(path.with_name(f"{path.stem}{STYLE_MARK}{PurePosixPath(style).stem}{path.suffix}"))


def _check_new(files: list[Path]) -> None:
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise ValueError(f"`styles` must have different names: {twice.name} would be written twice")
    there = [file for file in files if file.exists()]
    if there:
        raise ValueError(f"`out` has {there[0]} already, and {len(there) - 1} other such files")


def _write(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    # As little as JPEG can lose: its blocks are textures that nobody asked for.
    options: dict[str, Any] = {"quality": 95} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    Image.fromarray(image).save(path, **options)
