"""Growth of a dissection: what is refused, and a small one to the end."""

import pytest

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.studies.growth import GROWTH, GrowthSizes

ROOFS = Roofs(products={"default": 1.0}, operations=1.0, bytes=1.0)  # which growth does not need
NOTHING = {
    name: () for name in ("images", "units", "concepts", "layers", "channels", "unkept_images")
}


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"images": (8,)}, "`images` (=(8,)) must be two or more numbers"),
        (
            {"units": (8, 4)},
            "`units` (=(8, 4)) must be two or more numbers from 1 on that increase",
        ),
        ({"unkept_images": (0, 4)}, "`unkept_images` (=(0, 4)) must be"),
        ({"concepts": (1, 2)}, "`concepts` (=1) must be at least 2"),
        (NOTHING, "are all empty"),
        ({"rounds": 1}, "`rounds` (=1) must be at least 2"),
        ({"batch_size": 0}, "`batch_size` (=0) must be at least 1"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes, words):
    with pytest.raises(ValueError) as refused:
        GrowthSizes(**sizes)
    assert words in str(refused.value)


@pytest.mark.slow
def test_a_small_growth_is_measured_to_the_end():
    sizes = GrowthSizes(
        **{**NOTHING, "images": (4, 8), "units": (4, 8), "unkept_images": (4, 8)},
        base_images=4,
        base_units=4,
        base_concepts=9,
        side=16,
        hidden=7,
        batch_size=4,
        rounds=2,
    )
    found = GROWTH.measure(sizes, ROOFS)
    exact = {name: gate for name, gate in found.gates.items() if not name.startswith("linear")}
    assert all(gate.passed for gate in exact.values()), exact
    assert len(found.gates) == 3 * 3  # each: against NumPy, every round, linear or better
    fitted, measured = found.tables
    assert [row[0] for row in fitted.rows] == ["images", "units of a layer", "images, nothing kept"]
    assert [row[:2] for row in measured.rows][:2] == [("images", 4), ("images", 8)]
    assert len(found.data["growth"]["units"]["seconds"]) == 2
