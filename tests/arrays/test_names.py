import pytest

from jaxdissect.arrays.names import csv_cell, listed, printable, printable_lines


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("bed room", "bed room"),
        ("café/夏-π.png", "café/夏-π.png"),
        ("ideographic\u3000space", "ideographic\u3000space"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\nb\tc\rd\x00\x7f\x9b", r"a\nb\tc\rd\x00\x7f\x9b"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        (b"caf\xe9.png".decode("utf-8", "surrogateescape"), r"caf\xe9.png"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_not_meant_to_be_read_is_escaped(name, shown):
    assert printable(name) == shown
    assert printable(shown) == shown
    shown.encode()


def test_lines_stay_lines():
    assert printable_lines("one\ntwo\x1b[1m") == "one\ntwo\\x1b[1m"


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "'=1", "＝1"])
def test_what_a_spreadsheet_would_compute_is_marked_as_text(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("cell", ["-0.5", "+3e-7", "-inf", "-", "tree", "", -0.5, 3, None, True])
def test_numbers_and_other_cells_stay_as_they_are(cell):
    assert csv_cell(cell) is cell


def test_signs_after_what_is_cut_off_do_not_count():
    assert csv_cell("\t=1") == r"\t=1" and csv_cell("\r=1") == r"\r=1" and csv_cell(" =1") == "' =1"


def test_of_many_texts_the_first_are_listed():
    assert listed(["a", "b"], most=2) == "a, b"
    assert listed(["a", "b", "c", "d"], most=2, separator="; ") == "a; b; and 2 more"
    assert listed([]) == ""
