"""Conversations, by the official client, on each database."""

import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from serving import LoopRuntime, eventually

from retinue.errors import ModelError
from retinue.testing import ScriptedModel, calls, says

ANSWER = says("It is 3.")


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.fixture
def stored(serving, address):
    """Serve with a store: `stored(model, functions)`."""

    def serve(model=None, functions=()):
        return serving(LoopRuntime(model or ScriptedModel(ANSWER), functions), store=address)

    return serve


def ask(client, question="hi", **options):
    return client.responses.create(**{"model": "tester", "input": question, **options})


def texts(model):
    return [m.content for m in model.requests[-1].messages]


def told(item):
    return item.content[0].text if item.type == "message" else item.type


def test_one_is_made_described_and_deleted(stored):
    with stored().client as client:
        made = client.conversations.create(metadata={"topic": "a"})
        assert made.id.startswith("conv_")
        assert abs(made.created_at - time.time()) < 60
        changed = client.conversations.update(made.id, metadata={"topic": "b"})
        found = client.conversations.retrieve(made.id)
        assert changed == found
        assert (found.metadata, found.created_at) == ({"topic": "b"}, made.created_at)
        gone = client.conversations.delete(made.id)
        assert (gone.id, gone.deleted) == (made.id, True)
        for call in (client.conversations.retrieve, client.conversations.delete):
            with pytest.raises(openai.NotFoundError) as refused:
                call(made.id)
            assert refused.value.code == "conversation_not_found"


def test_items_come_and_go(stored):
    first = [{"type": "message", "role": "user", "content": f"{n}"} for n in range(3)]
    with stored().client as client:
        talk = client.conversations.create(items=first)
        more = client.conversations.items.create(
            talk.id, items=[{"type": "message", "role": "assistant", "content": "3"}]
        )
        assert [told(item) for item in more.data] == ["3"]
        newest = client.conversations.items.list(talk.id, limit=3)
        assert [told(item) for item in newest.data] == ["3", "2", "1"]
        assert newest.has_more
        everything = list(client.conversations.items.list(talk.id, limit=3, order="asc"))
        assert [told(item) for item in everything] == ["0", "1", "2", "3"]
        one = client.conversations.items.retrieve(everything[1].id, conversation_id=talk.id)
        assert told(one) == "1"
        left = client.conversations.items.delete(one.id, conversation_id=talk.id)
        assert left.id == talk.id
        with pytest.raises(openai.NotFoundError) as refused:
            client.conversations.items.retrieve(one.id, conversation_id=talk.id)
        assert refused.value.code == "item_not_found"
        rest = client.conversations.items.list(talk.id, order="asc")
        assert [told(item) for item in rest] == ["0", "2", "3"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=msg_none", "after"),
    ],
)
def test_wrong_pages_are_told(stored, query, param):
    server = stored()
    talk = server.client.conversations.create()
    answer = server.http.get(f"/v1/conversations/{talk.id}/items?{query}")
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": [{"type": "odd"}]}, "items[0].type"),
        ({"items": "x"}, "items"),
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items"),
        ({"metadata": {"a": 1}}, "metadata"),
    ],
)
def test_wrong_bodies_are_told(stored, body, param):
    answer = stored().http.post("/v1/conversations", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_grows_with_its_responses(stored, stream):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), ANSWER)
    with stored(model, [add]).client as client:
        talk = client.conversations.create(items=[{"role": "system", "content": "Count."}])
        answer = ask(client, "1 + 2?", conversation=talk.id, stream=stream)
        if stream:
            answer = list(answer)[-1].response
        assert answer.conversation.id == talk.id
        ask(client, "Sure?", conversation={"id": talk.id})
        items = list(client.conversations.items.list(talk.id, order="asc"))
    assert texts(model) == ["Count.", "1 + 2?", "", "3", "It is 3.", "Sure?"]
    assert [told(item) for item in items] == [
        "Count.",
        "1 + 2?",
        "mcp_call",
        "It is 3.",
        "Sure?",
        "It is 3.",
    ]


def test_an_item_that_was_deleted_is_not_told_any_more(stored):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), ANSWER)
    with stored(model, [add]).client as client:
        talk = client.conversations.create()
        first = ask(client, "1 + 2?", conversation=talk.id)
        client.conversations.items.delete(first.output[0].id, conversation_id=talk.id)
        ask(client, "Sure?", conversation=talk.id)
    assert texts(model) == ["1 + 2?", "It is 3.", "Sure?"]


def test_of_two_writers_one_is_told_to_wait(stored):
    model = ScriptedModel([*says("It")[:1], 1.5, *ANSWER])
    server = stored(model)
    talk = server.client.conversations.create()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, server.client, "a", conversation=talk.id)
        eventually(lambda: bool(model.requests), within=10)
        for call in (
            lambda: ask(server.client, "b", conversation=talk.id),
            lambda: server.client.conversations.items.create(
                talk.id, items=[{"role": "user", "content": "c"}]
            ),
        ):
            with pytest.raises(openai.ConflictError) as refused:
                call()
            assert refused.value.code == "conversation_locked"
        assert first.result().status == "completed"
    items = server.client.conversations.items.list(talk.id, order="asc")
    assert [told(item) for item in items] == ["a", "ItIt is 3."]
    ask(server.client, "d", conversation=talk.id)


def test_a_turn_that_failed_changes_nothing(stored):
    model = ScriptedModel([ModelError("bad_request", "no")], ANSWER)
    with stored(model).client as client:
        talk = client.conversations.create(items=[{"role": "user", "content": "a"}])
        with pytest.raises(openai.BadRequestError):
            ask(client, "b", conversation=talk.id)
        with pytest.raises(openai.BadRequestError):
            ask(client, [{"type": "odd"}], conversation=talk.id)
        assert [told(i) for i in client.conversations.items.list(talk.id)] == ["a"]
        ask(client, "c", conversation=talk.id)
    assert texts(model) == ["a", "c"]


def test_it_goes_on_with_store_false(stored):
    model = ScriptedModel(ANSWER)
    with stored(model).client as client:
        talk = client.conversations.create()
        made = ask(client, "a", conversation=talk.id, store=False)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)
        ask(client, "b", conversation=talk.id)
    assert texts(model) == ["a", "It is 3.", "b"]


def test_a_conversation_and_a_response_to_go_on_from_exclude_each_other(stored):
    with stored().client as client:
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, conversation="conv_1", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"


def test_without_a_store_the_key_is_named(serving):
    with serving(LoopRuntime(ScriptedModel(ANSWER))).client as client:
        with pytest.raises(openai.BadRequestError, match=r"set `store` in retinue\.yaml"):
            client.conversations.create()
