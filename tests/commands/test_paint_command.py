"""`jaxdissect paint` on the command line: what cannot work is refused before the long work."""

import importlib.util
import socket

import pytest

from jaxdissect.commands.main import main
from jaxdissect.commands.paint import command
from jaxdissect.commands.paint.command import PaintOptions


def refused(capsys, *options):
    assert main(["paint", "--no-browser", "--quiet", *options]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--samples", "0"), "`samples` (=0) must be 1 to 1000"),
        (("--num-latents", "3"), "`num_latents` (=3) must be 16 to"),
        (("--port", "70000"), "`port` (=70000) must be 0 to 65535"),
        (("--seed", "-1"), "`seed` (=-1)"),
        (("--seed", str(2**53 + 1)), "`seed`"),
        (("--layer", "layer99"), "layer99"),
    ],
)
def test_options_that_make_no_sense(capsys, options, message):
    assert message in refused(capsys, *options)


def test_a_port_that_is_taken(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"`port` (={port}) of 127.0.0.1 is not free" in refused(capsys, "--port", str(port))


def test_a_folder_that_holds_no_dissection(capsys, tmp_path):
    (tmp_path / "mine.txt").touch()
    assert "no dissection in" in refused(capsys, "--dissection", str(tmp_path))


def test_missing_packages_are_named(capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name)
    )
    assert refused(capsys).endswith(
        "`jaxdissect paint` needs uvicorn: pip install 'jaxdissect[paint]'\n"
    )


def test_only_this_machine_can_connect():
    with command.listen(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    assert PaintOptions().port == 0
