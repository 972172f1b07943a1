"""`jaxdissect report`: where the page is written, what it is of, and what is refused."""

import json

import pytest
from support import dissected
from support.site_data import read_site

from jaxdissect.commands.main import main


@pytest.fixture(scope="module")
def result():
    return dissected.dissected()


@pytest.fixture
def runs(result, tmp_path):
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        result.save(folder)
    return folders


def test_of_one_folder_the_page_is_in_it(runs, capsys):
    assert main(["report", str(runs[0])]) == 0
    assert capsys.readouterr().out == f"The page is {runs[0] / 'index.html'}\n"
    assert (runs[0] / "index.html").is_file() and (runs[0] / "dissection.json").is_file()
    assert not (runs[0] / "report.json").exists()  # the folder is that of the results
    assert main(["report", str(runs[0]), "--quiet"]) == 0  # again
    assert capsys.readouterr().out == ""


def test_of_several_folders_it_has_its_own(runs, tmp_path, capsys):
    out = tmp_path / "page"
    words = ["report", *map(str, runs), "--out", str(out)]
    assert main([*words, "--title", "Two runs"]) == 0
    assert {path.name for path in out.iterdir()} == {"index.html", "page", "report.json"}
    site = read_site(out)
    assert site["title"] == "Two runs" and len(site["runs"]) == 2
    assert json.loads((out / "report.json").read_text())["folders"] == list(map(str, runs))
    assert main(words) == 2 and "`--overwrite`" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert read_site(out)["title"] == "first, second"


def test_what_makes_no_sense_is_refused(runs, tmp_path, capsys):
    first, second = map(str, runs)
    for words, message in (
        ([first, second], "`out` must be given"),
        ([str(tmp_path / "nothing")], "is no folder"),
        ([first, "--out", first, "--overwrite"], "would replace"),
        ([first, second, "--out", str(tmp_path)], "a folder of other files"),
        ([first, "--out", second, "--overwrite"], "replaces pages alone"),
    ):
        assert main(["report", *words]) == 2
        assert message in capsys.readouterr().err
    assert not (runs[0] / "index.html").exists()
    assert (runs[1] / "dissection.json").is_file()


def test_a_page_that_holds_results_is_not_replaced(runs, tmp_path, capsys):
    out = tmp_path / "demo"
    words = ["report", str(runs[0]), "--out", str(out)]
    assert main(words) == 0
    runs[1].rename(out / "second")  # as the demonstration has its results
    assert main([*words, "--overwrite"]) == 2
    assert "replaces pages alone" in capsys.readouterr().err
    assert (out / "second" / "dissection.json").is_file()


def test_a_damaged_result_leaves_an_old_page(runs, tmp_path, capsys):
    out = tmp_path / "page"
    words = ["report", str(runs[0]), "--out", str(out)]
    assert main(words) == 0
    before = (out / "page" / "data" / "site.js").read_bytes()
    (runs[0] / "arrays.npz").write_bytes(b"PK")
    assert main([*words, "--overwrite"]) == 2 and "arrays.npz" in capsys.readouterr().err
    assert (out / "page" / "data" / "site.js").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "page"}
