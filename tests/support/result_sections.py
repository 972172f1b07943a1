"""Whether pages find in the results of a command all that they ask for."""

from unittest.mock import patch

from jaxdissect.report.sections import sections_of
from jaxdissect.report.sections.result_folder import ResultFolder

OPTIONAL = {"layer", "best_iou"}
"""Columns that only some runs have."""


def columns_missed(folder):
    """Columns that the sections of a folder ask for and its tables lack, as (table, column)."""
    missed, rows = set(), ResultFolder.rows

    def recorded(self, name, **options):
        class Recording(dict):
            def __contains__(self, column):
                self.note(column)
                return super().__contains__(column)

            def get(self, column, default=None):
                self.note(column)
                return super().get(column, default)

            def note(self, column):
                if not super().__contains__(column) and column not in OPTIONAL:
                    missed.add((name, column))

        return (Recording(row) for row in rows(self, name, **options))

    with patch.object(ResultFolder, "rows", recorded):
        assert sections_of(folder)
    return missed
