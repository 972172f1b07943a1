"""Files that say what the channels of a network stand for, in the order of the channels."""

from pathlib import Path

from jaxdissect.arrays.concepts import CATEGORIES, Vocabulary, read_concepts
from jaxdissect.arrays.name_lists import NOTHING, read_name_list
from jaxdissect.networks.segmenters.scored_segmenter import Concept
from jaxdissect.networks.weights.files import FilePath


def read_channel_concepts(path: FilePath) -> Vocabulary | tuple[Concept, ...]:
    """Read what the channels of a network stand for, for `segmenter_of`.

    The file is one that `jaxdissect.arrays.concepts.read_concepts` reads: a table, or a name on
    every line, numbered or not. There is a channel for every line. Where the first or the last is
    called `background` (or `none`, `-`, or another of `NOTHING`), its channel stands for nothing.
    Only where the lines are numbered from 1, and neither end is called so, there may also be one
    channel more, which is number 0 and stands for nothing.

    Raises:
        ValueError: If the file is malformed, or its numbers do not count from 0 or 1.
        OSError: If the file cannot be opened.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return read_concepts(path)
    listed = read_name_list(path)
    numbers = [entry.number for entry in listed if entry.number is not None]
    first = min(numbers, default=1)
    if numbers:
        listed = sorted(listed, key=lambda entry: entry.number or 0)
    is_nothing = [entry.name.lower() in NOTHING for entry in listed]
    counted = sorted(numbers) == [*range(first, first + len(numbers))]
    if first in (0, 1) and counted and any(is_nothing[:1] + is_nothing[-1:]):
        ends = (0, len(listed) - 1)
        return tuple(
            None
            if place in ends and is_nothing[place]
            else (entry.name, entry.category or CATEGORIES[0])
            for place, entry in enumerate(listed)
        )
    known = read_concepts(path, first_label=0 if first == 0 and not is_nothing[0] else 1)
    if numbers and first == 1:
        return known
    return tuple(zip(known.names[1:], known.categories[1:], strict=True))
