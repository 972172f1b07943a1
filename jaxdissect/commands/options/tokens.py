"""Options that say how token layers lie on the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

from jaxdissect.networks.network import Network, as_network

WAYS = (
    "pass --token-grid ROWS COLUMNS, and in --drop-tokens the tokens that are no cells: leading 2, "
    "trailing 4, or at 0 98"
)
"""What to do where the grid of a token layer is not clear."""

WAYS_OF_CELLS = (
    "pass --join-heads if it gives tokens by attention heads; if it is a picture, say so by "
    "--token-grid ROWS COLUMNS"
)
"""What to do where a layer of four axes does not have the image's aspect."""


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """Options that say how token layers lie on the image."""

    token_grid: Annotated[
        tuple[int, int] | None,
        arg(metavar="ROWS COLUMNS", help_behavior_hint="(default: by the image's aspect)"),
    ] = None
    """Grid of token layers [B, T, U]; also of a layer [B, h, w, U] without the image's aspect."""
    drop_tokens: Annotated[
        tuple[str, ...],
        arg(metavar="TOKENS", help_behavior_hint="(default: a leading class token, if any)"),
    ] = ()
    """Tokens that are no cells of the image: `leading N`, `trailing N`, `at POSITION ...`, or
    several of these; a number alone is `leading N`."""
    join_heads: FlagCreatePairsOff[bool] = False
    """The layers give attention heads [B, T, heads, d]: the channels of all heads are units."""

    def laid_out(self, network: Network, layers: Sequence[str]) -> Network:
        """Tell a network how these layers are to be read.

        Raises:
            ValueError: If the options make no sense.
        """
        return as_network(
            network,
            token_grid=self.token_grid,
            drop_tokens=read_drop_tokens(self.drop_tokens),
            join_heads=layers if self.join_heads else (),
        )


def read_drop_tokens(words: Sequence[str]) -> int | tuple[int, ...] | None:
    """Read which tokens are no cells, as `as_network` takes them.

    Raises:
        ValueError: If the words make no sense.
    """
    refusal = ValueError(
        f"`drop_tokens` (={' '.join(words)}) must be like: leading 2, trailing 4, at 0 98, or "
        "leading 1 trailing 4"
    )
    if len(words) == 1:
        try:
            return int(words[0])
        except ValueError:
            raise refusal from None
    kind, groups = "", list[tuple[str, int]]()
    for word in words:
        if word in ("leading", "trailing", "at"):
            kind = word
            continue
        whole = word.removeprefix("-") if kind == "at" else word
        if not kind or not (whole.isascii() and whole.isdigit()):
            raise refusal
        groups.append((kind, int(word)))
        if kind != "at":
            kind = ""
    if not words:
        return None
    if not groups or words[-1] in ("leading", "trailing", "at"):
        raise refusal
    if len(groups) == 1 and groups[0][0] != "at":
        ((kind, number),) = groups
        return number if kind == "leading" else -number
    positions: list[int] = []
    for kind, number in groups:
        if kind == "at":
            positions.append(number)
        else:
            positions += range(number) if kind == "leading" else range(-number, 0)
    return tuple(positions)
