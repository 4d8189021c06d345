"""Ids of questions: made with a key, read back, and good for one question alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.run.approval_ids import ApprovalIds, Bound, new_key, read_id, signing_key
from retinue.run.messages import ToolCall
from retinue.run.references import environment

IDS = ApprovalIds(b"k")
BOUND = Bound("user:anna", "lead", "d1", "clerk", ToolCall("c1", "book", '{"a": 1, "b": "é"}'))
ID = IDS.make("00112233445566ff", 3, 2_000_000_000, BOUND)


def test_an_id_tells_its_run_its_number_and_its_end():
    read = read_id(ID)
    assert read
    assert (read.key, read.number, read.expires) == ("00112233445566ff", 3, 2_000_000_000)
    assert len(ID) == 40
    assert IDS.fits(read, BOUND)


@pytest.mark.parametrize(
    "other",
    [
        replace(BOUND, principal="user:bob"),
        replace(BOUND, agent="clerk"),
        replace(BOUND, digest="d2"),
        replace(BOUND, asks="lead"),
        replace(BOUND, call=ToolCall("c1", "look", BOUND.call.arguments)),
        replace(BOUND, call=ToolCall("c1", "book", '{"a": 2, "b": "é"}')),
        replace(BOUND, call=ToolCall("c1", "book", "not JSON")),
    ],
)
def test_it_fits_nothing_else(other):
    read = read_id(ID)
    assert read
    assert not IDS.fits(read, other)
    assert not ApprovalIds(b"other").fits(read, BOUND)


def test_the_same_arguments_may_be_written_otherwise():
    read = read_id(ID)
    assert read
    same = replace(BOUND, call=ToolCall("c9", "book", '{"b":"\\u00e9","a":1}'))
    assert IDS.fits(read, same)


@given(st.text() | st.from_regex(r"mcpr_[\w-]{35}", fullmatch=True))
def test_what_was_not_made_here_fits_nothing(text):
    read = read_id(text)
    assert read is None or not IDS.fits(read, BOUND)


@given(st.integers(0, len(ID) - 1), st.sampled_from("Ab-_9"))
def test_no_character_of_an_id_can_be_changed(place, character):
    changed = ID[:place] + character + ID[place + 1 :]
    read = read_id(changed)
    assert changed == ID or read is None or not IDS.fits(read, BOUND)


def test_processes_of_one_app_share_a_key_and_others_have_their_own():
    apps = environment({"DATABRICKS_CLIENT_SECRET": "s"})
    assert signing_key(apps) == signing_key(apps)
    assert signing_key(environment({"RETINUE_APPROVAL_KEY": "s"})) == signing_key(apps)
    assert signing_key(environment({})) == signing_key(environment({})) != signing_key(apps)
    assert new_key() != new_key()
