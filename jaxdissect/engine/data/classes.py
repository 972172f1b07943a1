"""Classes of the images of a folder, which are the names of the folders that they lie in."""

from collections.abc import Sequence

import numpy as np

from jaxdissect.engine.batching import Joined, Stored
from jaxdissect.engine.data.folders import ImageFolder


def with_classes(
    source: ImageFolder, *, class_names: Sequence[str] | None = None
) -> tuple[Joined, tuple[str, ...]]:
    """Add to every image its class under "label".

    Args:
        source: Images, each in a folder named like its class: `kitchen/1.jpg`, `a/abbey/1.jpg`.
        class_names: All classes, in the order of their numbers; sorted folder names when None.

    Returns:
        The images with their classes, and the names of the classes.

    Raises:
        ValueError: If an image lies in no folder, or in one that is none of `class_names`.
    """
    folders = [name.rpartition("/")[0] for name in source.names]
    if "" in folders:
        loose = source.names[folders.index("")]
        raise ValueError(f"`images` must lie in folders named like their classes; {loose} does not")
    names = tuple(sorted(set(folders)) if class_names is None else class_names)
    number = {name: i for i, name in enumerate(names)}
    unknown = sorted(set(folders) - set(number))
    if unknown:
        raise ValueError(
            f"`class_names` has no class {unknown[0]!r}, nor {len(unknown) - 1} other folders of "
            f"the images; it begins with: {', '.join(names[:3])}"
        )
    labels = np.array([number[folder] for folder in folders], np.int32)
    return Joined(source, Stored({"label": labels})), names
