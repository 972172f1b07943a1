"""The benchmark's page in a browser, at both widths and in both schemes."""

import pytest
from support.bench_runs import failed_run
from support.site_page import CHROMIUM, DRIVER, SitePage, chromium

from jaxdissect.bench.rendering import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver on the path"
    ),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_report(failed_run(), folder)
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield SitePage(driver, folder)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page(page, width, scheme):
    page.look(width=width, scheme=scheme)
    page.browser.get((page.folder / "report.html").as_uri())
    assert not page.is_wider_than_window()
    assert page.problems() == []
    assert page.console() == []
    assert all(address.startswith(("file:", "data:")) for address in page.requests())
    charts = [chart for chart in page.all("figure svg[role=img]") if chart.is_displayed()]
    assert len(charts) == 1
    # Names are in view, and texts of the chart are not too small to read.
    size = page.do(
        "const box = arguments[0].getBoundingClientRect();"
        "return [box.width, arguments[0].viewBox.baseVal.width]",
        charts[0],
    )
    assert size[0] >= 0.95 * size[1]
    background = page.do("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_command_is_copied(page):
    page.look()
    page.browser.get((page.folder / "report.html").as_uri())
    page.find(".copy").click()
    page.until("return document.querySelector('.copy').textContent !== 'Copy'")
    assert page.texts(".copy")[0] in ("Copied", "Selected")
