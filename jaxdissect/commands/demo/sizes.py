"""How large the experiments of the demonstration are."""

from typing import NamedTuple


class DemoSizes(NamedTuple):
    """Numbers of pictures and images, and what is done with them.

    Attributes:
        pictures: Pictures to dissect the classifier with.
        ranking: Pictures to rank its units with, these among them.
        judging: Other pictures, to measure with what removals do.
        latents: Images to dissect the generator with; as many others lose their trees.
        removed: How many of the units that match trees best are removed together, from 0 on.
        inserting: Images in which units are inserted, at every cell of a layer.
        sample: Pictures in which the page's histograms and mistakes of units are found.
    """

    pictures: int
    ranking: int
    judging: int
    latents: int
    removed: tuple[int, ...]
    inserting: int
    sample: int


def demo_sizes(*, full: bool, num_images: int | None, num_latents: int | None) -> DemoSizes:
    """Choose the sizes: enough to see what the experiments show, or all that is worth the time.

    Args:
        full: Whether to take the time.
        num_images: Pictures to dissect; None for 384, or 640.
        num_latents: Images of the generator; None for 64, or 256.
    """
    pictures = num_images or (640 if full else 384)
    latents = num_latents or (256 if full else 64)
    return DemoSizes(
        pictures=pictures,
        ranking=(4 if full else 2) * pictures,
        judging=(2 if full else 1) * pictures,
        latents=latents,
        removed=tuple(range(21)) if full else (0, 5, 10, 20),
        inserting=latents // 4 if full else max(8, latents // 8),
        sample=512 if full else 128,
    )
