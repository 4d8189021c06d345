"""Bodies that ask for a key: a right one makes a key, and any other says what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.errors import RequestError
from retinue.serve.wire.keys import CreateKeyRequest, key_list, key_object
from retinue.store.api_key import SCOPES, digest_of, is_ours

AGENTS = ("sales", "hr")


def made(**body):
    return CreateKeyRequest.read(json.dumps(body).encode()).made(AGENTS)


def test_a_name_is_enough():
    text, key = made(name="ci")
    assert is_ours(text.encode())
    assert key.digest == digest_of(text.encode()).hex()
    assert (key.scopes, key.agents, key.expires_at) == ({"chat"}, frozenset(), None)
    assert text not in json.dumps(key_object(key))
    assert key_object(key, text)["key"] == text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": 1}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "ci", "scopes": []}, "scopes"),
        ({"name": "ci", "scopes": ["root"]}, "scopes[0]"),
        ({"name": "ci", "scopes": "chat"}, "scopes"),
        ({"name": "ci", "agents": []}, "agents"),
        ({"name": "ci", "agents": ["sales", "nobody"]}, "agents[1]"),
        ({"name": "ci", "agents": ["sales"], "scopes": ["admin"]}, "agents"),
        ({"name": "ci", "expires_in": 0}, "expires_in"),
        ({"name": "ci", "expires_in": 1e99}, "expires_in"),
        ({"name": "ci", "expires_in": "90d"}, "expires_in"),
        ({"name": "ci", "expire_in": 60}, "expire_in"),
        ({"name": "ci", "limits": {"rate": "60"}}, "limits.rate"),
        ({"name": "ci", "limits": {"rate": "0/minute"}}, "limits.rate"),
        ({"name": "ci", "limits": {"tokens": "1/second"}}, "limits.tokens"),
        ({"name": "ci", "limits": {"usd": "-1/day"}}, "limits.usd"),
        ({"name": "ci", "limits": {"usd": "٣/day"}}, "limits.usd"),
        ({"name": "ci", "limits": {"euros": "1/day"}}, "limits.euros"),
    ],
)
def test_what_is_wrong_is_named(body, param):
    with pytest.raises(RequestError) as caught:
        made(**body)
    assert (caught.value.param, caught.value.status) == (param, 400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.from_regex(r"[a-z]{1,9}", fullmatch=True) | JSON,
        "scopes": st.lists(st.sampled_from(SCOPES)) | JSON,
        "agents": st.lists(st.sampled_from([*AGENTS, "nobody"])) | JSON,
        "expires_in": st.integers() | JSON,
        "limits": JSON | st.fixed_dictionaries({}, optional={"rate": st.text() | JSON}),
    },
)


@given(BODIES | JSON)
def test_any_body_makes_a_key_or_is_a_request_error(body):
    try:
        text, key = CreateKeyRequest.read(json.dumps(body).encode()).made(AGENTS)
    except RequestError as error:
        assert len(str(error)) < 400
        return
    assert is_ours(text.encode())
    assert key.name == body["name"]
    assert key.scopes <= set(SCOPES)
    assert key.agents <= set(AGENTS)


def test_a_page_says_whether_there_are_more():
    keys = [made(name=f"k{n}")[1] for n in range(3)]
    page = key_list(keys, 2)
    assert [key["name"] for key in page["data"]] == ["k0", "k1"]
    assert (page["has_more"], page["last_id"]) == (True, keys[1].id)
    assert key_list([], 2)["first_id"] is None
