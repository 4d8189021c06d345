"""Bytes → a tree with places: YAML 1.2 scalars, guards, and only diagnostics for any input."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from retinue.compile.document import FRONTMATTER, MAX_DEPTH, MAX_NODES, read_document
from retinue.compile.report import Report, split_lines
from retinue.compile.tree import Document, Node


def read(text: str | bytes, **kwargs: object) -> tuple[Document | None, Report]:
    report = Report()
    data = text if isinstance(text, bytes) else text.encode()
    return read_document("f.yaml", data, report, **kwargs), report  # type: ignore[arg-type]


def value(text: str) -> object:
    document, report = read(text)
    assert document is not None
    assert report.diagnostics() == ()
    return document.root.plain()


def codes(text: str | bytes) -> list[str]:
    return [d.code for d in read(text)[1].diagnostics()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("y", "y"), ("off", "off"),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("tRue", "tRue"),
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("0b1", "0b1"), ("-5", -5), ("+5", 5),
        ("1_000", "1_000"), ("12:30:45", "12:30:45"), ("1:2", "1:2"),
        ("2026-11-20", "2026-11-20"), ("1.5", 1.5), ("1.", 1.0), (".5", 0.5), ("1e3", 1000.0),
        ("-1E-2", -0.01), (".", "."), ("+", "+"), ("1.2.3", "1.2.3"),
        ("~", None), ("null", None), ("Null", None), ("nUll", "nUll"), ("", None),
        ("'1'", "1"), ('"true"', "true"), ("'~'", "~"), ("=", "="), ("0x", "0x"),
        ("0o8", "0o8"), ("-0x1", "-0x1"), ("inf", "inf"), ("nan", "nan"),
    ],
)  # fmt: skip
def test_scalars_follow_the_yaml_1_2_core_schema(text: str, expected: object) -> None:
    read_value = value(f"a: {text}")
    assert read_value == {"a": expected}
    assert type(read_value["a"]) is type(expected)  # type: ignore[index]


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".NAN", "1e999", "9" * 200])
def test_numbers_that_json_does_not_know_are_refused(text: str) -> None:
    assert codes(f"a: {text}") == ["bad-number"]


def test_places_count_characters_from_one() -> None:
    document, _ = read('é: "ü"\nlist:\n  - {k: vv}\n')
    assert document is not None
    root = document.root
    assert str(root.key(("é",))) == "f.yaml:1:1"
    assert str(root.at(("é",))) == "f.yaml:1:4"
    assert root.at(("é",)).width == 3
    assert str(root.key(("list", 0, "k"))) == "f.yaml:3:6"
    assert str(root.at(("list", 0, "k"))) == "f.yaml:3:9"
    assert root.at(("list", 0, "k")).width == 2
    assert str(root.at(("list", 7, "k"))) == "f.yaml:3:3"


def test_byte_order_mark_and_crlf_shift_nothing() -> None:
    document, report = read(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  x\r\n  y\r\n")
    assert document is not None
    assert report.diagnostics() == ()
    assert document.root.plain() == {"a": 1, "b": "x\ny\n"}
    assert str(document.root.key(("b",))) == "f.yaml:2:1"


def test_a_duplicate_key_names_both_places_and_the_first_counts() -> None:
    document, report = read("a: 1\nb: 2\na: 3\n")
    assert document is not None
    assert document.root.plain() == {"a": 1, "b": 2}
    (said,) = report.diagnostics()
    assert (said.location.line, said.related[0][0].line) == (3, 1)


def test_merge_keys_give_way_to_explicit_keys_and_to_earlier_sources() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\n"
    assert value(text)["c"] == {"x": 3, "y": 1, "z": 2}  # type: ignore[index]


def test_frontmatter_keeps_every_scalar_a_string() -> None:
    document, report = read("a: 1.10\nb: on\nc: 2026-01-01\nd: !x y\n", dialect=FRONTMATTER)
    assert document is not None
    assert document.root.plain() == {"a": "1.10", "b": "on", "c": "2026-01-01", "d": "y"}
    assert report.diagnostics() == ()


def test_depth_up_to_the_limit_is_read() -> None:
    deepest = MAX_DEPTH - 1
    assert codes("a: " + "[" * deepest + "]" * deepest) == []
    assert codes("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH) == ["too-deep"]


def test_values_are_counted_with_aliases_expanded() -> None:
    assert codes("- x\n" * (MAX_NODES - 1)) == []
    assert codes("- x\n" * MAX_NODES) == ["too-many-values"]
    bomb = "a: &a [x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
    )
    assert codes(bomb) == ["too-many-values"]


text_like_yaml = st.text(
    alphabet=st.sampled_from("ab:-[]{}#&*!|>'\"%@`,?\\ \n\t\r~<0.1\u2028é$\x00\ufeff")
)


@given(st.one_of(st.binary(), st.text().map(str.encode), text_like_yaml.map(str.encode)))
@settings(max_examples=400, deadline=None)
def test_any_bytes_give_a_document_or_a_diagnostic(data: bytes) -> None:
    document, report = read(data)
    said = report.diagnostics()
    assert document is not None or said
    lines = split_lines(data.decode("utf-8", "replace"))
    for diagnostic in said:
        assert 1 <= diagnostic.location.line <= len(lines) + 1
        assert diagnostic.message
        assert "\n" not in diagnostic.message
        diagnostic.render()


plain_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


class _Quoting(yaml.SafeDumper):
    """Writes every text in double quotes, so that both schemas read it alike."""


_Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


@given(plain_values)
@settings(max_examples=200, deadline=None)
def test_what_a_dumper_writes_is_read_back(original: object) -> None:
    text = yaml.dump({"a": original}, Dumper=_Quoting, allow_unicode=False, width=10**6)
    document, report = read(text)
    if any("\ud800" <= c <= "\udfff" for c in repr(original)):
        return
    assert [d.render() for d in report.diagnostics()] == []
    assert document is not None
    assert document.root.plain() == {"a": original}


def test_a_tree_can_lose_values_and_keeps_the_places_of_the_rest() -> None:
    document, _ = read("a: [x, y, z]\nb: {c: 1, d: 2}\n")
    assert document is not None
    pruned = document.root.without([("a", 0), ("b", "c")])
    assert pruned.plain() == {"a": ["y", "z"], "b": {"d": 2}}
    assert str(pruned.at(("a", 0))) == "f.yaml:1:8"
    assert pruned.find(("b",)).absent == {"c"}
    assert document.root.plain() == {"a": ["x", "y", "z"], "b": {"c": 1, "d": 2}}
    changed = document.root.changed({("b", "d"): Node(5, document.root.place)})
    assert changed.plain() == {"a": ["x", "y", "z"], "b": {"c": 1, "d": 5}}
