"""What the outputs of classifiers of ImageNet stand for."""

from functools import cache
from pathlib import Path

_LIST = Path(__file__).with_name("ilsvrc2012.txt")


def imagenet_classes() -> tuple[str, ...]:
    """Name the 1000 classes of ImageNet's challenge of 2012, in the order of a network's outputs.

    Returns:
        A name for each class, all different: the first word of its synset in WordNet, such as
        "tench". Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015.
    """
    return tuple(name for _, name in _entries())


def imagenet_synsets() -> tuple[str, ...]:
    """Give the WordNet ids of the classes, such as "n01440764", by which data sets name folders."""
    return tuple(synset for synset, _ in _entries())


@cache
def _entries() -> tuple[tuple[str, str], ...]:
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(" ") for line in lines if not line.startswith("#"))
    return tuple((synset, name) for synset, _, name in pairs)
