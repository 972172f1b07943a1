"""Suites: what their files may say, and what is refused in words."""

import pytest
from support.toy_workloads import STUDIES, WORKLOADS, ToySizes

from jaxdissect.bench.suite import parse_suite, read_suite

HEAD = "schema: 1\ntitle: Toys.\nseconds: 0.5\n"


def parse(text, head=HEAD):
    return parse_suite(head + text, name="toys", workloads=WORKLOADS, studies=STUDIES)


def test_a_row_has_sizes_and_the_usual_ones():
    (row,) = parse("rows: [{workload: doubling, number: 3, scale: 2}]").rows
    assert row.name == "doubling number 3 scale 2"
    assert row.sizes == ToySizes(number=3, scale=2.0) and isinstance(row.sizes.scale, float)
    assert (row.seconds, row.least_repeats) == (0.5, 3)


def test_a_sweep_makes_a_row_of_every_combination():
    suite = parse("""
least_repeats: 7
rows:
  - workload: doubling
    name: many
    kind: wrong
    seconds: 2
    sweep: {number: [1, 2], scale: [1e-3, 0.5]}
studies: [{study: ones, halves: [3, 4], limit: 5}]
""")
    assert [(row.sizes.number, row.sizes.scale) for row in suite.rows] == [
        (1, 0.001), (1, 0.5), (2, 0.001), (2, 0.5)
    ]  # fmt: skip
    assert {row.sizes.kind for row in suite.rows} == {"wrong"}
    assert {(row.seconds, row.least_repeats) for row in suite.rows} == {(2.0, 7)}
    assert suite.rows[1].name == "many number 1 scale 0.5"
    assert suite.studies[0].sizes == ToySizes(halves=(3, 4), limit=5)
    assert suite.names()[-1] == "ones halves 3x4 limit 5"


def test_names_say_what_words_and_switches_are():
    suite = parse("rows: [{workload: doubling, kind: wrong, sweep: {twice: [true, false]}}]")
    assert suite.names() == ("doubling wrong twice", "doubling wrong no twice")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rows: [{workload: dubling}]", r"row 1: `workload` \(='dubling'\) .* one of: doubling"),
        ("rows: [{nothing: 1}]", "row 1 .* must have the key `workload`"),
        ("rows: [{workload: doubling, nmber: 1}]", "no `nmber`; possible: number, scale, kind"),
        ("rows: [{workload: doubling, number: true}]", "`number` .=True. must be a whole number"),
        ("rows: [{workload: doubling, number: 1.0}]", "must be a whole number"),
        ("rows: [{workload: doubling, scale: fast}]", "`scale` .='fast'. must be a number"),
        ("rows: [{workload: doubling, twice: 1}]", "must be true or false"),
        ("rows: [{workload: doubling, kind: odd}]", "must be one of: right, wrong, failing"),
        ("rows: [{workload: doubling, halves: 1}]", "`halves` .=1. must be a list"),
        ("rows: [{workload: doubling, halves: [1, a]}]", "value 2 .='a'. must be a whole"),
        ("rows: [{workload: doubling, limit: a}]", "`limit` .* whole number; or .* left out"),
        ("rows: [{workload: doubling, number: 0}]", r"row 1 \(doubling\): .* at least 1"),
        ("rows: [{workload: doubling, name: 3}]", "`name` .=3. must be text"),
        ("rows: [{workload: doubling, seconds: -1}]", "`seconds` .=-1. must be a number"),
        ("rows: [{workload: doubling, least_repeats: 0}]", "`least_repeats` .* at least 1"),
        ("rows: [{workload: doubling, sweep: {number: 1}}]", "`sweep` .* lists of values"),
        ("rows: [{workload: doubling, sweep: {numbr: [1]}}]", "`sweep`: there is no `numbr`"),
        ("rows: [{workload: doubling, number: 1, sweep: {number: [2]}}]", "in `sweep` too"),
        ("rows: [{workload: doubling, number: 1, number: 2}]", "`number` is given twice"),
        ("rows: [{workload: doubling}, {workload: doubling}]", "measured twice"),
        ("rows: [{workload: doubling}]\nstudies: [{study: ones, name: doubling}]", "twice"),
        ("studies: [{study: one}]", r"study 1: `study` \(='one'\) must be one of: ones"),
        ("rows: {workload: doubling}", "`rows` .* must be a list"),
        ("row: []", "the suite: there is no `row`; possible: schema, title"),
        ("rows: []", "`rows` or `studies` must list something"),
        ("rows: [", "no YAML: .* line 4"),
        ("rows: [!!python/object:os.system {}]", "no YAML: could not determine a constructor"),
    ],
)  # fmt: skip
def test_what_nobody_knows_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        parse(text)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("", "`schema` .=None. must be 1"),
        ("schema: 2\n", "`schema` .=2. must be 1"),
        ("schema: 1\ntitle: 3\n", "`title` .=3. must be text"),
        ("schema: 1\nroof_seconds: 0\n", "`roof_seconds` .=0. must be above 0"),
        ("schema: 1\nseconds: long\n", "the suite: `seconds` .='long'. must be a number"),
    ],
)
def test_the_head_is_checked(head, said):
    with pytest.raises(ValueError, match=said):
        parse("rows: [{workload: doubling}]", head)


def test_a_file_of_ones_own_is_named_in_messages(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + "rows: [{workload: doubling}]")
    suite = read_suite(path, workloads=WORKLOADS, studies=STUDIES)
    assert (suite.name, suite.title) == ("mine", "Toys.")
    path.write_text("- 1")
    with pytest.raises(ValueError, match=r"mine\.yaml: the suite must have the keys schema, title"):
        read_suite(path)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match=r"mine\.yaml is no text"):
        read_suite(path)
    with pytest.raises(ValueError, match="`suite` .='large'. must be one of: smoke, cpu"):
        read_suite("large")
    with pytest.raises(FileNotFoundError, match="no file .*, which should hold a suite"):
        read_suite(tmp_path)


def test_only_some_are_measured():
    suite = parse("""
rows: [{workload: doubling, name: one}, {workload: doubling, name: two}]
studies: [{study: ones, name: three}]
""")
    assert suite.only(("two",)).names() == ("two",)
    assert suite.only(("doubling",)).names() == ("one", "two")
    assert suite.only(("t*",)).names() == ("two", "three")
    with pytest.raises(ValueError, match="`only` .='four'. names nothing .* one, two, three"):
        suite.only(("one", "four"))


def test_suites_are_joined():
    first = parse("rows: [{workload: doubling}]")
    second = parse("rows: [{workload: doubling, name: more, seconds: 9}]")
    both = first.and_also(second)
    assert both.names() == ("doubling", "more") and both.name == "toys+toys"
    assert [row.seconds for row in both.rows] == [0.5, 9.0]
    with pytest.raises(ValueError, match="doubling: measured twice"):
        first.and_also(first)
