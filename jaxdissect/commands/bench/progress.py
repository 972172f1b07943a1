"""Tell on stderr how far a suite is: a line for every row and study, written as it ends."""

import sys
import time

from jaxdissect.arrays.names import printable_lines
from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.record import Row, StudyResult
from jaxdissect.bench.run import RunListener
from jaxdissect.commands.bench.tables import roofs_line, row_line, study_line


class RowLines(RunListener):
    """Names each step when it begins, and says at its end what was found."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._roofs: Roofs | None = None

    def begins(self, name: str, number: int, total: int) -> None:
        """Begin a line."""
        elapsed = time.monotonic() - self._begun
        print(
            printable_lines(f"{elapsed:6.0f} s  {number:>{len(str(total))}}/{total}  {name}: "),
            end="",
            file=sys.stderr,
            flush=True,
        )

    def ends(self, found: Roofs | Row | StudyResult) -> None:
        """End the line."""
        if isinstance(found, Roofs):
            self._roofs = self._roofs or found  # those before the rows
            line = roofs_line(found)
        elif isinstance(found, Row):
            assert self._roofs is not None  # a run begins with them
            line = row_line(found, self._roofs)
        else:
            line = study_line(found)
        print(printable_lines(line), file=sys.stderr, flush=True)
