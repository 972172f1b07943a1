"""Settings: filled from configuration files, types checked."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from jaxdissect.reproduction.settings import read_settings


@dataclass(frozen=True, kw_only=True)
class Kind:
    layers: tuple[str, ...]
    units: Mapping[str, int]
    level: float = 0.5
    most: int = 3
    flag: bool = False
    name: str = "x"


def test_lists_become_tuples_and_numbers_floats():
    found = read_settings(Kind, {"layers": ["a", "b"], "units": {"snow": 1}, "level": 1})
    assert found == Kind(layers=("a", "b"), units={"snow": 1}, level=1.0)
    assert isinstance(found.level, float)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"units": {}}, "settings layers are missing"),
        ({"layers": [], "units": {}, "laye": 1}, "unknown settings laye; there are: layers"),
        ({"layers": "a", "units": {}}, "`layers` .* must be of type tuple"),
        ({"layers": [], "units": []}, "`units` .* must be of type Mapping"),
        ({"layers": [], "units": {}, "most": True}, "`most` .* must be of type int"),
        ({"layers": [], "units": {}, "most": 1.5}, "`most` .* must be of type int"),
        ({"layers": [], "units": {}, "flag": 1}, "`flag` .* must be of type bool"),
    ],
)
def test_others_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        read_settings(Kind, given)
