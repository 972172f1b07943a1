"""Sites of made-up results of real size, and a report in a browser as a user handles it."""

import contextlib
import io
import json
import shutil
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.dissection.layer_examples import LayerExamples, Mistakes, UnitExamples
from jaxdissect.dissection.result import Dissection, LayerDissection
from jaxdissect.report.page_section import Estimate, KeyFigure, PageSection, PageTable, UnitCell
from jaxdissect.report.site_run import SiteRun
from jaxdissect.report.site_writer import write_site
from jaxdissect.report.unit_effects import ClassChange, LayerEffects, UnitEffect
from jaxdissect.stats.agreement import AgreementCounts

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1280,900",
)

# --- sites ----------------------------------------------------------------------------------------

VGG16 = {
    f"features.conv{block}_{place}": width
    for block, number, width in ((1, 2, 64), (2, 2, 128), (3, 3, 256), (4, 3, 512), (5, 3, 512))
    for place in range(1, number + 1)
}
"""The 13 convolutions of VGG-16 and their 4,224 units."""

_OBJECTS = "road sky tree building car person grass door window bed lamp sofa table water".split()
VOCABULARY = Vocabulary(
    ("-", *_OBJECTS, *(f"object {i}" for i in range(120)), "wheel", "<b>roof</b>", "wood", "red"),
    ("-", *["object"] * (len(_OBJECTS) + 120), "part", "part", "material", "color"),
)
_MASK, _SIDE, _PHOTOS, _TOP = (28, 28), 64, 40, 12
_PIXELS, _MISTAKES, _SAMPLE = 2_000_000, 3, 128


def made_up_dissection(layers, *, seed, strength, vocabulary=VOCABULARY):
    """A dissection whose counts are drawn at random, and whose scores follow from them."""
    random = np.random.default_rng(seed)
    concepts = len(vocabulary)
    found = {}
    for name, units in layers.items():
        active = random.integers(5_000, 15_000, units)
        pixels = random.integers(2_000, 60_000, concepts)
        shared = random.beta(0.35, 9.0 / strength, (concepts, units))
        shared = (shared * np.minimum(pixels[:, None], active)).astype(np.int64)
        shared[0] = active
        pixels[0] = _PIXELS
        iou = shared / (pixels[:, None] + active - shared)
        iou[0] = 0.0
        peaks = np.sort(random.uniform(8, 30, (units, _TOP)).astype(np.float32), axis=1)[:, ::-1]
        found[name] = LayerDissection(
            name=name,
            vocabulary=vocabulary,
            min_iou=0.04,
            thresholds=random.uniform(1, 6, units).astype(np.float32),
            counts=AgreementCounts(shared, pixels),
            scope_of=np.zeros(concepts, np.int64),
            iou=iou,
            top_examples=np.argsort(random.random((units, _PHOTOS)), axis=1)[:, :_TOP],
            top_values=np.ascontiguousarray(peaks),
        )
    return Dissection(found, vocabulary)


def made_up_examples(dissection, *, seed):
    """Top images, boxes, histograms and mistakes for every unit, drawn at random."""
    random = np.random.default_rng(seed)
    coarse = random.random((200, 7, 7)) > 0.7
    masks = np.packbits(np.kron(coarse, np.ones((1, 4, 4), bool)).reshape(200, -1), axis=1)

    def some_masks(*shape):
        return masks[random.integers(0, len(masks), shape)]

    def mistakes(units):
        return Mistakes(
            random.integers(0, _PHOTOS, (units, _MISTAKES)),
            random.integers(1, 99, (units, _MISTAKES)).astype(np.int32),
            some_masks(units, _MISTAKES),
            some_masks(units, _MISTAKES),
        )

    layers = {}
    for index, (name, layer) in enumerate(dissection.layers.items()):
        units, field = layer.num_units, 6 + 3 * index
        corners = random.integers(0, _SIDE - field, (units, _TOP, 2))
        steps = np.linspace(-1, 3, 33, dtype=np.float32)
        layers[name] = LayerExamples(
            units=np.arange(units),
            concepts=layer.best_concept,
            examples=layer.top_examples,
            peaks=layer.top_values,
            cells=(7, 7),
            places=random.integers(0, 7, (units, _TOP, 2)).astype(np.int32),
            masks=some_masks(units, _TOP),
            boxes=np.concatenate([corners, corners + field], axis=-1).astype(np.int32),
            field_size=(field, field),
            edges=layer.thresholds[:, None] * (1 + steps),
            counts=np.sort(random.integers(0, 100_000, (units, 32)), axis=1)[:, ::-1],
            false_positives=mistakes(units),
            false_negatives=mistakes(units),
        )
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    photos = {}
    for position in range(_PHOTOS):
        tint, waves = random.integers(40, 255, 3), random.uniform(0.05, 0.4, 2)
        light = 0.5 + 0.5 * np.sin(waves[0] * rows + waves[1] * columns)
        stream = io.BytesIO()
        Image.fromarray((light[..., None] * tint).astype(np.uint8)).save(stream, "JPEG")
        photos[position] = stream.getvalue()
    return UnitExamples(
        layers=layers,
        sample=np.arange(_SAMPLE),
        mask_size=_MASK,
        image_size=(_SIDE, _SIDE),
        photos=photos,
        network="made up",
    )


LONG = "features.conv5_3"


def made_up_site(folder):
    """Write VGG-16's 4,224 units, the same with random weights, another network, and results."""
    wide = made_up_dissection(VGG16, seed=0, strength=1.0)
    examples = made_up_examples(wide, seed=1)
    examples.save(folder)
    loss = Estimate(-0.12, -0.2, -0.03)
    effects = LayerEffects(
        {
            unit: UnitEffect(0.12 - unit / 10_000, "street", [ClassChange("street", loss)])
            for unit in range(512)
        },
        label="accuracy lost",
        class_caption="Accuracy lost without the unit.",
        facts_caption="All classes together.",
    )
    chance = made_up_dissection(VGG16, seed=2, strength=0.4)
    other = made_up_dissection({"mixed": 96}, seed=3, strength=1.2)
    other_examples = made_up_examples(other, seed=4)
    runs = [
        SiteRun(
            "wide",
            "VGG-16",
            wide,
            examples,
            "photos",
            command="jaxdissect dissect --model vgg16 --out wide",
            facts=[("Network", "VGG-16"), ("Images", "2,000")],
            effects={LONG: effects},
            notes=["Made up for tests."],
        ),
        SiteRun("chance", "VGG-16, random weights", chance, random_of="wide", random_weights=0),
        SiteRun("other", "Another <network>", other, other_examples, "photos"),
    ]
    section = PageSection(
        title="Units that classes need",
        question="Which units does the network need?",
        found=["Removing `20` units costs much."],
        content=[
            PageTable(
                "Classes",
                ["class", "unit", "change"],
                [
                    ["street", UnitCell(LONG, 7), loss],
                    ["park", UnitCell(LONG, 300), Estimate(-0.3, -0.4, -0.2)],
                    ["kitchen", None, None],
                ],
            )
        ],
        limits=["Redundant units do not show."],
        facts=[KeyFigure("images", "2,000", "none used twice")],
        command="jaxdissect ablate --model vgg16 --out ablate",
        layer=LONG,
        run="wide",
    )
    write_site(
        folder, runs, title="A wide network", lead=["All `4,224` units."], sections=[section]
    )
    return wide, other


# --- the browser ----------------------------------------------------------------------------------


@contextlib.contextmanager
def chromium(profile):
    """A browser that logs its console and its requests."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with Chrome(options, ChromeService(str(DRIVER))) as driver:
        driver.set_script_timeout(60)
        driver.get("about:blank")
        driver.get_log("performance")  # what a new tab shows
        driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        yield driver


class SitePage:
    """A report in the browser, at a width and in a color scheme."""

    def __init__(self, browser, folder):
        self.browser, self.folder = browser, Path(folder).resolve()

    def look(self, *, width=1280, height=850, scheme="light"):
        """Choose the size of the window, and what the system prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        preference = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preference})

    def open(self, route="overview"):
        """Load the page anew."""
        self.browser.get("about:blank")
        self.browser.get(f"{self.folder.as_uri()}/index.html#/{route}")
        self.settle()

    def go(self, route):
        """Follow an address, as a link on the page does."""
        self.do("location.hash = arguments[0]", f"#/{route}")
        self.settle()

    def do(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def settle(self):
        """Wait until a view stands and its pictures have arrived."""
        self.until(
            "const main = document.getElementById('main');"
            "return main.children.length > 0 && !main.hasAttribute('aria-busy') &&"
            " jaxdissectPage.addressInView === location.hash"
        )
        self.until(
            "return [...document.images].every((image) => {"
            " const box = image.getBoundingClientRect();"
            " const seen = box.width > 0 && box.bottom > 0 && box.top < innerHeight;"
            " return image.complete || !seen })"
        )

    def until(self, script, *, seconds=30):
        end = time.monotonic() + seconds
        while not self.do(script):
            assert time.monotonic() < end, f"waited in vain for: {script}"
            time.sleep(0.02)

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        """What is written in all elements that fit."""
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".map((node) => node.textContent.trim())"
        )
        return self.do(script, selector)

    def click(self, selector):
        element = self.find(selector)
        self.do("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        self.settle()

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()
        self.settle()

    def choose(self, label, value):
        """Choose a value of the list with this label."""
        self.do(
            "const field = [...document.querySelectorAll('#main .field')]"
            ".find((some) => some.firstChild.textContent === arguments[0]).querySelector('select');"
            "field.value = arguments[1]; field.dispatchEvent(new Event('change', {bubbles: true}))",
            label,
            str(value),
        )
        self.settle()

    def radio(self, value):
        self.do("document.querySelector(arguments[0]).click()", f"input[value={value}]")
        self.settle()

    def search(self, text):
        """Type into the search field, in place of what it holds."""
        field = self.find("#main [data-search]")
        field.clear()
        field.send_keys(text)
        self.settle()

    def is_wider_than_window(self):
        return self.do("return document.documentElement.scrollWidth > innerWidth")

    def problems(self):
        """Serious and critical findings of axe in what is shown."""
        if not self.do("return 'axe' in window"):
            # Through the debugger, since the page allows scripts from its own folder alone.
            source = files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
            self.browser.execute_cdp_cmd("Runtime.evaluate", {"expression": source})
        found = self.browser.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']})"
            ".then((found) => done(found.violations), (error) => done(String(error)))"
        )
        assert isinstance(found, list), found
        return [
            (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0].get("failureSummary"))
            for each in found
            if each["impact"] in ("serious", "critical")
        ]

    def computing(self):
        """CPU time that the page has taken so far, in seconds: scripts, layout and drawing."""
        metrics = self.browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    def console(self):
        """What the browser has complained of since it was last asked."""
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def requests(self):
        """All addresses that pages have asked for since they were last asked."""
        messages = [
            json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")
        ]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


WIDTHS = (390, 1280)
"""A phone and a desktop."""


@contextlib.contextmanager
def nothing_amiss(page):
    """Check that the browser complains of nothing, and asks for nothing outside the folder."""
    page.look()
    yield page
    assert page.console() == []
    asked = [url for url in page.requests() if not url.startswith(("about:", "data:"))]
    assert asked and all(url.startswith(page.folder.as_uri()) for url in asked)


def walk(browser, folder):
    """Open a report and every kind of view that it has, at both widths, in both color schemes."""
    with nothing_amiss(SitePage(browser, folder)) as page:
        page.open()
        runs = page.do("return jaxdissectPage.site.runs.map((run) => run.id)")
        sections = page.do("return jaxdissectPage.site.sections.map((section) => section.id)")
        routes = ["overview", *(f"result/{name}" for name in sections)]
        for run in runs:
            routes += [f"{view}/{run}" for view in ("overview", "units", "concepts")]
            routes += [f"unit/{run}/0/0", f"concept/{run}/1"]
        routes += [f"compare/{runs[0]}/{run}" for run in runs[1:]]
        for width, scheme in zip(WIDTHS, ("dark", "light"), strict=True):
            page.look(width=width, scheme=scheme)
            page.open()
            for route in routes:
                page.go(route)
                problems = page.texts("#main .problem")
                if route.startswith("compare/"):  # other networks may be dissected otherwise
                    problems = [text for text in problems if "cannot be compared" not in text]
                assert not problems, (route, problems)
                assert not page.is_wider_than_window(), (route, width)
                assert page.problems() == [], (route, width)
                assert page.do(
                    "return [...document.images].every("
                    "(image) => !image.complete || image.naturalWidth > 0)"
                ), route
        return routes
