"""How layers lie on the image: as pictures of cells, or as tokens in rows of a grid.

A picture [B, h, w, U] and the grid of a token layer [B, T, U] have cells of the image's aspect.
What the grid of tokens is follows from that where only one reading fits; everything that can be
read in two ways, or in none, is refused, and can be said with `token_grid` and `drop_tokens`.

Letters: B batch, h w layer grid, T tokens, U units.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

Shape = tuple[int, int]

KNOWN_EXTRAS = (0, 1, 2, 4, 5, 8, 9, 16, 17)
"""How many tokens that are no cells networks are known to have: none, a class token, that and a
distillation token, or 4, 8 or 16 registers with a class token or without."""

_WAYS = (
    "pass `token_grid`, its rows and columns, and in `drop_tokens` the tokens that are no cells: 2 "
    "for two leading ones, -2 for two trailing ones, or positions such as (0, 98)"
)


class LayoutError(ValueError):
    """A layer has no reading, or two.

    Attributes:
        found: What the layer gives, and why it cannot be read.
        cells: Whether it gives [B, h, w, U], not tokens [B, T, U].
    """

    def __init__(self, found: str, ways: str, *, cells: bool = False) -> None:
        super().__init__(f"{found}; {ways}")
        self.found, self.cells = found, cells


class TokenLayout(NamedTuple):
    """What is known of the token layers of a network; a static argument of jitted functions.

    Attributes:
        grid: Rows and columns of the grid; None where they follow from the image.
        drop: Tokens that are no cells: so many leading ones, minus so many trailing ones, or their
            positions, negative ones from the end. None for one leading class token or none,
            whichever fits.
    """

    grid: Shape | None = None
    drop: int | tuple[int, ...] | None = None

    def updated(
        self, token_grid: Sequence[int] | None, drop_tokens: int | Sequence[int] | None
    ) -> "TokenLayout":
        """Put in what a user gives.

        Raises:
            ValueError: If `token_grid` is no pair of positive integers, or `drop_tokens` neither an
                integer nor different positions.
        """
        grid, drop = self
        if token_grid is not None:
            grid = _integers("token_grid", token_grid)
            if len(grid) != 2 or min(grid) < 1:
                raise ValueError(
                    f"`token_grid` (={token_grid!r}) must be rows and columns, such as (14, 14)"
                )
        if drop_tokens is not None:
            if isinstance(drop_tokens, int | np.integer):
                drop = int(drop_tokens)
            else:
                drop = _integers("drop_tokens", drop_tokens)
        return TokenLayout(None if grid is None else (grid[0], grid[1]), drop)


def lay_out(
    activations: Float[Array, "B h w U"] | Float[Array, "B T U"],
    layout: TokenLayout,
    image_size: Shape | None,
    name: str,
) -> Float[Array, "B h w U"]:
    """Lay activations out as maps.

    Args:
        activations: Maps, returned unchanged, or tokens in rows of the grid.
        layout: What is known of token layers.
        image_size: Height and width of the image, which cells are compared with; None where it is
            not known.
        name: What the activations are called in messages.

    Raises:
        LayoutError: If there is no reading, or more than one.
    """
    if activations.ndim == 4:
        check_cells(activations.shape, layout, image_size, name)
        return activations
    batch, tokens, units = activations.shape
    grid, kept = find_grid(tokens, layout, image_size, name)
    return activations[:, kept].reshape(batch, *grid, units)


def find_grid(
    tokens: int, layout: TokenLayout, image_size: Shape | None, name: str
) -> tuple[Shape, np.ndarray | slice]:
    """Find the grid that tokens fill, and which of them do.

    Args:
        tokens: How many there are, T.
        layout: What is known of them.
        image_size: Height and width of the image, or None.
        name: What the layer is called in messages.

    Raises:
        LayoutError: If there is no reading, or more than one.
    """
    kept = None if layout.drop is None else _kept(tokens, layout.drop, name)
    left = tokens if kept is None else len(kept)
    dropped = "" if kept is None else f" but for `drop_tokens` (={layout.drop})"
    found = f"{name} gives {tokens} tokens{dropped}"
    if layout.grid is not None:
        extra = left - math.prod(layout.grid)
        if extra == 0 or (extra == 1 and kept is None):
            return layout.grid, slice(extra, None) if kept is None else kept
        also = ", with or without one class token" if kept is None else ""
        raise LayoutError(f"{found}, which do not fill `token_grid` (={layout.grid}){also}", _WAYS)
    if image_size is None:
        raise LayoutError(
            f"{found}, whose grid depends on the size of the image (`image_size` of `as_maps`)",
            _WAYS,
        )
    readings = _find_readings(left, image_size, (0,) if kept is not None else KNOWN_EXTRAS)
    if len(readings) == 1 and readings[0][1] <= 1:
        ((grid, extra),) = readings
        return grid, slice(extra, None) if kept is None else kept
    height, width = image_size
    listed = " or ".join(f"{h} x {w}" + f" + {extra}" * bool(extra) for (h, w), extra in readings)
    possible = f" (perhaps {listed})" if listed else ""
    which = "more than one grid" if len(readings) > 1 else "no grid"
    also = ", with or without one class token" if kept is None else ""
    raise LayoutError(
        f"{found}, which fill {which} of cells with the aspect of images of {height} x {width} "
        f"pixels{also}{possible}",
        _WAYS,
    )


def _find_readings(
    tokens: int, image_size: Shape, extras: Sequence[int]
) -> list[tuple[Shape, int]]:
    """Find the grids of cells with the image's aspect that tokens may fill.

    Args:
        tokens: How many there are.
        image_size: Height and width of the image.
        extras: How many of them may be no cells.

    Returns:
        Grids and how many tokens are left over: those whose cells are squares that tile the image,
        or, where there is none, those that are rounded as by patches that do not tile it.
    """
    for grids in (_tilings(image_size), _roundings(image_size)):
        found = {
            (grid, extra)
            for grid in grids
            for extra in extras
            # Registers beside a single cell are no reading that a network has.
            if math.prod(grid) == tokens - extra and (extra < 2 or math.prod(grid) > 1)
        }
        if found:
            return sorted(found, key=lambda reading: reading[1])
    return []


def check_cells(
    shape: Sequence[int], layout: TokenLayout, image_size: Shape | None, name: str
) -> None:
    """Refuse layers [B, h, w, U] whose cells do not have the image's aspect.

    Raises:
        LayoutError: If h and w cannot come of the image by strides and borders that are the same
            for rows and columns, and the layout does not name them.
    """
    cells = (shape[1], shape[2])
    if image_size is None or cells == layout.grid or has_aspect(cells, image_size):
        return
    raise LayoutError(
        f"{name} gives [B, {shape[1]}, {shape[2]}, {shape[3]}], which is no picture of "
        f"{shape[1]} x {shape[2]} cells with the aspect of images of {image_size[0]} x "
        f"{image_size[1]} pixels",
        f"if it is {shape[1]} tokens of {shape[2]} attention heads, pass "
        "as_network(model, join_heads=[layer]), where channels of heads are units; if it is a "
        f"picture, pass `token_grid` = ({shape[1]}, {shape[2]})",
        cells=True,
    )


def has_aspect(cells: Shape, image_size: Shape) -> bool:
    """Find out whether the cells of a picture may have the image's aspect.

    So may a single cell, cells of exactly the image's aspect, and those that come of it by a stride
    s and a border c that both axes share, (H - c) / s by (W - c) / s: rounding may make a cell of
    difference, and borders eat up to half of the picture.
    """
    (h, w), (height, width) = cells, image_size
    if cells == (1, 1) or h * width == w * height:
        return True
    return any(
        abs((height - width) / stride - (h - w)) <= 1
        and all(
            size / (2 * stride) - 1 <= number <= size / stride + 1
            for number, size in ((h, height), (w, width))
        )
        for stride in range(1, max(image_size) + 1)
        if height != width
    )


def _tilings(image_size: Shape) -> Iterator[Shape]:
    height, width = image_size
    greatest = math.gcd(height, width)
    for patch in range(1, greatest + 1):
        if greatest % patch == 0:
            yield height // patch, width // patch


def _roundings(image_size: Shape) -> Iterator[Shape]:
    height, width = image_size
    for patch in range(1, min(image_size) + 1):
        yield height // patch, width // patch
        yield -(-height // patch), -(-width // patch)
    step = math.gcd(height, width)
    for times in range(1, step + 1):  # exactly the image's aspect, whatever the size of the cells
        yield height // step * times, width // step * times


def _kept(tokens: int, drop: int | tuple[int, ...], name: str) -> np.ndarray:
    """Find the positions of the tokens that stay."""
    positions = np.arange(tokens)
    if isinstance(drop, int):
        kept = positions[drop:] if drop >= 0 else positions[:drop]
    else:
        wrong = [place for place in drop if not -tokens <= place < tokens]
        if wrong:
            raise LayoutError(
                f"{name} gives {tokens} tokens, and `drop_tokens` names {wrong}", _WAYS
            )
        kept = np.delete(positions, np.array(drop, np.int64))
        if len(kept) != tokens - len(drop):
            raise LayoutError(
                f"{name} gives {tokens} tokens, and `drop_tokens` (={drop}) names some twice", _WAYS
            )
    if not len(kept):
        raise LayoutError(f"{name} gives {tokens} tokens, and `drop_tokens` (={drop}) all", _WAYS)
    return kept


def _integers(argument: str, values: Sequence[int]) -> tuple[int, ...]:
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ValueError(f"`{argument}` (={values!r}) must be integers")
    return tuple(found.tolist())
