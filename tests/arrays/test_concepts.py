"""Vocabularies: their rules, joining, files and their faults, the reference's label order."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import golden

from jaxdissect.arrays.concepts import (
    CATEGORIES,
    Vocabulary,
    merge_vocabularies,
    read_concepts,
    read_unified_parsing,
    vocabulary,
    write_concepts,
)

ROOM = vocabulary(
    [("wood", "material"), ("lamp", "object"), ("glass", "object"), ("glass", "material")]
)

# Objects 1 wall, 2 sky, 3 door, 4 lamp; `door` of the wall is the object, `knob` is one part.
UNIFIED = {
    "object": ["-", "wall", "sky", "door", "lamp"],
    "material": ["-", "brick"],
    "object_part": {"lamp": ["-", "knob", "shade"], "sky": ["-", "cloud"], "door": ["-", "knob"]}
    | {"wall": ["-", "door"]},
}

words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=4).filter(
    lambda word: word != "-" and word.isprintable()
)
concept_lists = st.lists(st.tuples(words, words), unique=True, max_size=6)


def pairs(known: Vocabulary) -> list[tuple[str, str]]:
    return list(zip(known.names, known.categories, strict=True))


def test_ids_count_from_one_and_zero_is_none():
    assert pairs(ROOM)[0] == ("-", "-")
    assert len(ROOM) == 5
    assert ROOM.index("wood") == 1
    assert ROOM.index("glass", category="object") == 3
    assert ROOM.index("glass", category="material") == 4
    assert len(vocabulary([])) == 1
    assert hash(ROOM) == hash(vocabulary(pairs(ROOM)[1:]))


def test_categories_come_in_the_order_of_broden_then_of_appearance():
    mixed = ["mood", "color", "part", "era", "texture", "object", "material", "mood"]
    known = vocabulary((f"name {i}", category) for i, category in enumerate(mixed))
    assert known.category_names == (*CATEGORIES, "mood", "era")
    np.testing.assert_array_equal(known.of_category("mood"), np.array([1, 8], np.int32))
    assert known.of_category("mood").dtype == np.int32
    with pytest.raises(ValueError, match="`category` .='moods'. must be one of: object, part"):
        known.of_category("moods")


def test_unknown_and_ambiguous_names_are_explained():
    with pytest.raises(ValueError, match="`name` .='lammp'. is no concept here; similar: lamp"):
        ROOM.index("lammp")
    with pytest.raises(ValueError, match="of `name` .='glass'. must be one of: object, material"):
        ROOM.index("glass")
    with pytest.raises(ValueError, match="`category` .='color'. of `name` .='lamp'.*: object"):
        ROOM.index("lamp", category="color")


@pytest.mark.parametrize("bad", ["", "-", " lamp", "lamp ", "a\nb"])
def test_malformed_names_and_categories_are_refused(bad):
    with pytest.raises(ValueError, match=r"`concepts`\[1\]: the name"):
        vocabulary([("sky", "object"), (bad, "object")])
    with pytest.raises(ValueError, match=r"`concepts`\[0\]: the category"):
        vocabulary([("sky", bad)])


def test_repeated_concepts_are_refused():
    with pytest.raises(ValueError, match=r"`concepts`\[2\]: 'sky'.*already, see `concepts`\[0\]"):
        vocabulary([("sky", "object"), ("sky", "color"), ("sky", "object")])


def test_a_vocabulary_built_by_hand_obeys_the_same_rules():
    assert Vocabulary(("-", "sky"), ("-", "object")) == vocabulary([("sky", "object")])
    with pytest.raises(ValueError, match="must begin with '-'"):
        Vocabulary(("sky",), ("object",))
    with pytest.raises(ValueError, match="`names` .2. and `categories` .1."):
        Vocabulary(("-", "sky"), ("-",))
    with pytest.raises(ValueError, match="entry 2: 'sky'"):
        Vocabulary(("-", "sky", "sky"), ("-", "object", "object"))


def test_merge_of_two():
    other = vocabulary([("red", "color"), ("glass", "material"), ("wood", "part")])
    joined, (first, second) = merge_vocabularies(ROOM, other)
    assert pairs(joined) == [*pairs(ROOM), ("red", "color"), ("wood", "part")]
    np.testing.assert_array_equal(first, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(second, [0, 5, 4, 6])


@given(st.lists(concept_lists, max_size=4))
def test_merge_keeps_the_meaning_of_every_id(lists):
    inputs = [vocabulary(concepts) for concepts in lists]
    joined, tables = merge_vocabularies(*inputs)
    assert len(tables) == len(inputs)
    for known, table in zip(inputs, tables, strict=True):
        assert table.dtype == np.int32
        assert [pairs(joined)[i] for i in table] == pairs(known)
    assert set(pairs(joined)) == {("-", "-")}.union(*map(pairs, inputs))


@given(concept_lists.filter(bool))
def test_csv_round_trip(tmp_path_factory, concepts):
    path = tmp_path_factory.getbasetemp() / "concepts.csv"
    known = vocabulary(concepts)
    write_concepts(path, known)
    assert read_concepts(path) == known
    file = io.StringIO(newline="")
    write_concepts(file, known)
    assert file.getvalue().encode() == path.read_bytes()


def test_csv_with_unsorted_ids_other_columns_quotes_and_byte_order_mark(tmp_path):
    path = tmp_path / "concepts.csv"
    text = '\ufeffname, frequency,id, category\r\n"lamp, lit",0.5,2,object\r\nred,0.1, 1, color\r\n'
    path.write_bytes(text.encode())
    assert pairs(read_concepts(path))[1:] == [("red", "color"), ("lamp, lit", "object")]
    path.write_text("id,name\n1,sky\n")
    assert pairs(read_concepts(path))[1:] == [("sky", "object")]


def test_text_file_numbers_its_lines(tmp_path):
    path = tmp_path / "objects.txt"
    path.write_text("sky\nwater, deep \n\n")
    assert pairs(read_concepts(path))[1:] == [("sky", "object"), ("water, deep", "object")]


SKY_AND_SEA = [
    ("a.txt", "0: unlabeled\n1: sky\n2: wide sea\n", {}),
    ("a.txt", "0 background\n2 wide sea\n1 sky\n", {}),
    ("a.txt", "1\tsky\n2\twide sea\n", {}),
    ("a.txt", "1;sky\n2;wide sea\n", {}),
    ("a.txt", "sky 1\nwide sea 2\n", {}),
    ("a.txt", "Idx\tRatio\tStuff\tName\n1\t0.2\t1\tsky\n2\t0.1\t1\twide sea\n", {}),
    ("a.csv", "\ufeffid;name;category\r\n1;sky;object\r\n2;wide sea;object\r\n", {}),
    ("a.csv", "name,id\n__background__,0\nsky,1\nwide sea,2\n", {}),
    ("a.tsv", "ID\tName\n1\tsky\n2\twide sea\n", {}),
    ("a.txt", "0: sky\n1: wide sea\n", {"first_label": 0}),
    ("a.csv", "id,name\n0,sky\n1,wide sea\n", {"first_label": 0}),
    ("a.txt", "sky\nwide sea\n", {"first_label": 0}),
]


@pytest.mark.parametrize(("name", "content", "options"), SKY_AND_SEA)
def test_numbered_lines_and_tables_of_any_separator(tmp_path, name, content, options):
    (tmp_path / name).write_text(content, newline="")
    found = read_concepts(tmp_path / name, **options)
    assert pairs(found)[1:] == [("sky", "object"), ("wide sea", "object")]


@pytest.mark.parametrize("content", ["background\nsky\n", "0: background\n1: sky\n"])
def test_what_carries_no_label_is_not_the_first_concept(tmp_path, content):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(ValueError, match=r"line 1: id 0 is 'background', no concept, but `first_l"):
        read_concepts(tmp_path / "a.txt", first_label=0)


def test_numbers_that_are_parts_of_names_stay(tmp_path):
    (tmp_path / "a.txt").write_text("boeing 737\nairbus 320\n3 sisters\n")
    assert read_concepts(tmp_path / "a.txt").names[1:] == ("boeing 737", "airbus 320", "3 sisters")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "name,category\nsky,object\n", r"a\.csv, line 1: the header lacks id"),
        ("a.csv", "", r"a\.csv, line 0: the header lacks id, name"),
        ("a.csv", "id,name\n", r"a\.csv names no concept"),
        ("a.csv", "id,name\n1,sky\nx,sea\n", r"a\.csv, line 3: `id` \(='x'\)"),
        ("a.csv", "id,name\n1,sky\n1,sea\n", r"a\.csv, line 3: id 1 is taken, see .*line 2"),
        ("a.csv", "id,name\n1,sky\n3,sea\n", r"a\.csv, line 3: id 3 of 'sea' lies outside 1 to 2"),
        ("a.csv", "id,name\n-1,x\n1,sky\n", r"a\.csv, line 2: id -1 of 'x' lies outside 1 to 2"),
        ("a.csv", "id,name\n0,road\n1,sky\n", r"a\.csv, line 2: id 0 is 'road'.*`first_label` 0"),
        ("a.csv", "id,idx,name\n1,1,sky\n", r"a\.csv, line 1: .* several columns for `id`"),
        ("a.txt", "background\nsky\n", r"a\.txt, line 1: is 'background' id 0.*'1: background'"),
        ("a.txt", "0: road\n1: sky\n", r"a\.txt, line 1: id 0 is 'road'.*`first_label` 0"),
        ("a.txt", "0: bg\n1: sky\n255: void\n", r"line 3: id 255 of 'void'.*`ignore_label` 255"),
        ("a.txt", "1: sky\nsea\n", r"a\.txt, line 1 is numbered, '1: sky', and other lines are no"),
        (
            "a.txt",
            "# outdoors\nsky\n",
            r"a\.txt, line 1 looks like a comment, '# outdoors'",
        ),
        ("a.txt", "1;sky;object\n2;sea;object\n", r"line 1 has more columns .* a header"),
        ("a.txt", "1\tsky\tobject\n", r"line 1 has more columns than a number and a name"),
        ("a.txt", "sky;object\nsea;object\n", r"a\.txt looks like a table separated by ';'"),
        ("a.txt", "1: sky\n1: sea\n", r"a\.txt, line 2: id 1 is taken, see .*line 1"),
        ("a.csv", "id,name\n1,sky,blue\n", r"a\.csv, line 2: not as many columns"),
        ("a.csv", "id,name\n1\n", r"a\.csv, line 2: not as many columns"),
        ("a.csv", "id,name\n1,sky\n2,\n", r"a\.csv, line 3: the name ''"),
        ("a.csv", 'id,name\n1,"sky\n', r"a\.csv, line 2: unexpected end of data"),
        ("a.csv", "id,name\n1,sky\n2,sky\n", r"a\.csv, line 3: 'sky'.*already, see .*line 2"),
        ("a.txt", "sky\n\nsea\n", r"a\.txt, line 2: the name ''"),
        ("a.txt", "sky\nsea\nsky\n", r"a\.txt, line 3: 'sky'.*already, see .*line 1"),
        ("a.txt", b"sky\ns\xe9a\n", r"a\.txt, line 2 is not UTF-8"),
        ("a.json", '{"labels":\n[}', r"a\.json, line 2: no JSON"),
        ("a.json", "[1]", r"a\.json is no known label file"),
        ("a.json", '{"labels": []}', r"a\.json names no concept"),
        ("a.json", '{"labels": [{"name": "sky"}]}', r"a\.json, labels\[0\] must have a `name`"),
        ("a.json", '{"labels": [{"name": 1, "category": "object"}]}', r"labels\[0\] must have"),
        ("a.json", '{"object_part": {}}', r"a\.json: 'object' must be a list"),
        ("a.yaml", "sky", r"`path` .*must end in one of: \.csv, \.tsv, \.txt, \.json"),
    ],
)
def test_faulty_files_are_refused_in_one_message(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_concepts(path)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_unified_parsing_order():
    plain = read_unified_parsing(UNIFIED, quadrants=False)
    assert plain.names == ("-", "wall", "sky", "door", "lamp", "brick", "cloud", "knob", "shade")
    assert plain.of_category("part").tolist() == [6, 7, 8]
    few = read_unified_parsing(UNIFIED, quadrants=False, all_parts=False)
    assert few.names == plain.names[:7]
    halved = read_unified_parsing(UNIFIED)
    assert len(halved) == len(plain) + 4 * 4
    assert halved.names[5:10] == ("wall-t", "sky-t", "door-t", "lamp-t", "wall-l")
    assert halved.index("lamp-b", category="part") == 2 * 4 + 8 and halved.index("brick") == 21


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"object_part": None}, "must have an `object_part`"),
        ({"object": ["wall"]}, "'object' must be a list of names that begins with '-'"),
        ({"object": ["-", 3]}, "'object' must be a list of names"),
        ({"material": "brick"}, "'material' must be a list .* and is brick"),
        ({"object_part": {"roof": ["-"]}}, "object_part: 'roof' is no object"),
        ({"object_part": {"wall": ["door"]}}, "'wall' must be a list of names"),
        ({"material": ["-", "brick", "brick"]}, "material: 'brick' of category 'material' is"),
    ],
)
def test_faulty_unified_parsing_labels_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        read_unified_parsing(UNIFIED | change)


def test_formats_of_json_files_are_distinguished(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(UNIFIED))
    assert read_concepts(path) == read_unified_parsing(path) == read_unified_parsing(UNIFIED)


@pytest.mark.parametrize("name", ["semantic_color", "semantic_masked"])
def test_semantic_label_files_give_the_labels_of_the_reference(tmp_path, name):
    _, meta = golden.load(name, allow_pickle=True)
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(meta["labeldata"]))
    known = read_concepts(path)
    assert [list(pair) for pair in pairs(known)] == meta["labels"]
    assert list(known.category_names) == meta["categories"]


@pytest.mark.parametrize("name", ["upp_labels_a", "upp_labels_b"])
@pytest.mark.parametrize("code", ["plain", "p", "q", "pq"])
def test_small_unified_vocabularies_are_those_of_the_reference(name, code):
    _, meta = golden.load(name, allow_pickle=True)
    known = read_unified_parsing(
        meta["labeldata"], quadrants="q" in code, all_parts=code in ("p", "pq")
    )
    # The reference counts "none" among the objects.
    assert [list(pair) for pair in pairs(known)[1:]] == meta[f"labels_{code}"][1:]
    assert meta[f"labels_{code}"][0] == ["-", "object"]


@pytest.mark.parametrize("code", ["net", "netp", "netq", "netpq"])
def test_published_unified_vocabulary_has_the_counts_of_the_reference(code):
    _, meta = golden.load("labels_netpqc_real")
    file = golden.labels_folder() / "upp_labels.json"
    known = read_unified_parsing(file, quadrants="q" in code, all_parts="p" in code)
    assert len(known) == meta[f"count_{code}"]
    counts = {category: len(known.of_category(category)) for category in known.category_names}
    counts["object"] += 1  # the reference counts "none" among the objects
    assert counts == meta[f"category_counts_{code}"]
    assert list(known.category_names) == meta[f"cats_{code}"]


def test_published_vocabulary_is_that_of_the_reference_but_for_its_second_none():
    arrays, _ = golden.load("labels_netpqc_real")
    reference = list(zip(arrays["label"].tolist(), arrays["category"].tolist(), strict=True))
    folder = golden.labels_folder()
    unified = read_concepts(folder / "upp_labels.json")
    joined, (_, colors) = merge_vocabularies(unified, read_concepts(folder / "color_labels.json"))
    second_none = len(unified)
    assert reference[second_none] == ("-", "-") and len(reference) == 1825
    assert pairs(joined)[1:] == reference[1:second_none] + reference[second_none + 1 :]
    assert colors.tolist() == [0, *range(second_none, 1824)]
