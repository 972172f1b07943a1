"""Show what a run of the benchmark measured: as CSV, Markdown, a page and RESULTS.md."""

from jaxdissect.bench.rendering.markdown import write_markdown as write_markdown
from jaxdissect.bench.rendering.page import write_report as write_report
from jaxdissect.bench.rendering.results import render_results as render_results
from jaxdissect.bench.rendering.summary import write_summary as write_summary
