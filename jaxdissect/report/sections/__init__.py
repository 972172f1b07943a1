"""What a page says of each kind of result."""

from jaxdissect.report.sections.result_sections import sections_of as sections_of
