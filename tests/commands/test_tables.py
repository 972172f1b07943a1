"""Tables as text: columns are laid out by their first row."""

from jaxdissect.commands.output.table_files import aligned


def test_columns_follow_their_first_row():
    rows = [("name", "share"), ("tree", "0.5"), ("mean of all", "")]
    assert list(aligned(rows)) == ["  name         share", "  tree           0.5", "  mean of all"]
    assert list(aligned([("name", "share")])) == ["  name  share"]
