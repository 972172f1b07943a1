"""Options of the commands whose page shows the units of a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.output import OutputOptions
from jaxdissect.dissection.example_search import unit_examples
from jaxdissect.dissection.result import Dissection
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.labelers import Labeler


@dataclass(frozen=True, kw_only=True)
class UnitPageOptions(OutputOptions):
    """What the page shows of every unit."""

    num_top_images: Annotated[int, arg(metavar="N")] = 16
    """Images to find with the highest peaks of each unit; the page shows them all, lit where the
    unit is active."""
    page_sample: Annotated[int, arg(metavar="N")] = 512
    """Images, evenly spread over all, in which the page's histograms and mistakes are found."""

    def check_unit_page(self) -> None:
        """Check these options.

        Raises:
            ValueError: If a number is below 1.
        """
        check_at_least(self, num_top_images=1, page_sample=1)

    def write_unit_examples(
        self,
        folder: Path,
        result: Dissection,
        network: Any,
        source: Source,
        labeler: Labeler,
        *,
        progress: Progress,
        how: Mapping[str, Any] | None = None,
    ) -> None:
        """Find and write what the page shows of every unit, if there is to be a page.

        Args:
            folder: Where to write.
            result: The dissection.
            network, source, labeler: What it was made with.
            progress: Called with how far each pass has come.
            how: `inputs` and `output_image`, if `dissect` was given them.
        """
        if not self.page:
            return
        found = unit_examples(
            result,
            network,
            source,
            labeler,
            num_images=self.num_top_images,
            sample=self.page_sample,
            mesh=self.computing.mesh,
            progress=progress,
            **(how or {}),
        )
        found.save(folder)
