"""The painting page in a browser: Chromium paints on the built-in generator."""

import base64
import json
import shutil
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from support.painting_page import Page, until

from jaxdissect.dissection.result import load_dissection
from jaxdissect.generators.dissection import ranked_units
from jaxdissect.painting import as_bytes, from_json, replay
from jaxdissect.painting.rendering import painted_cells
from jaxdissect.scenes.shipped import load_generator

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.optimised,  # as is the server, whose pixels must be those of Python
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver on the path"
    ),
]

COMMAND = "from jaxdissect.commands.main import main; raise SystemExit(main())"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1280,1400",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("paint")


@pytest.fixture(scope="module")
def server(folder):
    """The command itself: its address, and its process."""
    options = ["--no-browser", "--num-latents", "32", "--samples", "6"]
    options += ["--dissection", str(folder / "dissection")]
    with (
        open(folder / "stderr.txt", "w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", COMMAND, "paint", *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), (folder / "stderr.txt").read_text()
        yield address, process
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert "Traceback" not in (folder / "stderr.txt").read_text()


@pytest.fixture(scope="module")
def browser(folder):
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options, ChromeService(str(DRIVER))) as driver:
        saved = {"behavior": "allow", "downloadPath": str(folder)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", saved)
        yield driver


@pytest.fixture
def page(server, browser):
    """The page, as it is when it has just been opened; nothing may go wrong in it unseen."""
    opened = Page(browser, server[0])
    yield opened
    assert browser.get_log("browser") == []


def difference(before, after, cells):
    """Mean change of the pixels of painted cells, and of the others."""
    inside = np.kron(cells, np.ones((8, 8), bool))
    change = np.abs(before.astype(int) - after).mean(axis=-1)
    return change[inside].mean(), change[~inside].mean()


# --- painting -------------------------------------------------------------------------------------


def test_a_door_is_painted_undone_and_saved(page, folder):
    original, before = page.source(), page.pixels()
    assert page.find("concept").get_attribute("value") == "door"
    page.drag((28, 36), (28, 52))
    painted, after = page.source(), page.pixels()
    document = from_json(page.saved("save-edit", folder / "painting_0.json"))
    cells = painted_cells(document, (8, 8))
    # Brush of 4 pixels along x = 28, from y = 36 to 52: the cells below, and no others.
    assert np.argwhere(cells).tolist() == [[4, 3], [5, 3], [6, 3]]
    inside, outside = difference(before, after, cells)
    assert inside > 3 * outside and inside > 5

    result = load_dissection(folder / "dissection")
    paint = document.paints["door, 20 units"]
    door = result.vocabulary.index("door", category="object")
    assert list(paint.units) == ranked_units(result, "layer4", door)[:20].tolist()
    thresholds = result["layer4"].thresholds[np.array(paint.units)]
    np.testing.assert_array_equal(np.array(paint.values, np.float32), thresholds)

    replayed = as_bytes(replay(load_generator(), document))
    np.testing.assert_array_equal(replayed, after)
    image = page.saved("save-image", folder / "painting_0.png")
    assert image == base64.b64decode(painted.partition("base64,")[2])

    page.click("undo")
    assert page.source() == original
    page.click("redo")
    assert page.source() == painted
    page.drag((50, 8))
    page.click("reset")
    assert page.source() == original
    page.click("undo")
    page.click("undo")
    assert page.source() == painted


def test_erasing_restoring_and_strength(page):
    original = page.source()
    page.find("concept").send_keys("tree")
    page.choose("erase")
    page.drag((10, 20), (54, 30))
    erased = page.source()
    assert erased != original
    page.choose("restore")
    page.set_range("brush", 32)
    page.drag((4, 12), (60, 36))
    assert page.source() == original
    page.choose("draw")
    page.set_range("strength", 0)
    page.drag((10, 10))
    assert page.source() == original  # zero strength changes nothing, bit for bit
    page.set_range("strength", 100)
    page.drag((10, 10))
    assert page.source() != original


def test_units_of_ones_own(page, folder):
    page.find("concept").send_keys("Units of my own")
    page.drag((20, 20))
    assert "at least one unit" in page.find("error").text
    page.find("own").send_keys("3, 128")
    assert "128 is no unit: they are 0 to 127" in page.find("own-error").text
    page.find("own").send_keys(3 * Keys.BACKSPACE, "17")
    assert not page.find("own-error").is_displayed()
    page.drag((20, 20))
    assert not page.find("error").is_displayed()
    document = from_json(page.saved("save-edit", folder / "painting_0.json"))
    assert [paint.units for paint in document.paints.values()] == [(3, 17)]
    assert len(document.strokes) == 1


def test_edits_can_be_opened_again(page, folder):
    page.drag((12, 50), (40, 50))
    painted, path = page.source(), folder / "painting_0.json"
    page.saved("save-edit", path)
    page.click("reset")
    page.find("file").send_keys(str(path))
    until(lambda: page.source() == painted)
    broken = folder / "broken.json"
    broken.write_text(path.read_text().replace('"draw"', '"smear"'))
    page.find("file").send_keys(str(broken))
    until(lambda: "must be one of: draw, erase, restore" in page.find("error").text)
    assert page.source() == painted
    assert [entry["level"] for entry in page.browser.get_log("browser")] == ["SEVERE"]  # the 422


def test_samples_keep_their_strokes(page):
    samples = page.browser.find_elements(By.CSS_SELECTOR, "#sample-list button")
    page.drag((30, 30))
    painted = page.source()
    samples[3].click()
    page.settle()
    assert page.source() != painted and "Sample 3" in page.find("picture").get_attribute("alt")
    assert not page.find("undo").is_enabled()
    samples[0].click()
    page.settle()
    assert page.source() == painted
    page.find("original").click()
    until(lambda: page.source().endswith("samples/0.png"))


# --- keyboard and touch ---------------------------------------------------------------------------


def test_everything_by_keyboard(page, folder):
    reached = []
    for _ in range(60):
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        active = page.browser.switch_to.active_element
        if active.tag_name == "body" or active in reached:
            break
        reached.append(active)
        assert active.accessible_name, active.get_attribute("outerHTML")
        shown = active if active.value_of_css_property("opacity") == "1" else None
        if shown is not None:
            assert active.value_of_css_property("outline-style") == "solid", active.accessible_name
    names = [element.get_attribute("id") for element in reached]
    for name in ("board", "original", "grid", "concept", "number", "brush", "strength"):
        assert name in names
    assert {"save-image", "save-edit", "open-edit"} <= set(names)
    assert "Draw" in [element.accessible_name for element in reached]
    assert "Sample 5" in [element.accessible_name for element in reached]

    original = page.source()
    page.browser.execute_script("document.getElementById('board').focus()")
    keys = ActionChains(page.browser)
    keys.send_keys(Keys.ARROW_LEFT, Keys.ARROW_DOWN).key_down(Keys.SPACE)
    keys.send_keys(Keys.ARROW_DOWN).key_up(Keys.SPACE).perform()
    page.settle()
    assert page.source() != original
    document = from_json(page.saved("save-edit", folder / "painting_0.json"))
    assert document.strokes[0].stroke.points == ((28.0, 44.0), (28.0, 52.0))
    ActionChains(page.browser).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    page.settle()
    assert page.source() == original
    page.browser.execute_script("document.getElementById('board').focus()")
    ActionChains(page.browser).key_down(Keys.SPACE).send_keys(Keys.ESCAPE).key_up(
        Keys.SPACE
    ).perform()
    page.settle()
    assert page.source() == original and not page.find("undo").is_enabled()


def test_a_finger_paints_and_does_not_scroll(page, folder):
    page.browser.execute_script("scrollTo(0, 0)")
    board = page.find("board")
    corner, scale = board.location, board.size["width"] / 64
    finger = PointerInput("touch", "finger")
    actions = ActionBuilder(page.browser, mouse=finger)

    def move(x, y):
        finger.create_pointer_move(
            duration=50, x=round(corner["x"] + x * scale), y=round(corner["y"] + y * scale)
        )

    move(12, 12)
    finger.create_pointer_down(button=0)
    move(12, 36)
    finger.create_pointer_up(0)
    actions.perform()
    page.settle()
    assert page.browser.execute_script("return scrollY") == 0
    document = from_json(page.saved("save-edit", folder / "painting_0.json"))
    cells = np.argwhere(painted_cells(document, (8, 8))).tolist()
    assert cells == [[1, 1], [2, 1], [3, 1], [4, 1]]


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_window(page, width):
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.drag((30, 30))
        inside = page.browser.execute_script(
            "return [document.documentElement.scrollWidth, innerWidth]"
        )
        assert inside[0] <= inside[1] == width
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# --- other tabs, other requests, and the end ------------------------------------------------------


def test_a_second_tab_has_a_painting_of_its_own(page, server):
    first = page.browser.current_window_handle
    original = page.source()
    page.drag((30, 50))
    painted = page.source()
    page.browser.switch_to.new_window("tab")
    second = Page(page.browser, server[0])
    assert second.source() == original
    second.drag((10, 10))
    second.click("undo")
    assert second.source() == original
    page.browser.close()
    page.browser.switch_to.window(first)
    assert page.source() == painted
    page.click("undo")
    assert page.source() == original


def test_rendering_is_quick_and_the_server_survives_what_is_sent(page, server, folder):
    address = httpx.URL(server[0])
    page.drag((28, 36), (28, 52))
    text = page.saved("save-edit", folder / "painting_0.json")
    kind = {"content-type": "application/json"}

    with httpx.Client() as client:

        def post(body, path="render", **headers):
            return client.post(address.join(path), content=body, headers=kind | headers)

        times = []
        for _ in range(5):
            start = time.perf_counter()
            assert post(text).status_code == 200
            times.append(time.perf_counter() - start)
        assert min(times) < 0.3

        document = json.loads(text)
        document["strokes"][0]["points"] = [[1, 1]] * 513
        oversized = json.dumps(document)
        for answer, status, message in (
            (post("{"), 422, "must be JSON"),
            (post(oversized), 422, "strokes[0]: `points` must be 1 to 512"),
            (post(b" " * 5_000_000), 413, "at most"),
            (post(text, host="evil.example"), 403, "127.0.0.1 alone"),
            (post(text, origin="https://evil.example"), 403, "other origins"),
            (post(text, f"/{'x' * 32}/render"), 403, "wrong token"),
        ):
            assert answer.status_code == status and message in answer.json()["error"]
            assert post(text).status_code == 200
    painted = page.source()
    page.click("undo")
    page.click("redo")
    assert page.source() == painted


def test_the_page_says_when_the_server_is_gone(page, server):
    server[1].send_signal(signal.SIGINT)
    assert server[1].wait(30) == 0  # Ctrl+C is the usual end
    page.drag((30, 30))
    assert "Is `jaxdissect paint` still running?" in page.find("error").text
    assert page.find("retry").is_displayed()
    assert all("ERR_CONNECTION" in entry["message"] for entry in page.browser.get_log("browser"))
