"""Read what a site hands to its page, without a browser."""

import json
import re

import numpy as np

_CALL = re.compile(r'jaxdissectPage\.receive\("([a-z]+)", "([^"]*)", (.*)\);\n', re.DOTALL)
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def read_data(path, kind, key):
    """What a data file hands over, which must be of a kind and key."""
    call = _CALL.fullmatch(path.read_bytes().decode("ascii"))
    assert call and call.groups()[:2] == (kind, key)

    def refuse(name):
        raise ValueError(name)

    return json.loads(call[3], parse_constant=refuse)


def read_site(folder):
    return read_data(folder / "page" / "data" / "site.js", "site", "")


def read_units(folder, run):
    return read_data(folder / "page" / "data" / run / "units.js", "units", run)


def read_details(folder, run, layer, block):
    path = folder / "page" / "data" / run / str(layer) / f"{block}.js"
    return read_data(path, "details", f"{run}/{layer}/{block}")


def read_strips(folder, run, layer):
    path = folder / "page" / "data" / run / str(layer) / "strips.js"
    return read_data(path, "strips", f"{run}/{layer}")


def read_mask(text, shape):
    """The mask of a text, as the page reads it: one pixel after the other."""
    pixels, run, place = [], 0, 1
    lengths = []
    for letter in text:
        digit = _DIGITS.index(letter)
        run += digit % 32 * place
        place *= 32
        if digit < 32:
            lengths.append(run)
            run, place = 0, 1
    assert place == 1
    for index, length in enumerate(lengths):
        pixels += [index % 2 == 1] * length
    pixels += [False] * (shape[0] * shape[1] - len(pixels))
    return np.array(pixels).reshape(shape)
