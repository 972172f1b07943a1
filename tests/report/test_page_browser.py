"""The page of results in a browser: Chromium opens it from disk, at both widths and schemes."""

import re
from dataclasses import replace

import pytest
from selenium.webdriver import Keys
from support.site_page import (
    CHROMIUM,
    DRIVER,
    LONG,
    VOCABULARY,
    WIDTHS,
    SitePage,
    chromium,
    made_up_dissection,
    made_up_site,
    nothing_amiss,
    walk,
)

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.commands.main import main
from jaxdissect.dissection import compare
from jaxdissect.dissection.layer_examples import load_unit_examples
from jaxdissect.dissection.result import load_dissection
from jaxdissect.report.site_run import SiteRun
from jaxdissect.report.site_writer import write_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver on the path"
    ),
]

SCHEMES = ("light", "dark")

VIEWS = {
    "overview": "overview",
    "units": "units",
    "table": "units?view=table&sort=-importance",
    "unit": "unit/wide/12/7",
    "concepts": "concepts",
    "concept": "concept/wide/1",
    "compare": "compare/wide/other",
    "layers": "compare/wide:2/wide:12",
    "results": "results",
    "result": "result/section-1",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Results of VGG-16's size, made up: their folder, and the dissections."""
    folder = tmp_path_factory.mktemp("site")
    return folder, *made_up_site(folder)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def page(browser, site):
    with nothing_amiss(SitePage(browser, site[0])) as opened:
        yield opened


def cards(page):
    """Layer and unit of the cards in view, in order."""
    return [
        tuple(map(int, card.get_attribute("data-unit").split("/")))
        for card in page.all("#main [data-unit]")
    ]


def ranked(dissection, *, concept=None, layer=None):
    """Layer and unit of units by their IoU, as Python has them."""
    found = [
        (-float(f"{each.best_iou[unit]:.6g}"), place, unit)
        for place, (name, each) in enumerate(dissection.layers.items())
        if layer in (None, name)
        for unit in range(each.num_units)
        if concept is None or each.best_concept[unit] == concept
    ]
    return [(place, unit) for _, place, unit in sorted(found)]


def number(text):
    return int(re.sub(r"\D", "", text))


# --- every view -----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_view_fits_its_window_and_is_accessible(page, width, scheme):
    page.look(width=width, scheme=scheme)
    page.open()
    for name, route in VIEWS.items():
        page.go(route)
        assert not page.all("#main .problem"), (name, page.texts("#main .problem"))
        assert len(page.texts("#main h1")) == 1, name
        assert not page.is_wider_than_window(), name
        assert page.problems() == [], name
        for image in page.all("#main .photos img"):
            assert image.get_attribute("alt"), name
    assert page.do("return matchMedia('(prefers-color-scheme: dark)').matches") == (
        scheme == "dark"
    )


def test_light_and_dark_can_be_chosen_and_stay_so(page):
    page.open()

    def background():
        return page.do("return getComputedStyle(document.body).backgroundColor")

    light = background()
    page.do(
        "const list = document.querySelector('.scheme select'); list.value = 'dark';"
        "list.dispatchEvent(new Event('change'))"
    )
    dark = background()
    assert light == "rgb(255, 255, 255)" and dark != light
    page.open("units")
    assert background() == dark
    page.look(scheme="dark")
    page.do(
        "const list = document.querySelector('.scheme select'); list.value = 'light';"
        "list.dispatchEvent(new Event('change'))"
    )
    assert background() == light
    page.do("localStorage.clear()")


def test_names_are_text_and_never_markup(page, site):
    roof = site[1].vocabulary.index("<b>roof</b>", category="part")
    page.open(f"concept/wide/{roof}")
    assert page.texts("#main h1") == ["<b>roof</b>"]
    assert page.do("return document.querySelectorAll('#main h1 b').length") == 0
    page.open("overview/other")
    assert "Another <network>" in page.texts("#main .headline option")


# --- units ----------------------------------------------------------------------------------------


def test_first_view_and_searches_of_4224_units_are_fast(page):
    """The fastest of three, since other tests run beside this one; of searches, the time in which
    the page itself computes, to the frame that shows what was found."""

    def search(text):
        before = page.computing()
        page.browser.execute_async_script(
            """
            const [text, done] = arguments;
            const field = document.querySelector("#main [data-search]");
            field.value = text;
            field.dispatchEvent(new Event("input"));
            requestAnimationFrame(() => setTimeout(done));
            """,
            text,
        )
        return page.computing() - before

    for route in ("overview", "units"):
        first = []
        for _ in range(3):
            page.open(route)
            first.append(
                page.do("return performance.getEntriesByName('jaxdissect-first-view')[0].startTime")
            )
        assert min(first) < 1000, (route, first)
    for text in ("r", "ro", "road", "object", "tree conv4", "conv5_3 446", ""):
        times = []
        for _ in range(3):
            times.append(search(text))
            search("table")
        assert 0 < min(times) < 0.1, (text, times)
    search("")
    assert page.texts(".counted")[0].startswith("4,224 of 4,224")
    assert len(page.all("#main .cards > li")) < 200  # the others are made when they come near


def test_units_are_sorted_as_python_sorts_them(page, site):
    _, wide, _ = site
    page.open("units")
    assert cards(page)[:12] == ranked(wide)[:12]
    page.radio("table")
    assert cards(page)[:12] == ranked(wide)[:12]
    page.click("th[data-key=iou] button")
    assert cards(page)[0] == ranked(wide)[-1] or page.texts("td.iou")[0] == "0.000"
    assert page.find("th[data-key=iou]").get_attribute("aria-sort") == "ascending"
    page.click("th[data-key=layer] button")
    assert cards(page)[:5] == [(0, unit) for unit in range(5)]
    page.click("th[data-key=importance] button")
    assert cards(page)[:5] == [(12, unit) for unit in range(5)]
    page.click("th[data-key=importance] button")
    assert cards(page)[0] == (12, 511)  # those without a value stay last
    page.choose("Sort by", "-threshold")
    thresholds = [float(text) for text in page.texts("td.threshold")]
    assert thresholds == sorted(thresholds, reverse=True)


def test_units_are_found_and_filtered(page, site):
    _, wide, _ = site
    page.open("units")
    road = wide.vocabulary.index("road", category="object")
    page.search("road")
    found = ranked(wide, concept=road)
    assert number(page.texts(".counted")[0].split(" of ")[0]) == len(found)
    assert cards(page)[:6] == found[:6]
    page.choose("Layer", 12)
    assert cards(page) == ranked(wide, concept=road, layer=LONG)
    page.search("446")
    assert cards(page) == [(12, 446)]
    assert "q=446" in page.do("return location.hash")
    page.search("no such thing")
    assert cards(page) == [] and "No unit fits." in page.texts(".nothing p")
    page.click(".nothing button")
    assert cards(page)[:6] == ranked(wide)[:6]
    page.choose("Category", "part")
    page.do(
        "const slider = document.querySelector('input[type=range]'); slider.value = 0.1;"
        "slider.dispatchEvent(new Event('input'))"
    )
    parts = [
        (place, unit)
        for place, unit in ranked(wide)
        for layer in [list(wide.layers.values())[place]]
        if wide.vocabulary.categories[layer.best_concept[unit]] == "part"
        and layer.best_iou[unit] > 0.1
    ]
    assert number(page.texts(".counted")[0].split(" of ")[0]) == len(parts)
    assert cards(page)[:6] == parts[:6]
    # The address says all of it, so it can be kept and sent.
    route = page.do("return location.hash")[2:]
    page.open(route)
    assert cards(page)[:6] == parts[:6]


def test_a_long_list_shows_what_is_scrolled_to(page, site):
    _, wide, _ = site
    for width in WIDTHS:
        page.look(width=width)
        for view in ("grid", "table"):
            page.open(f"units?view={view}")
            page.do("scrollTo(0, document.documentElement.scrollHeight)")
            last = "{}/{}".format(*ranked(wide)[-1])
            page.until(f"return !!document.querySelector('#main [data-unit=\"{last}\"]')")
            box = page.do(
                "const box = arguments[0].getBoundingClientRect(); return [box.top, innerHeight]",
                page.find(f"[data-unit='{last}']"),
            )
            assert 0 < box[0] < box[1]


def test_a_taller_window_shows_more_of_a_long_list(page):
    page.open("units?view=grid")
    before = len(cards(page))
    page.look(height=4000)
    page.until(f"return document.querySelectorAll('#main [data-unit]').length > {2 * before}")


def test_layers_are_short_but_never_a_bare_number(page):
    def short(*names):
        run = {"id": " ".join(names), "layers": [{"name": name} for name in names]}
        return page.do(
            "const [run] = arguments;"
            "return run.layers.map((_, index) => jaxdissectPage.short(run, index))",
            run,
        )

    page.open()
    assert short("features.conv1", "features.conv2") == ["conv1", "conv2"]
    assert short("net.blocks.0", "net.blocks.1.act") == ["blocks.0", "blocks.1.act"]
    assert short("blocks.0", "blocks.1") == ["blocks.0", "blocks.1"]


def test_a_unit_is_opened_and_says_what_the_results_say(page, site):
    _, wide, _ = site
    page.open("units?layer=12")
    order = ranked(wide, layer=LONG)
    page.click("#main .card")
    layer, unit = wide[LONG], order[0][1]
    concept = wide.vocabulary.names[layer.best_concept[unit]]
    assert page.texts("#main h1")[0] == f"{concept}{LONG} unit {unit}"
    shown = page.texts("#main .tile b")
    assert shown[0] == f"{layer.best_iou[unit]:.3f}"
    sections = page.texts("#main h2")
    for title in ("Top images", "Top patches", "Agreement with concepts", "Activation"):
        assert title in sections
    assert "Importance to classes" in sections and f"Active without {concept}" in sections
    assert page.do("return document.querySelector('#main .photos').children.length") == 12
    # Images in which it is active outside its concept may show the concept, too.
    said = [image.get_attribute("alt") for image in page.all("#main .photos.small img")]
    outside = [text for text in said if f"where it is active outside {concept}" in text]
    assert len(outside) == 3 and not [text for text in said if f"without {concept}" in text]
    ranking = layer.ranking(5)[:, unit]
    assert page.texts("#main .bars th[scope=row]")[:5] == [
        wide.vocabulary.names[each] for each in ranking
    ]
    page.click("details summary")
    page.until("return document.querySelector('#main details tbody tr') !== null")
    rows = page.texts("#main details tbody tr")
    assert len(rows) == int((layer.iou[1:, unit] >= 5e-4).sum())
    # The neighbours are those of the list it was opened from.
    page.press(Keys.ARROW_RIGHT)
    assert f"unit {order[1][1]}" in page.texts("#main h1")[0]
    page.press(Keys.ARROW_LEFT)
    assert f"unit {unit}" in page.texts("#main h1")[0]
    page.press("u")
    assert cards(page)[:3] == order[:3]


def test_what_is_lit_is_the_mask_of_the_results(page, site):
    folder, wide, _ = site
    examples = load_unit_examples(folder)
    page.open("unit/wide/12/7")
    expected = examples.mask(examples.layers[LONG].masks[7, 0])
    rows, columns = expected.shape
    # Ask the outline itself which cells it holds.
    inside = page.do(
        "const [rows, columns] = arguments;"
        "const path = document.querySelector('.photos .edge');"
        "const svg = path.ownerSVGElement; const found = [];"
        "for (let y = 0; y < rows; y += 1) for (let x = 0; x < columns; x += 1) {"
        "  const point = svg.createSVGPoint(); point.x = x + 0.5; point.y = y + 0.5;"
        "  found.push(path.isPointInFill(point));"
        "} return found",
        rows,
        columns,
    )
    assert inside == expected.reshape(-1).tolist()
    photo = page.find(".photos img").get_attribute("src")
    assert photo.endswith(f"photos/{wide[LONG].top_examples[7, 0]}.jpg")


# --- concepts, comparison, results ----------------------------------------------------------------


def test_a_concept_is_followed_to_its_units(page, site):
    _, wide, _ = site
    page.open("concepts")
    page.search("road")
    page.click("#main .card.concept")
    road = wide.vocabulary.index("road", category="object")
    expected = {name: layer.concept_counts().get(road, 0) for name, layer in wide.layers.items()}
    assert page.texts("#main h1") == ["road"]
    assert number(page.texts("#main .tile b")[0]) == sum(expected.values())
    assert [number(text) for text in page.texts("#main .bars td.number")] == list(expected.values())
    page.click("#main .card")
    assert page.texts("#main h1")[0].startswith("road")
    page.browser.back()
    page.settle()
    assert page.texts("#main h1") == ["road"]


def test_the_overview_counts_as_the_results_do(page, site):
    _, wide, _ = site
    page.open()
    detectors = [len(layer.detectors()) for layer in wide.layers.values()]
    shown = page.texts("#main .bars tbody")[0]
    assert shown
    numbers = page.do(
        "return [...document.querySelector('#main .bars').querySelectorAll('td.number')]"
        ".map((cell) => cell.firstChild.textContent)"
    )
    assert [number(text) for text in numbers] == detectors
    assert number(page.texts("#main .tile b")[0]) == sum(detectors)
    assert "with random weights" in page.texts("#main .tile small")[0]
    assert page.texts(".command code") == ["jaxdissect dissect --model vgg16 --out wide"]
    page.click("#main .bars th a")
    assert "layer=0" in page.do("return location.hash")


@pytest.mark.parametrize("sides", [("wide", "other"), ("other", "wide"), ("wide:4", "wide:12")])
def test_sides_are_compared_as_python_compares_them(page, site, sides):
    _, wide, other = site
    names = list(wide.layers)
    parts = {"wide": wide, "other": other, "wide:4": wide[names[4]], "wide:12": wide[names[12]]}
    found = compare(*(parts[side] for side in sides))
    page.open("compare/{}/{}".format(*sides))
    tiles = [number(text) for text in page.texts("#main .side .tile b")]
    assert tiles == [found.a.detectors, found.a.concepts, found.b.detectors, found.b.concepts]
    titles = page.texts("#main h2")
    assert f"Matched units: {len(found.matched):,} pairs" in titles
    assert any(title == f"Only A: {len(found.only_a):,} concepts" for title in titles)
    first = found.matched[0]
    pair = cards(page)[:2]
    layers = [list(parts[side.split(":")[0]].layers) for side in sides]
    assert pair == [
        (layers[0].index(first.layer_a), first.unit_a),
        (layers[1].index(first.layer_b), first.unit_b),
    ]


def test_pairs_and_refusals_are_those_of_the_runs(browser, tmp_path):
    """Of other vocabularies, and of other presets: what cannot be compared, cannot by layers."""
    layers = {"one": 24, "two": 24}
    half = Vocabulary(
        tuple(f"a {name}" if i % 2 else name for i, name in enumerate(VOCABULARY.names)),
        VOCABULARY.categories,
    )
    settings = {"fraction": 0.01, "scope": "all_pixels"}
    own, renamed, tenth = (
        replace(made_up_dissection(layers, seed=5, strength=3.0, vocabulary=known), settings=kept)
        for known, kept in (
            (VOCABULARY, settings),
            (half, settings),
            (VOCABULARY, {**settings, "fraction": 0.1}),
        )
    )
    found = compare(own, renamed)
    runs = [
        SiteRun(name, name, each)
        for name, each in (("own", own), ("renamed", renamed), ("tenth", tenth))
    ]
    write_site(tmp_path, runs, title="t")
    seconds = [
        pair
        for pair in found.matched
        if own.unit(pair.layer_a, pair.unit_a).concept != pair.concept
    ]
    with nothing_amiss(SitePage(browser, tmp_path)) as page:
        page.open("compare/own/renamed")
        said = [text for text in page.texts("#main .pair .shared") if "matched by" in text]
        first = next(pair for pair in seconds if pair in found.matched[: len(cards(page)) // 2])
        assert f"matched by {first.concept}, which both know" in said[0]
        page.go("compare/renamed:1/own:0")
        assert any("unknown to" in note for note in page.texts("#main .note"))
        for route in ("compare/own/tenth", "compare/tenth:0/own:1"):
            page.go(route)
            assert "fractions of active pixels" in page.texts("#main .problem")[0]
            assert "Matched" not in " ".join(page.texts("#main h2"))


def test_results_of_other_experiments_are_shown_and_sorted(page):
    page.open("results")
    page.click("#main .section-links a")
    assert page.texts("#main h1") == ["Units that classes need"]
    assert "What this cannot say" in page.texts("#main h2")
    page.click("#main .data th:nth-child(3) button")
    page.click("#main .data th:nth-child(3) button")
    assert page.texts("#main .data tbody td:first-child") == ["park", "street", "kitchen"]
    page.click("#main .data tbody a")
    assert page.texts("#main h1")[0].endswith(f"{LONG} unit 300")


# --- keyboard, paper, faults ----------------------------------------------------------------------


def test_everything_by_keyboard(page, site):
    _, wide, _ = site
    page.open()
    page.press("/")
    assert page.texts("#main h1") == ["Units"]
    page.press("/")
    page.press(*"road", Keys.ESCAPE)
    road = ranked(wide, concept=wide.vocabulary.index("road", category="object"))
    assert cards(page)[0] == road[0]
    page.do("document.querySelector('#main .card').focus()")
    page.press(Keys.ARROW_RIGHT)
    page.press(Keys.ARROW_DOWN)
    page.press(Keys.ARROW_UP)
    focused = page.do("return document.activeElement.dataset.unit")
    assert focused == "{}/{}".format(*road[1])
    page.press(Keys.ENTER)
    assert f"unit {road[1][1]}" in page.texts("#main h1")[0]
    assert page.do("return document.activeElement.tagName") == "H1"
    page.press("g", "c")
    assert page.texts("#main h1") == ["Concepts"]
    page.press("?")
    assert page.find("dialog.help").is_displayed()
    page.press(Keys.ESCAPE)
    assert not page.find("dialog.help").is_displayed()
    for _ in range(12):
        page.press(Keys.TAB)
        style = page.do(
            "const style = getComputedStyle(document.activeElement);"
            "return [document.activeElement.tagName, style.outlineStyle]"
        )
        assert style[0] == "BODY" or style[1] == "solid"


def test_back_returns_to_where_one_was(page):
    page.open("units")
    page.do("scrollTo(0, 3000)")
    page.until("return document.querySelector('#main .cards > li.spacer').offsetHeight > 500")
    before = page.do("return scrollY")
    shown = cards(page)
    page.do("document.querySelectorAll('#main .card')[40].click()")
    page.settle()
    page.until("return jaxdissectPage.drawn === 'unit'")
    assert page.do("return scrollY") == 0
    page.browser.back()
    page.until("return jaxdissectPage.drawn === 'units'")
    assert abs(page.do("return scrollY") - before) < 2
    page.until(f"return !!document.querySelector('[data-unit=\"{shown[40][0]}/{shown[40][1]}\"]')")


def test_paper_shows_the_first_units_without_controls(page):
    page.open("units")
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        page.do("dispatchEvent(new Event('beforeprint'))")
        assert len(cards(page)) >= 96
        assert not page.find("#bar").is_displayed() and not page.find(".filters").is_displayed()
        assert page.find(".print-only").is_displayed()
    finally:
        page.do("dispatchEvent(new Event('afterprint'))")
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_addresses_of_nothing_and_missing_files_are_said(browser, site, tmp_path):
    page = SitePage(browser, site[0])
    page.open("unit/wide/99/7")
    assert page.texts("#main .problem") == ["This report has no such unit."]
    page.go("concept/wide/9999")
    assert page.texts("#main .problem") == ["This report has no such concept."]
    assert page.do("return document.title").startswith("Nothing here")
    page.console()
    data = site[0] / "page" / "data" / "wide" / "3" / "0.js"
    moved = data.rename(tmp_path / "0.js")
    try:
        page.go("unit/wide/3/0")
        assert "page/data/wide/3/0.js cannot be read" in page.texts("#main .problem")[0]
    finally:
        moved.rename(data)
    assert all("ERR_FILE_NOT_FOUND" in message for message in page.console())
    page.requests()


# --- a real run -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Dissections of the built-in classifier, trained and not, and a report of both."""
    folder = tmp_path_factory.mktemp("real")
    options = ["--sample", "scenes", "--model", "scenes", "--num-images", "48", "--quiet"]
    options += ["--layers", "features.conv3_1", "features.conv4_2"]
    assert main(["dissect", *options, "--out", str(folder / "trained")]) == 0
    assert (
        main(["dissect", *options, "--random-weights", "0", "--out", str(folder / "untrained")])
        == 0
    )
    places = [str(folder / name) for name in ("trained", "untrained")]
    assert main(["report", *places, "--out", str(folder / "report")]) == 0
    return folder


def test_a_run_has_a_page_of_its_own(browser, real):
    result = load_dissection(real / "trained")
    with nothing_amiss(SitePage(browser, real / "trained")) as page:
        page.open()
        detectors = sum(len(layer.detectors()) for layer in result.layers.values())
        assert number(page.texts("#main .tile b")[0]) == detectors
        assert "jaxdissect dissect" in page.texts(".command code")[0]
        page.click("#main .cards .card")
        assert len(page.all("#main .photos img")) > 10
        assert page.do("return [...document.images].every((image) => image.naturalWidth > 0)")


def test_a_report_of_several_runs(browser, real):
    trained, untrained = (load_dissection(real / name) for name in ("trained", "untrained"))
    assert "compare/trained/untrained" in walk(browser, real / "report")
    with nothing_amiss(SitePage(browser, real / "report")) as page:
        page.open()
        assert "with random weights" in page.texts("#main .tile small")[0]
        page.go("compare/trained/untrained")
        found = compare(trained, untrained)
        tiles = [number(text) for text in page.texts("#main .side .tile b")]
        assert tiles == [found.a.detectors, found.a.concepts, found.b.detectors, found.b.concepts]
