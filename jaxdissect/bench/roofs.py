"""What a device reaches: the roofs that a row is measured against (Williams et al., CACM 2009).

They are measured on this very device, not read from a data sheet.
"""

from dataclasses import dataclass

from jaxdissect.bench.workload import Work


@dataclass(frozen=True, kw_only=True)
class Roofs:
    """What one device reaches in a second.

    Attributes:
        products: Floating-point operations of a large matrix product, by precision: "highest",
            "default" (float32 as the device does it) and "bfloat16".
        operations: Comparisons of float32 values that are in the cache, each with the addition of
            its result.
        bytes: Read from and written to its memory by a copy much larger than its caches.
    """

    products: dict[str, float]
    operations: float
    bytes: float

    def least_seconds(self, work: Work, precision: str = "default") -> dict[str, float]:
        """Tell how long some work takes at least on one device, by each of the three roofs."""
        return {
            "products": work.products / self.products[precision],
            "operations": work.operations / self.operations,
            "bytes": work.bytes / self.bytes,
        }
