"""API keys and what of them is kept."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.serve.keys import AccessError, KeyRing


def test_keys_stand_between_commas_and_white_space():
    ring = KeyRing.read(" one,two\n\tthree ,, one", "KEYS")
    assert len(ring.names) == 3
    assert all(ring.find(key) for key in (b"one", b"two", b"three"))
    assert not any(ring.find(key) for key in (b"", b"on", b"one ", b"ONE", b"one,two"))


def test_digests_alone_are_kept():
    ring = KeyRing.read("hunter2", "KEYS")
    assert ring.find(b"hunter2") == f"key_{hashlib.sha256(b'hunter2').hexdigest()[:16]}"
    assert "hunter2" not in repr(vars(ring))


@pytest.mark.parametrize("text", ["", " ,\n", "käse", "a\x00b", "x" * 513])
def test_a_key_that_no_header_holds_is_told_and_not_shown(text):
    with pytest.raises(AccessError, match="KEYS") as caught:
        KeyRing.read(text, "KEYS")
    assert len(str(caught.value)) < 100
    assert not text.strip(" ,\n") or text not in str(caught.value)


@given(st.binary())
def test_any_bytes_can_be_presented(presented):
    ring = KeyRing.read("one two", "KEYS")
    assert (ring.find(presented) is not None) == (presented in (b"one", b"two"))
