"""The picture of a unit's page: `python docs/build/page_picture.py FOLDER` takes it anew.

FOLDER holds the results of `jaxdissect dissect --sample scenes --model scenes`, and the unit is the
best one for beds. Needs Chromium and its driver.
"""

import io
import sys
from pathlib import Path

PICTURE = Path(__file__).resolve().parents[1] / "images" / "unit-page.png"
SIZE = (1280, 1180)


def main(folder: Path) -> None:
    """Open the page of the unit, and keep what is seen in few colors, so that the file is small."""
    from PIL import Image
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    import jaxdissect as jd

    result = jd.load_dissection(folder)
    name, layer = list(result.layers.items())[-1]
    place, unit = list(result.layers).index(name), int(layer.find("bed")[0])
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(flag)
    with webdriver.Chrome(options=options) as browser:
        size = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        run = folder.resolve().name.lower()
        browser.get(f"{folder.resolve().as_uri()}/index.html#/unit/{run}/{place}/{unit}")
        loaded = (
            "return document.images.length > 9 && [...document.images].every((one) => one.complete)"
        )
        WebDriverWait(browser, 60).until(lambda one: one.execute_script(loaded))
        taken = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    small = taken.resize((SIZE[0] * 3 // 4, SIZE[1] * 3 // 4), Image.Resampling.LANCZOS)
    small.quantize(128, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
