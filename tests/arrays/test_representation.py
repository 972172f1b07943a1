"""Results and sources print in a few lines, whatever they hold."""

import importlib
import inspect
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from support import drawn_results

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.data.folders import ImageFolder
from jaxdissect.stats.auroc import AurocCounts

PACKAGES = ("arrays", "stats", "engine", "engine.data", "scenes", "dissection", "classifiers")
PACKAGES += ("generators", "attacks", "styles", "painting")
SHOWN_OTHERWISE = {"LayerDissection"}  # in a line of text, see tests/dissection


class Pair(NamedTuple):
    first: object
    second: object

    __repr__ = short_repr


@dataclass(frozen=True)
class Result:
    names: tuple
    size: tuple
    inner: object
    by_name: dict

    __repr__ = short_repr


def test_fields_are_shown_in_short():
    pair = Pair(np.zeros((512, 10), np.float32), 0.5)
    assert repr(pair) == "Pair(first=float32[512, 10], second=0.5)"
    given = {str(i): pair for i in range(9)}
    text = repr(Result(tuple("abcdefgh"), (3, 4), pair, given))
    assert text == (
        "Result(names=('a', 'b', 'c', 'd', … 8 in all), size=(3, 4), inner=Pair(…), "
        "by_name={'0', '1', '2', '3', … 9 in all})"
    )
    assert len(repr(Pair("x" * 1000, [pair] * 1000))) < 200


def test_results_and_folders_print_in_short(tmp_path):
    result = drawn_results.dissection_with(early=[0] * 100, late=[1, 1, 7, 2, 0])
    names = tuple(f"{i}.jpg" for i in range(10_000))
    folder = ImageFolder(names, tuple(tmp_path / name for name in names), ((),) * len(names))
    concepts = vocabulary([(f"concept {i}", "object") for i in range(1000)])
    counts = AurocCounts(*(np.zeros((300, 10, 256)),) * 4)
    for value in (result, result["early"], folder, concepts, counts):
        text = repr(value)
        assert len(text) < 800 and "\n" not in text, text
    assert "10000 in all" in repr(folder) and "layers 'early', 'late'" in repr(result)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_records_of_arrays_print_in_short(package):
    found = importlib.import_module(f"jaxdissect.{package}")
    for name, value in vars(found).items():
        if not inspect.isclass(value) or name.startswith("_"):
            continue
        fields = getattr(value, "__annotations__", {}).values()
        record = hasattr(value, "__dataclass_fields__") or hasattr(value, "_fields")
        if record and any(hasattr(field, "array_type") for field in fields):
            own = name in SHOWN_OTHERWISE
            assert own or value.__repr__ is short_repr, f"{package}.{name}"
