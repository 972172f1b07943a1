"""Classes of the images of a folder, which are the names of the folders that they lie in."""

import os
from collections.abc import Sequence

import numpy as np

from jaxdissect.arrays.names import listed
from jaxdissect.engine.batching import Joined, Stored
from jaxdissect.engine.data.class_names import find_classes, order_of_folders, read_class_names
from jaxdissect.engine.data.folders import ImageFolder


def with_classes(
    source: ImageFolder,
    *,
    class_names: Sequence[str] | str | os.PathLike[str] | None = None,
    num_outputs: int | None = None,
) -> tuple[Joined, tuple[str, ...]]:
    """Add to every image its class under "label", the number of the network's output for it.

    Args:
        source: Images, each in a folder named like its class: `kitchen/1.jpg`, `a/abbey/1.jpg`, or
            like the number of its class: `3/1.jpg`.
        class_names: All classes, in the order of the outputs, or the file that lists them (see
            `read_class_names`). None where the folders are one for one with the outputs, 0 to N - 1
            or sorted by name.
        num_outputs: Outputs of the network, to check that there are as many classes; None: not
            checked.

    Returns:
        The images with their classes, and the names of all classes.

    Raises:
        ValueError: If an image lies in no folder, folders and outputs are not one for one and there
            are no `class_names`, or a folder is named like none of them, or like several.
        OSError: If the file of `class_names` cannot be opened.
    """
    folders = [name.rpartition("/")[0] for name in source.names]
    if "" in folders:
        loose = source.names[folders.index("")]
        raise ValueError(f"`images` must lie in folders named like their classes; {loose} does not")
    distinct = list(dict.fromkeys(folders))
    if class_names is None:
        names = tuple(order_of_folders(distinct))
        number = {name: i for i, name in enumerate(names)}
    else:
        is_file = isinstance(class_names, (str, os.PathLike))
        names = read_class_names(class_names) if is_file else tuple(class_names)
        number = dict(zip(distinct, find_classes(distinct, names), strict=True))
    if num_outputs is not None:
        given = "folders of images" if class_names is None else "names in `class_names`"
        check_num_outputs(names, num_outputs, given)
    labels = np.array([number[folder] for folder in folders], np.int32)
    return Joined(source, Stored({"label": labels})), names


def check_num_outputs(names: Sequence[str], num_outputs: int, given: str) -> None:
    """Check that classes are one for one with the outputs of a network.

    Args:
        names: Names of the classes.
        num_outputs: Number of outputs.
        given: What the names were found as.

    Raises:
        ValueError: If there are more or less classes than outputs.
    """
    if len(names) != num_outputs:
        raise ValueError(
            f"there are {len(names)} {given} ({listed(names, most=3)}), "
            f"but the network has {num_outputs} outputs: give as `class_names` the file with the "
            "names of all outputs in their order"
        )
