"""Strips of images: the top images of a unit, lit where the unit is active.

Shapes: B batch, h w cells of a layer, H W pixels of the images, U units.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, UInt8

from jaxdissect.arrays.masks import outline
from jaxdissect.arrays.resampling import (
    Alignment,
    Border,
    Shape,
    clamp_border,
    pixel_centers,
    resample,
)
from jaxdissect.dissection.result import Dissection, LayerDissection
from jaxdissect.dissection.setup import image_input
from jaxdissect.engine.batching import Source, batches
from jaxdissect.engine.folding import Progress, silent
from jaxdissect.networks.network import Network, as_maps
from jaxdissect.stats.quantile import exceeds

if TYPE_CHECKING:
    from PIL import Image, ImageFont

YELLOW = (1.0, 0.9, 0.0)
"""Colour of the outline of active regions, RGB in [0, 1]."""

_CELL = (128, 256)  # usual and greatest height in pixels of an image on a sheet
_LABEL_WIDTH, _GAP, _FONT_SIZE, _TITLE_HEIGHT = 230, 6, 17, 34  # pixels


class Strip(NamedTuple):
    """A unit and its top images, best first, with the region lit where it is active.

    Attributes:
        unit: The unit.
        concept, category: Its best concept.
        iou: IoU of the two.
        detects: Whether that is enough to call it a detector.
        images: RGB.
    """

    unit: int
    concept: str
    category: str
    iou: float
    detects: bool
    images: UInt8[np.ndarray, "k H W 3"]


def active_regions(
    maps: Float[Array, "*batch h w U"],
    thresholds: Float32[Array, "U"],
    size: Shape,
    *,
    alignment: Alignment = pixel_centers,
    border: Border = clamp_border,
) -> Bool[Array, "*batch H W U"]:
    """Find the pixels of an image on which units are active: a_u > t_u after resampling.

    Args:
        maps: Activations of the units.
        thresholds: t_u.
        size: Height and width of the image.
        alignment: Where pixels read the layer, as in the dissection.
        border: What lies beyond the outermost cells, as in the dissection.
    """
    pixels = resample(maps.astype(jnp.float32), size, alignment=alignment, border=border)
    return exceeds(pixels, thresholds.reshape((1,) * (pixels.ndim - 1) + (-1,)))


def highlight(
    image: Float[Array, "H W 3"], active: Bool[Array, "H W"], *, thickness: int = 1
) -> Float[Array, "H W 3"]:
    """Keep the active region as it is, outline it in yellow, and darken the rest to half.

    Args:
        image: RGB in [0, 1].
        active: The region.
        thickness: Width of the outline in pixels; it lies just outside the region.
    """
    edge = outline(active, thickness=thickness)[..., None]
    yellow = jnp.asarray(YELLOW, image.dtype).reshape(1, 1, 3)
    return jnp.where(edge, yellow, jnp.where(active[..., None], image, image / 2))


def best_units(layer: LayerDissection, number: int) -> list[int]:
    """Choose the units with the highest IoU with a concept, best first, equals by unit."""
    comparable = (layer.best_concept > 0) & np.isfinite(layer.best_iou)
    order = np.argsort(-np.where(comparable, layer.best_iou, -1.0), kind="stable")
    return [int(unit) for unit in order[:number] if comparable[unit]]


def top_unit_strips(
    network: Network,
    source: Source,
    dissection: Dissection,
    *,
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
    alignments: Mapping[str, Alignment] | None = None,
    border: Border = clamp_border,
    token_grid: Shape | None = None,
    units: Mapping[str, Sequence[int]] | None = None,
    num_units: int = 12,
    num_images: int = 8,
    batch_size: int = 8,
    progress: Progress = silent,
) -> dict[str, list[Strip]]:
    """Make the strips of the best units of all layers, running the network on their top images.

    Args:
        network: The network that was dissected.
        source: The data it was dissected on, with the key ``image``: RGB in [0, 1], all of one
            size.
        dissection: The result.
        inputs, alignments, border, token_grid: As they were for the dissection.
        units: Units of every layer to show; the best when None.
        num_units: Strips of best units per layer, fewer if fewer units have any concept.
        num_images: Images per strip, fewer if the dissection found fewer top images.
        batch_size: Images in a forward pass.
        progress: Told how far the pass has come.

    Returns:
        Strips by layer, best unit first or as `units` are ordered.
    """
    chosen = {
        name: list(units[name]) if units is not None else best_units(layer, num_units)
        for name, layer in dissection.layers.items()
    }
    layers = tuple(name for name in chosen if chosen[name])
    examples = {name: dissection[name].top_examples[chosen[name], :num_images] for name in layers}
    pictures: dict[str, list[list[Any]]] = {
        name: [[None] * num_top for _ in range(num_strips)]
        for name, (num_strips, num_top) in ((name, examples[name].shape) for name in layers)
    }

    @partial(jax.jit, static_argnames="size")
    def regions(params: Any, batch: Any, *, size: Shape) -> dict[str, Array]:
        activations = network.activations(params, inputs(batch), layers=layers)
        return {
            name: active_regions(
                as_maps(activations[name], token_grid=token_grid)[..., np.array(chosen[name])],
                jnp.asarray(dissection[name].thresholds[chosen[name]]),
                size,
                alignment=(alignments or {}).get(name, pixel_centers),
                border=border,
            )
            for name in layers
        }

    lit = jax.jit(highlight, static_argnames="thickness")
    wanted = np.unique(np.concatenate([examples[name].ravel() for name in layers] or [[]]))
    for batch in batches(_Chosen(source, wanted), batch_size) if len(wanted) else ():
        size = batch["image"].shape[1:3]
        active = regions(network.params, batch, size=size)
        thickness = max(1, round(size[0] / _CELL[0]))
        for row, position in enumerate(batch["example"][batch["weight"]]):
            for name in layers:
                for strip, place in np.argwhere(examples[name] == wanted[position]):
                    region = active[name][row, ..., strip]
                    picture = lit(batch["image"][row], region, thickness=thickness)
                    pictures[name][strip][place] = np.asarray(picture * 255 + 0.5, np.uint8)
        progress("top images", int(batch["example"][-1]) + 1, len(wanted))

    return {
        name: [
            _strip(layer, unit, np.stack(pictures[name][strip]))
            for strip, unit in enumerate(chosen[name])
        ]
        for name, layer in dissection.layers.items()
    }


def draw_sheet(title: str, strips: Sequence[Strip]) -> "Image.Image":
    """Draw strips below one another, each with a label on its left.

    Images are enlarged by whole factors, or shrunk, to a readable height.
    """
    from PIL import Image, ImageDraw

    usual, small = font(_FONT_SIZE), font(_FONT_SIZE - 3)
    rows = [[_resized(Image.fromarray(image)) for image in strip.images] for strip in strips]
    width, height = rows[0][0].size
    columns = max(len(row) for row in rows)
    sheet = Image.new(
        "RGB",
        (
            _LABEL_WIDTH + columns * (width + _GAP),
            _TITLE_HEIGHT + len(rows) * (height + _GAP),
        ),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _TITLE_HEIGHT / 2), title, "black", usual, anchor="lm")
    for index, (strip, row) in enumerate(zip(strips, rows, strict=True)):
        top = _TITLE_HEIGHT + index * (height + _GAP)
        concept = _shortened(strip.concept, lambda text: usual.getlength(text) < _LABEL_WIDTH - 12)
        below = "" if strip.detects else ", no detector"
        lines = (
            (f"unit {strip.unit}", "#555555", small),
            (concept, "black", usual),
            (f"{strip.category}, IoU {strip.iou:.3f}{below}", "#555555", small),
        )
        for line, (text, color, line_font) in enumerate(lines):
            place = (_GAP, top + height / 2 + (line - 1) * (_FONT_SIZE + 7))
            draw.text(place, text, color, line_font, anchor="lm")
        for column, image in enumerate(row):
            sheet.paste(image, (_LABEL_WIDTH + column * (width + _GAP), top))
    return sheet


def font(size: int) -> "ImageFont.FreeTypeFont":
    """Return the font of the charts, which has more letters than the one that Pillow brings."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


def file_names(
    strips: Mapping[str, Sequence[Strip]], *, prefix: str = "top_units"
) -> dict[str, str]:
    """Name an image file for every layer that has strips: layers by file name, all different."""
    layers: dict[str, str] = {}
    for layer in (layer for layer, rows in strips.items() if rows):
        stem = f"{prefix}_" + re.sub(r"[^\w.-]+", "_", layer)
        while f"{stem}.png" in layers:
            stem += "_"
        layers[f"{stem}.png"] = layer
    return layers


class _Chosen:
    """Some examples of a source."""

    def __init__(self, source: Source, examples: np.ndarray) -> None:
        self._source, self._examples = source, examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self._source[int(self._examples[index])]


def _strip(layer: LayerDissection, unit: int, images: UInt8[np.ndarray, "k H W 3"]) -> Strip:
    concept = layer.best_concept[unit]
    return Strip(
        unit,
        layer.vocabulary.names[concept],
        layer.vocabulary.categories[concept],
        float(layer.best_iou[unit]),
        bool(layer.best_iou[unit] > layer.min_iou),
        images,
    )


def _resized(image: "Image.Image") -> "Image.Image":
    """Bring an image to a height near `_CELL`."""
    from PIL.Image import Resampling

    usual, greatest = _CELL
    factor = round(usual / image.height)
    if factor > 1:
        return image.resize((image.width * factor, image.height * factor), Resampling.NEAREST)
    if image.height > greatest:
        width = max(1, round(image.width * greatest / image.height))
        return image.resize((width, greatest), Resampling.LANCZOS)
    return image


def _shortened(text: str, fits: Callable[[str], bool]) -> str:
    """Cut the end of a text that does not fit."""
    if fits(text):
        return text
    return next(f"{text[:end]}…" for end in range(len(text), -1, -1) if fits(f"{text[:end]}…"))
