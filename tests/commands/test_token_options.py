"""Which tokens are no cells, as it is written on the command line."""

import pytest

from jaxdissect.commands.options.tokens import read_drop_tokens


@pytest.mark.parametrize(
    ("words", "drop"),
    [
        ("", None),
        ("1", 1),
        ("-4", -4),
        ("leading 5", 5),
        ("trailing 4", -4),
        ("leading 1 trailing 2", (0, -2, -1)),
        ("at 98", (98,)),
        ("at 0 98 -1", (0, 98, -1)),
        ("leading 1 at 98", (0, 98)),
    ],
)
def test_words_are_read(words, drop):
    assert read_drop_tokens(words.split()) == drop


@pytest.mark.parametrize(
    "words", ["0 98", "leading", "leading -1", "leading 1 2", "at", "last 1", "1.5", "leading 1 at"]
)
def test_others_are_refused(words):
    with pytest.raises(ValueError, match=r"`drop_tokens` \(=.*\) must be like: leading 2"):
        read_drop_tokens(words.split())
