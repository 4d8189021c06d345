"""Responses that are kept, by the official client, on each database."""

import json
import threading

import openai
import pytest
from schemas import conforms
from serving import LoopRuntime, eventually

from retinue.agent import Auth
from retinue.errors import ModelError
from retinue.run.events import Usage
from retinue.run.messages import Message, Thought, ToolCall
from retinue.serve.admission import Access
from retinue.store.address import Address
from retinue.testing import ScriptedModel, agent, calls, says

ANSWER = says("It is 3.", usage=Usage(7, 3))
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.fixture
def stored(serving, address):
    """Serve with a store: `stored(model, functions)`."""

    def serve(model, functions=(), **options):
        return serving(LoopRuntime(model, functions), store=address, **options)

    return serve


def ask(client, question="hi", **options):
    return client.responses.create(**{"model": "tester", "input": question, **options})


def said(model):
    return [(m.role, m.content) for m in model.requests[-1].messages]


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_goes_on_from_another(stored, stream):
    model = ScriptedModel(ANSWER)
    with stored(model).client as client:
        first = ask(client, "1 + 2?", instructions="Count.", stream=stream)
        if stream:
            first = list(first)[-1].response
        second = ask(client, "Sure?", previous_response_id=first.id)
        third = ask(client, "Really?", previous_response_id=second.id, instructions="Be brief.")
    assert first.store is True
    assert (second.previous_response_id, third.previous_response_id) == (first.id, second.id)
    # Instructions are for one response.
    assert said(model) == [
        ("system", "Be brief."),
        ("user", "1 + 2?"),
        ("assistant", "It is 3."),
        ("user", "Sure?"),
        ("assistant", "It is 3."),
        ("user", "Really?"),
    ]


def test_the_agents_own_tool_results_are_not_lost(stored):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), ANSWER)
    with stored(model, [add]).client as client:
        first = ask(client, "1 + 2?", extra_headers={"x-retinue-steps": "off"})
        ask(client, "Sure?", previous_response_id=first.id)
    assert said(model) == [
        ("user", "1 + 2?"),
        ("assistant", ""),
        ("tool", "3"),
        ("assistant", "It is 3."),
        ("user", "Sure?"),
    ]


def test_two_responses_may_go_on_from_the_same(stored):
    model = ScriptedModel(ANSWER)
    with stored(model).client as client:
        root = ask(client, "a")
        ask(client, "b", previous_response_id=root.id)
        ask(client, "c", previous_response_id=root.id)
    assert [text for _, text in said(model)] == ["a", "It is 3.", "c"]


def test_the_callers_tools_are_answered_in_the_next_request(stored):
    thought = Thought("hm", signature="sealed")
    model = ScriptedModel([thought, *calls(("weather", {"city": "Ulm"}))], says("It rains."))
    with stored(model).client as client:
        first = ask(client, "Ulm?", tools=[WEATHER])
        (call,) = first.output
        answer = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        second = ask(client, [answer], previous_response_id=first.id, tools=[WEATHER])
    assert second.output_text == "It rains."
    assert model.requests[1].messages == (
        Message("user", "Ulm?"),
        Message(
            "assistant",
            "",
            (ToolCall("call_1", "weather", '{"city": "Ulm"}'),),
            thoughts=(thought,),
        ),
        Message("tool", "rain", tool_call_id="call_1", name="weather"),
    )


def test_a_call_that_is_not_answered_is_told(stored):
    model = ScriptedModel(calls(("weather", {"city": "Ulm"})))
    with stored(model).client as client:
        first = ask(client, "Ulm?", tools=[WEATHER])
        with pytest.raises(openai.BadRequestError, match="no answer to the call 'call_1'"):
            ask(client, "Well?", previous_response_id=first.id)


def test_a_response_is_found_as_it_was_answered(stored):
    with stored(ScriptedModel(ANSWER)).client as client:
        made = ask(client, "1 + 2?", metadata={"a": "b"}, temperature=0.5)
        found = client.responses.retrieve(made.id)
    assert found.to_dict() == made.to_dict()


def test_what_is_found_is_of_the_right_form(stored):
    server = stored(ScriptedModel(ANSWER))
    body = server.http.post("/v1/responses", json={"input": "hi"}).json()
    conforms(server.http.get(f"/v1/responses/{body['id']}").json(), "Response")


def test_input_items_in_pages(stored):
    question = [{"role": "user", "content": f"{n}"} for n in range(5)]
    with stored(ScriptedModel(ANSWER)).client as client:
        made = ask(client, question)
        newest = client.responses.input_items.list(made.id, limit=2)
        ordered = list(client.responses.input_items.list(made.id, limit=2, order="asc"))
    assert [item.content[0].text for item in newest.data] == ["4", "3"]
    assert newest.has_more
    assert [item.content[0].text for item in ordered] == ["0", "1", "2", "3", "4"]
    assert len({item.id for item in ordered}) == 5


def test_a_response_that_is_deleted_is_gone(stored):
    with stored(ScriptedModel(ANSWER)).client as client:
        made = ask(client)
        client.responses.delete(made.id)
        for call in (
            lambda: client.responses.retrieve(made.id),
            lambda: client.responses.delete(made.id),
            lambda: client.responses.input_items.list(made.id),
        ):
            with pytest.raises(openai.NotFoundError):
                call()
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, previous_response_id=made.id)
    assert refused.value.code == "previous_response_not_found"
    assert refused.value.param == "previous_response_id"


def test_one_that_is_not_to_be_stored_is_not(stored):
    with stored(ScriptedModel(ANSWER)).client as client:
        made = ask(client, store=False)
        assert made.store is False
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)


def test_one_that_failed_is_not_there_to_go_on_from(stored):
    model = ScriptedModel(ANSWER, [*says("It")[:1], ModelError("truncated", "cut")], ANSWER)
    with stored(model).client as client:
        first = ask(client, "a")
        stream = iter(ask(client, "b", previous_response_id=first.id, stream=True))
        failed = next(stream).response
        with pytest.raises(openai.APIError, match="Cut"):
            list(stream)
        assert client.responses.retrieve(failed.id).status == "failed"
        with pytest.raises(openai.BadRequestError, match="no response"):
            ask(client, "c", previous_response_id=failed.id)
        ask(client, "c", previous_response_id=first.id)
    assert [text for _, text in said(model)] == ["a", "It is 3.", "c"]


def test_items_by_reference(stored):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), ANSWER)
    with stored(model, [add]).client as client:
        first = ask(client, "1 + 2?")
        refs = [{"type": "item_reference", "id": item.id} for item in first.output]
        question = {"role": "user", "content": "1 + 2?"}
        ask(client, [question, *refs, {"role": "user", "content": "Sure?"}])
        assert [text for _, text in said(model)] == ["1 + 2?", "", "3", "It is 3.", "Sure?"]
        with pytest.raises(openai.NotFoundError) as refused:
            ask(client, [{"type": "item_reference", "id": f"msg_{'0' * 34}"}])
    assert refused.value.param == "input[0]"


def test_ids_can_not_be_guessed(stored):
    with stored(ScriptedModel(ANSWER)).client as client:
        made = ask(client)
    assert len(made.id.removeprefix("resp_")) == 32
    assert all(len(item.id) <= 40 for item in made.output)


KEYS = {"RETINUE_API_KEYS": "one two"}


def test_another_owner_finds_nothing(stored):
    keyed = agent("tester", auth=Auth(mode="api_key"))
    server = stored(ScriptedModel(ANSWER), access=Access([keyed], KEYS))
    mine = openai.OpenAI(base_url=f"{server.url}/v1", api_key="one", max_retries=0)
    theirs = openai.OpenAI(base_url=f"{server.url}/v1", api_key="two", max_retries=0)
    made = ask(mine)
    talk = mine.conversations.create()
    for call in (
        lambda: theirs.responses.retrieve(made.id),
        lambda: theirs.responses.delete(made.id),
        lambda: theirs.responses.cancel(made.id),
        lambda: theirs.responses.input_items.list(made.id),
        lambda: theirs.conversations.retrieve(talk.id),
        lambda: theirs.conversations.update(talk.id, metadata={}),
        lambda: theirs.conversations.delete(talk.id),
        lambda: theirs.conversations.items.list(talk.id),
        lambda: theirs.conversations.items.create(talk.id, items=[]),
        lambda: ask(theirs, conversation=talk.id),
        lambda: ask(theirs, [{"type": "item_reference", "id": made.output[0].id}]),
    ):
        with pytest.raises(openai.NotFoundError):
            call()
    with pytest.raises(openai.BadRequestError):
        ask(theirs, previous_response_id=made.id)
    assert mine.responses.retrieve(made.id).id == made.id


def test_an_answer_that_can_not_be_kept_is_given_all_the_same(serving, tmp_path):
    address = Address(url=f"postgresql://nobody@/none?host={tmp_path}")
    server = serving(LoopRuntime(ScriptedModel(ANSWER)), store=address)
    with server.client as client:
        whole = ask(client)
        streamed = list(ask(client, stream=True))[-1].response
        for answer in (whole, streamed):
            assert (answer.output_text, answer.store) == ("It is 3.", False)
        with pytest.raises(openai.InternalServerError) as down:
            client.responses.retrieve(whole.id)
    assert (down.value.status_code, down.value.code) == (503, "store_unavailable")
    assert int(down.value.response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("param", "value", "code"),
    [
        ("previous_response_id", "resp_1", "previous_response_not_found"),
        ("conversation", "conv_1", "unsupported_parameter"),
        ("background", True, "unsupported_parameter"),
    ],
)
def test_without_a_store_the_key_is_named(serving, param, value, code):
    with serving(LoopRuntime(ScriptedModel(ANSWER))).client as client:
        with pytest.raises(
            openai.BadRequestError, match=r"set `store` in retinue\.yaml"
        ) as refused:
            ask(client, **{param: value})
    assert (refused.value.param, refused.value.code) == (param, code)


def test_who_hangs_up_leaves_nothing_behind(stored):
    gate = threading.Event()
    model = ScriptedModel([*says("It")[:1], 30.0])
    server = stored(model)
    talk = server.client.conversations.create()
    with server.http.stream(
        "POST",
        "/v1/responses",
        json={"input": "hi", "stream": True, "conversation": talk.id},
    ) as stream:
        for line in stream.iter_lines():
            if "output_text.delta" in line:
                gate.set()
                break
    assert gate.is_set()
    eventually(lambda: model.cancelled == 1, within=10)
    model._turns = (ANSWER,)

    def free():
        try:
            ask(server.client, "again", conversation=talk.id)
        except openai.ConflictError:
            return False
        return True

    eventually(free, within=10)
    assert json.loads(server.http.get(f"/v1/conversations/{talk.id}/items").text)["data"]
    assert [text for _, text in said(model)] == ["again"]


def failing(client, **options):
    """The id of a response that fails in the midst of its stream, and what is kept of it then."""
    events = []
    with pytest.raises(openai.APIError):
        events.extend(ask(client, "1 + 2?", stream=True, **options))
    return events[0].response.id


def test_a_response_that_failed_in_its_stream_is_there_to_be_asked_for(stored):
    broken = [*says("It is")[:-1], ModelError("unavailable", "The model went away.")]
    model = ScriptedModel(broken, broken, ANSWER)
    with stored(model).client as client:
        failed = failing(client)
        found = client.responses.retrieve(failed)
        assert (found.status, found.output_text, found.error.code) == (
            "failed",
            "It is",
            "server_error",
        )
        assert found.output[0].status == "incomplete"
        (asked,) = client.responses.input_items.list(failed)
        assert asked.content[0].text == "1 + 2?"
        unkept = failing(client, store=False)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(unkept)


def test_a_conversation_knows_nothing_of_a_turn_that_failed(stored):
    broken = [*says("It is")[:-1], ModelError("unavailable", "The model went away.")]
    model = ScriptedModel(broken, ANSWER)
    with stored(model).client as client:
        talk = client.conversations.create()
        failed = failing(client, conversation=talk.id)
        assert client.responses.retrieve(failed).status == "failed"
        assert list(client.conversations.items.list(talk.id)) == []
        assert ask(client, "Sure?", conversation=talk.id).output_text == "It is 3."
