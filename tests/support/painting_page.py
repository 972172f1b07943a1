"""The painting page in a browser, as a user sees it and handles it."""

import base64
import io
import time

import numpy as np
from PIL import Image
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By


class Page:
    """What a user sees of the page and does to it."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get(address)
        until(lambda: self.find("picture").get_attribute("src"))
        self.settle()

    def find(self, name):
        return self.browser.find_element(By.ID, name)

    def settle(self):
        """Wait until nothing is being rendered; a stroke begins to be before `perform` returns."""
        until(lambda: self.find("board").get_attribute("data-busy") == "false")

    def click(self, name):
        self.find(name).click()
        self.settle()

    def source(self):
        """The bytes of the image, as a data address."""
        return self.find("picture").get_attribute("src")

    def pixels(self):
        _, _, data = self.source().partition("base64,")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))

    def drag(self, *places):
        """Press the mouse at the first place (x, y), in image pixels, and move to the others."""
        board = self.find("board")
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", board)
        scale = board.size["width"] / 64
        offsets = [(round((x - 32) * scale), round((y - 32) * scale)) for x, y in places]
        actions = ActionChains(self.browser, duration=50)
        actions.move_to_element_with_offset(board, *offsets[0]).click_and_hold()
        for offset in offsets[1:]:
            actions.move_to_element_with_offset(board, *offset)
        actions.release().perform()
        self.settle()

    def choose(self, action):
        selector = f"input[name=action][value={action}]"
        self.browser.execute_script(
            "arguments[0].click()", self.browser.find_element(By.CSS_SELECTOR, selector)
        )

    def set_range(self, name, value):
        self.browser.execute_script(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            self.find(name),
            value,
        )

    def saved(self, button, path):
        """Press a button that saves a file, and read it."""
        path.unlink(missing_ok=True)
        self.find(button).click()
        until(path.exists)
        return path.read_bytes()


def until(condition, *, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
