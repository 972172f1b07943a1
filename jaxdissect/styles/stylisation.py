"""Stylise a folder of images: each in the style of another image, written as a file.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization",
ICCV 2017. Files are named as the published code names them, `<content>-stylized-<style>.png`, so
that `paired_folders` finds the pairs; but they are always PNG, where the published code keeps the
ending of the content: what JPEG or WebP lose would be textures of their own.
"""

import os
import shutil
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int64

from jaxdissect.engine.batching import Batch, Joined
from jaxdissect.engine.data.folders import ImageFolder
from jaxdissect.engine.data.pairs import STYLE_MARK
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content
from jaxdissect.engine.processes import own_devices, replicated
from jaxdissect.engine.resume import map_resumably
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
    checkpoints: Path | None = None,
    save_every: int = 10,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> list[Path]:
    """Write every image of a folder in the style of other images, chosen at random.

    Images keep their size: what style transfer adds to make sides multiples of 8 is cut off, so
    that layouts stay in place. (The published code keeps it; sides of 256 have none.)

    Args:
        encoder: An `AdaINEncoder`, such as `pretrained("adain_encoder")`.
        decoder: An `AdaINDecoder`, such as `pretrained("adain_decoder")`.
        contents: The images to stylise, all of one size, from `image_folder`.
        styles: The images whose styles are used, all of one size.
        out: Folder to write to, with the subfolders of the contents; it is made if it is missing.
        alpha: Strength of the style, from 0, the content as decoded from its own features, to 1,
            all of the style.
        styles_per_image: Number of different styles for each content.
        seed: Seed of the choice of styles. The styles of an image depend on its place in the
            folder, not on the images that follow.
        batch_size: Images in a step.
        checkpoints: Folder from which interrupted work resumes, where images are written first, to
            be copied to `out` in the end; None keeps none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`); of several processes each writes all
            files, to its own `out`.
        progress: Is called with how many contents are done.

    Returns:
        The files, PNG, in the order of the contents.

    Raises:
        ValueError: If `alpha` is out of range, there are not `styles_per_image` styles, a file
            would be written twice or is there already, the networks refuse the images, or
            `checkpoints` holds another computation or is damaged.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` (={alpha}) must lie in [0, 1]")
    if not 1 <= styles_per_image <= len(styles):
        raise ValueError(
            f"`styles_per_image` (={styles_per_image}) must lie in [1, {len(styles)}], the number "
            "of `styles`"
        )
    chosen = choose_styles(len(contents), len(styles), styles_per_image, seed=seed)
    names = [
        [stylised_name(contents.names[row], styles.names[style]) for style in own]
        for row, own in enumerate(chosen)
    ]
    files = [out / name for own in names for name in own]
    _check_new(files)
    written = out if checkpoints is None else checkpoints / "images"
    networks = nnx.split((encoder, decoder))

    @jax.jit
    def render(state: Any, content: Array, style: Array) -> Array:
        encode, decode = nnx.merge(networks[0], state)
        rendered = stylize(encode, decode, content, style, alpha=alpha)
        cut = rendered[:, : content.shape[1], : content.shape[2]]
        return jnp.round(cut * 255).astype(jnp.uint8)

    mesh = own_devices(mesh)

    def render_all(state: Any, batch: dict[str, Any]) -> tuple[Array, ...]:
        every = range(styles_per_image)
        return tuple(render(state, batch["image"], batch[f"style {place}"]) for place in every)

    def receive(batch: Batch, rendered: tuple[Array, ...]) -> None:
        rows = batch["example"][batch["weight"]]
        for place, images in enumerate(rendered):
            for row, image in zip(rows, np.asarray(images)[batch["weight"]], strict=True):
                _write(written / names[row][place], image)

    map_resumably(
        partial(render_all, replicated(networks[1], mesh)),
        Joined(
            contents, *(_Chosen(styles, of_place, place) for place, of_place in enumerate(chosen.T))
        ),
        None if checkpoints is None else checkpoints / "rendering",
        plain_step=partial(render_all, networks[1]),
        settings=lambda: {
            "weights": content(networks[1]),
            "alpha": alpha,
            "styles_per_image": styles_per_image,
            "seed": seed,
        },
        kept={},
        save_every=save_every,
        batch_size=batch_size,
        receive=receive,
        mesh=mesh,
        forward_passes=styles_per_image,
        description="stylising",
        progress=progress,
    )
    if checkpoints is not None:
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(written / file.relative_to(out), file)  # with its time, to be known again
    return files


class _Chosen:
    """Images of styles, by the contents that are rendered in them."""

    thread_safe = True

    def __init__(self, styles: ImageFolder, chosen: Int64[np.ndarray, "contents"], place: int):
        self._styles, self._chosen, self._name = styles, chosen, f"style {place}"

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return vars(self)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {self._name: self._styles[int(self._chosen[index])]["image"]}


def choose_styles(
    num_contents: int, num_styles: int, styles_per_image: int, *, seed: int = 0
) -> Int64[np.ndarray, "contents styles"]:
    """Choose styles for each content at random, none twice for the same content.

    Args:
        num_contents, num_styles: Numbers of images.
        styles_per_image: Number of styles for each content.
        seed: Seed of the choice.
    """

    def choose(place: int) -> np.ndarray:
        generator = np.random.default_rng([seed, place])
        return generator.choice(num_styles, styles_per_image, replace=False)

    return np.stack([choose(place) for place in range(num_contents)]).astype(np.int64)


def stylised_name(content: str, style: str) -> str:
    """Name a stylised image, both given as paths below their folders.

    It lies in the subfolder of its content, and is a PNG whatever that is: `a/1.jpg` in the style
    of `b/monet.jpg` is `a/1-stylized-monet.png`.
    """
    path = PurePosixPath(content)
    return str(path.with_name(f"{path.stem}{STYLE_MARK}{PurePosixPath(style).stem}.png"))


def _check_new(files: list[Path]) -> None:
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise ValueError(
            "`contents` and `styles` must have different names, apart from their endings: "
            f"{twice.name} would be written twice"
        )
    there = [file for file in files if file.exists()]
    if there:
        raise ValueError(f"`out` has {there[0]} already, and {len(there) - 1} other such files")


def _write(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    Image.fromarray(image).save(unfinished, "PNG")
    unfinished.replace(path)
