"""Files that say what the channels of a network stand for, in the order of the channels."""

from pathlib import Path

from jaxdissect.arrays.concepts import CATEGORIES, Vocabulary, read_concepts
from jaxdissect.arrays.name_lists import NOTHING, read_name_list
from jaxdissect.networks.segmenters.scored_segmenter import Concept
from jaxdissect.networks.weights.files import FilePath


def read_channel_concepts(path: FilePath) -> Vocabulary | tuple[Concept, ...]:
    """Read what the channels of a network stand for, for `segmenter_of`.

    The file is one that `jaxdissect.arrays.concepts.read_concepts` reads: a table, or a name on
    every line, numbered or not. Where channel 0 is listed, as `0: background`, `0: sky`, or
    `background` on the first of lines that are not numbered, there is a channel for every line.
    Otherwise channels are as many as names, or one more, the first of which then stands for
    nothing.

    Raises:
        ValueError: If the file is malformed, or its numbers do not count from 0 or 1.
        OSError: If the file cannot be opened.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return read_concepts(path)
    listed = read_name_list(path)
    first = next((entry for entry in listed if entry.number in (0, None)), None)
    if first is None or (first.number is None and first.name.lower() not in NOTHING):
        return read_concepts(path)
    is_nothing = first.name.lower() in NOTHING
    if first.number is None:
        rest = tuple((entry.name, entry.category or CATEGORIES[0]) for entry in listed[1:])
        return (None, *rest)
    known = read_concepts(path, first_label=1 if is_nothing else 0)
    concepts = tuple(zip(known.names[1:], known.categories[1:], strict=True))
    return (None, *concepts) if is_nothing else concepts
