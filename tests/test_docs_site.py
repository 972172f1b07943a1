"""The documentation as a site: built without a warning, and opened from disk in Chromium."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from support.site_page import CHROMIUM, DRIVER, SitePage, chromium

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("mkdocs", "mkdocstrings")),
        reason="needs the group docs",
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    return folder


@pytest.fixture(scope="module")
def page(site, tmp_path_factory):
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver on the path")
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield SitePage(browser, site)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_their_window_and_ask_for_nothing_outside(page, width, scheme):
    page.look(width=width, scheme=scheme)
    for path in (
        *("index.html", "experiments/ablate.html", "your-own/published-networks.html"),
        *("real-networks.html", "reference/command-line/dissect.html"),
        "reference/python/jaxdissect.dissection.html",
    ):
        page.browser.get(f"{page.folder.as_uri()}/{path}")
        page.until("return document.readyState === 'complete'")
        assert not page.is_wider_than_window(), path
        assert page.console() == [], path
    asked = [url for url in page.requests() if not url.startswith(("about:", "data:", "blob:"))]
    assert asked and all(url.startswith(page.folder.as_uri()) for url in asked)


def test_search_finds_pages_from_disk(page):
    page.look()
    page.browser.get(f"{page.folder.as_uri()}/experiments/detect.html")
    field = page.find("input.md-search__input")
    field.click()
    field.send_keys("StyleGAN")
    page.until("return document.querySelectorAll('.md-search-result__item a').length > 0")
    found = [
        link.get_attribute("href")
        for link in page.browser.find_elements(By.CSS_SELECTOR, ".md-search-result__item a")
    ]
    assert any("/answers.html" in link for link in found)
    assert page.console() == []


def test_parameters_that_are_described_together_get_an_entry_each(site):
    """As `a, b: …` of a docstring that the site shows."""
    from joint_parameters import separated  # which stands on the group docs

    docstring = (
        "Do it.\n\nArgs:\n    one: First.\n    low, high: Ends\n        of it.\n\n"
        "    last: Last.\n\nReturns:\n    a, b: not of parameters.\n"
    )
    assert separated(docstring) == (
        "Do it.\n\nArgs:\n    one: First.\n    low: Ends\n        of it.\n\n"
        "    high: Ends\n        of it.\n\n    last: Last.\n\n"
        "Returns:\n    a, b: not of parameters.\n"
    )
    page = (site / "reference/python/jaxdissect.stats.html").read_text()
    assert ">low<" in page and ">low, high<" not in page
