"""Names that a workspace takes, each once."""

import re

from hypothesis import given
from hypothesis import strategies as st

from retinue.bundle.names import MAX_RESOURCE_NAME, named

LABELS = st.lists(st.text(max_size=60) | st.sampled_from(["a-b", "a_b", "A.b", "x" * 40]))


@given(LABELS, st.lists(st.sampled_from(["a-b", "wh"])))
def test_names_are_legal_and_no_two_the_same(labels, taken):
    names = named(labels, taken)
    assert len({*names, *taken}) == len(names) + len(set(taken))
    assert all(re.fullmatch(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])", name) for name in names)
    assert all(2 <= len(name) <= MAX_RESOURCE_NAME for name in names)


@given(LABELS)
def test_names_are_the_same_every_time(labels):
    assert named(labels) == named(labels)


def test_a_name_is_readable_where_it_can_be():
    assert named(["databricks-claude-sonnet-4-5", "${var.catalog}.tools", "Ünder_score"]) == [
        "databricks-claude-sonnet-4-5",
        "catalog-tools",
        "nder-score",
    ]
    assert named(["a.b", "a-b"])[0] == "a-b"
