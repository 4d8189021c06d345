"""The session that a request belongs to, and the way its answer came."""

import pytest

from retinue.errors import RequestError
from retinue.run.events import ModelRetried
from retinue.run.messages import ImagePart, Message
from retinue.serve.wire.hops import hops_header
from retinue.serve.wire.session import session_name

HI = (Message("system", "Be kind."), Message("user", "hi"))


def test_a_session_is_named_by_header_then_metadata():
    assert session_name("s-1", {"session_id": "s-2"}, "ann", HI) == "s-1"
    assert session_name(None, {"session_id": "s-2"}, "ann", HI) == "s-2"
    assert session_name("", {"session_id": ""}, "ann", HI).startswith("auto-")


def test_a_session_without_a_name_stays_the_same_as_it_grows():
    first = session_name(None, {}, "ann", HI)
    grown = (*HI, Message("assistant", "hello"), Message("user", "and?"))
    assert session_name(None, {}, "ann", grown) == first
    assert session_name(None, {}, "bob", HI) != first
    assert session_name(None, {}, "ann", (Message("user", "ho"),)) != first
    picture = Message("user", "hi", parts=(ImagePart("data:,"),))
    assert session_name(None, {}, "ann", (picture,)) != first
    assert session_name(None, {}, None, HI[:1])


@pytest.mark.parametrize(
    ("header", "metadata", "param"),
    [
        ("x" * 513, {}, "x-session-id"),
        (None, {"session_id": "a\nb"}, "metadata.session_id"),
    ],
)
def test_a_name_that_is_none_is_refused(header, metadata, param):
    with pytest.raises(RequestError) as caught:
        session_name(header, metadata, None, HI)
    assert caught.value.param == param


def test_the_way_of_an_answer():
    assert hops_header([]) == {}
    hops = [ModelRetried("a/one", "rate_limit", "a/one"), ModelRetried("a/one", "timeout", "b/zwö")]
    told = "a/one;fault=rate_limit, a/one;fault=timeout, b/zw_"
    assert hops_header(hops) == {"x-retinue-route": told}
    assert hops_header(hops * 50)["x-retinue-route"].count("fault=") == 10
