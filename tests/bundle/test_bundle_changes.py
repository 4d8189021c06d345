"""What differs between two forms of an agent."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from retinue.bundle.changes import Change, changes

LEAVES = st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=2))
TREES = st.recursive(
    st.dictionaries(st.text(max_size=2), LEAVES, max_size=4),
    lambda inner: st.dictionaries(st.text(max_size=2), LEAVES | inner, max_size=4),
)


@given(TREES, TREES)
def test_what_is_told_is_all_that_differs(before, after):
    made = copy.deepcopy(before)
    for change in changes(before, after):
        holder = made
        for key in change.path[:-1]:
            holder = holder[key]
        assert change.before != change.after or change.sign != "~"
        if change.after is None:
            del holder[change.path[-1]]
        else:
            holder[change.path[-1]] = change.after
    assert made == after


@given(TREES)
def test_nothing_differs_from_itself(tree):
    assert changes(tree, copy.deepcopy(tree)) == ()


def test_a_server_that_is_new_or_gone_is_one_change():
    before = {"tools": {"a": {"url": "x", "timeout": 3}, "b": {"url": "y"}}}
    after = {"tools": {"a": {"url": "x", "timeout": 4}, "c": {"url": "z"}}}
    assert [(c.sign, ".".join(c.path)) for c in changes(before, after)] == [
        ("~", "tools.a.timeout"),
        ("-", "tools.b"),
        ("+", "tools.c"),
    ]


def test_of_a_long_text_the_lines_that_differ_are_told():
    change = Change(("text",), "one\ntwo\nthree\nfour\n", "one\ntwo\n3\nfour\n")
    assert change.lines == ("@@ -2,3 +2,3 @@", " two", "-three", "+3", " four")
    assert Change(("text",), "short", "other").lines == ()
    assert Change(("text",), None, "a\nb").lines == ()


def test_lines_of_rules_are_no_heads_of_files():
    change = Change(("text",), "a\n-- x\n", "a\n++ y\n")
    assert change.lines[1:] == (" a", "--- x", "+++ y")
