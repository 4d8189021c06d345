"""Responses that are made in the background, by the official client, on each database."""

import asyncio
import time

import openai
import pytest
from response_events import parsed
from serving import LoopRuntime, Slow, eventually, running

from retinue.agent import Http, ToolServer
from retinue.errors import ModelError
from retinue.run.events import Usage
from retinue.serve.background import Background, Rhythm
from retinue.serve.overload import Capacity
from retinue.serve.state import State
from retinue.serve.wire.orders import Order
from retinue.serve.work import News, Work
from retinue.store.address import Address
from retinue.store.records import Claim, Response
from retinue.testing import FakeToolbox, ScriptedModel, agent, calls, says

ANSWER = says("It is 3.", usage=Usage(7, 3))
OVER = ("completed", "failed", "cancelled", "incomplete")


@pytest.fixture
def stored(serving, address):
    """Serve with a store: `stored(model, functions)`."""

    def serve(model=None, functions=()):
        return serving(LoopRuntime(model or ScriptedModel(ANSWER), functions), store=address)

    return serve


def ask(client, question="hi", **options):
    fields = {"model": "tester", "input": question, "background": True, **options}
    return client.responses.create(**fields)


def over(client, response, within=20.0):
    """The response when it is over."""
    found = [response]

    def ended():
        found[0] = client.responses.retrieve(response.id)
        return found[0].status in OVER

    eventually(ended, within)
    return found[0]


def texts(model):
    return [m.content for m in model.requests[-1].messages]


def test_it_is_asked_for_until_it_is_there(stored):
    model = ScriptedModel([2.0, *ANSWER])
    with stored(model).client as client:
        begun = ask(client, "1 + 2?", metadata={"a": "b"})
        assert (begun.status, begun.background, begun.output) == ("queued", True, [])
        assert client.responses.retrieve(begun.id).status in ("queued", "in_progress")
        done = over(client, begun)
        assert (done.status, done.output_text) == ("completed", "It is 3.")
        assert done.usage.total_tokens == 10
        assert (done.id, done.created_at, done.metadata) == (begun.id, begun.created_at, {"a": "b"})
        again = client.responses.create(model="tester", input="Sure?", previous_response_id=done.id)
    assert again.output_text == "It is 3."
    assert texts(model) == ["1 + 2?", "It is 3.", "Sure?"]


def test_its_stream_can_be_taken_up_anywhere(stored):
    model = ScriptedModel([*ANSWER[:1], 0.5, *ANSWER[1:]])
    with stored(model).client as client:
        events = []
        with ask(client, stream=True) as stream:
            for event in stream:
                events.append(event)
                if event.type == "response.output_text.delta":
                    break
        response_id = events[0].response.id
        rest = list(
            client.responses.retrieve(
                response_id, stream=True, starting_after=events[-1].sequence_number
            )
        )
        whole = list(client.responses.retrieve(response_id, stream=True))
    assert [e.sequence_number for e in (*events, *rest)] == list(range(len(whole)))
    assert [e.to_dict() for e in (*events, *rest)] == [e.to_dict() for e in whole]
    assert whole[-1].type == "response.completed"
    assert whole[-1].response.output_text == "It is 3."


def test_a_stream_that_nobody_follows_goes_on(stored):
    model = ScriptedModel([*ANSWER[:1], 0.5, *ANSWER[1:]])
    with stored(model).client as client:
        with ask(client, stream=True) as stream:
            begun = next(iter(stream)).response
        assert over(client, begun).status == "completed"
    assert model.cancelled == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_is_told(stored, stream):
    model = ScriptedModel([*says("It")[:1], 0.3, ModelError("unavailable", "the model is down")])
    with stored(model).client as client:
        begun = ask(client, stream=stream)
        if stream:
            events = iter(begun)
            begun = next(events).response
            with pytest.raises(openai.APIError, match="The model is down"):
                list(events)
        done = over(client, begun)
        assert (done.status, done.error.code) == ("failed", "server_error")
        assert done.error.message == "The model is down."
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, previous_response_id=done.id)
    assert refused.value.code == "previous_response_not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_cancelled_at_once(stored, stream):
    slow = Slow()
    model = ScriptedModel(calls(("wait", {})))
    with stored(model, [slow.function]).client as client:
        begun = ask(client, stream=stream)
        response_id = next(iter(begun)).response.id if stream else begun.id
        eventually(lambda: slow.started == 1, within=20)
        gone = client.responses.cancel(response_id)
        assert gone.status == "cancelled"
        assert client.responses.retrieve(response_id).status == "cancelled"
        eventually(lambda: slow.cancelled == 1, within=20)
        if stream:
            told = list(client.responses.retrieve(response_id, stream=True))
            assert [e.sequence_number for e in told] == list(range(len(told)))
            assert told[-1].response.status == "cancelled"
        # What is over stays as it is.
        assert client.responses.cancel(response_id).status == "cancelled"


def test_what_is_over_is_not_cancelled(stored):
    with stored().client as client:
        done = over(client, ask(client))
        assert client.responses.cancel(done.id).status == "completed"
        plain = client.responses.create(model="tester", input="hi")
        with pytest.raises(openai.BadRequestError, match="background=true"):
            client.responses.cancel(plain.id)


def test_one_that_is_deleted_is_worked_on_no_more(stored):
    slow = Slow()
    model = ScriptedModel(calls(("wait", {})))
    with stored(model, [slow.function]).client as client:
        begun = ask(client)
        eventually(lambda: slow.started == 1, within=20)
        client.responses.delete(begun.id)
        eventually(lambda: slow.cancelled == 1, within=20)


def test_its_conversation_is_its_own_until_it_is_over(stored):
    model = ScriptedModel([0.7, *ANSWER])
    with stored(model).client as client:
        talk = client.conversations.create()
        begun = ask(client, "a", conversation=talk.id)
        with pytest.raises(openai.ConflictError):
            ask(client, "b", conversation=talk.id)
        done = over(client, begun)
        assert done.conversation.id == talk.id
        over(client, ask(client, "c", conversation=talk.id))
        items = list(client.conversations.items.list(talk.id, order="asc"))
    assert [item.content[0].text for item in items] == ["a", "It is 3.", "c", "It is 3."]
    assert texts(model) == ["a", "It is 3.", "c"]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"store": False}, "store"),
        ({"previous_response_id": "resp_none"}, "previous_response_id"),
        ({"input": [{"type": "odd"}]}, "input[0].type"),
    ],
)
def test_mistakes_are_told_at_once(stored, options, param):
    with stored().client as client:
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, **options)
    assert refused.value.param == param


def test_only_what_was_begun_as_a_stream_is_one(stored):
    with stored().client as client:
        done = over(client, ask(client))
        with pytest.raises(openai.BadRequestError, match="stream=true"):
            list(client.responses.retrieve(done.id, stream=True))
        streamed = ask(client, stream=True)
        response_id = next(iter(streamed)).response.id
        with pytest.raises(openai.BadRequestError):
            client.responses.retrieve(
                response_id, extra_query={"stream": "true", "starting_after": "x"}
            )


def test_another_process_tells_of_it_and_cancels_it(address):
    slow = Slow()
    working = LoopRuntime(ScriptedModel(calls(("wait", {}))), [slow.function])
    with (
        running(working, store=address) as one,
        running(LoopRuntime(ScriptedModel()), store=address) as other,
    ):
        begun = next(iter(ask(one.client, stream=True))).response
        eventually(lambda: slow.started == 1, within=20)
        stream = other.client.responses.retrieve(begun.id, stream=True)
        assert next(iter(stream)).response.id == begun.id
        assert other.client.responses.retrieve(begun.id).status == "in_progress"
        assert other.client.responses.cancel(begun.id).status == "cancelled"
        eventually(lambda: slow.cancelled == 1, within=20)
        assert one.client.responses.retrieve(begun.id).status == "cancelled"


def test_what_waits_is_taken_up_by_whoever_is_free(address):
    model = ScriptedModel([0.2, *ANSWER])
    with running(LoopRuntime(model), store=address, capacity=Capacity(background=1)) as server:
        begun = [ask(server.client, f"{n}") for n in range(4)]
        done = [over(server.client, one) for one in begun]
    assert {one.status for one in done} == {"completed"}
    assert len(model.requests) == 4


def test_a_stopped_server_s_run_is_made_by_the_next(address):
    slow = ScriptedModel([30.0, *ANSWER])
    with running(LoopRuntime(slow), store=address) as server:
        begun = ask(server.client)
        eventually(lambda: len(slow.requests) == 1, within=20)
    start = time.monotonic()
    with running(LoopRuntime(ScriptedModel(ANSWER)), store=address) as server:
        done = over(server.client, begun)
    assert (done.status, done.output_text) == ("completed", "It is 3.")
    assert time.monotonic() - start < 20


def test_a_run_that_used_tools_is_not_made_again(address):
    slow = Slow()
    model = ScriptedModel(calls(("wait", {})))
    with running(LoopRuntime(model, [slow.function]), store=address) as server:
        begun = next(iter(ask(server.client, stream=True))).response
        eventually(lambda: slow.started == 1, within=20)
    with running(LoopRuntime(ScriptedModel(ANSWER)), store=address) as server:
        done = over(server.client, begun)
        told = parsed(server.http.get(f"/v1/responses/{begun.id}?stream=true").content)
    assert done.status == "failed"
    assert "tools may have been used" in done.error.message
    assert [e["sequence_number"] for e in told] == list(range(len(told)))
    assert told[-1]["type"] == "response.failed"


def test_it_looks_each_second_while_there_is_reason_and_then_ever_more_rarely():
    now = 0.0
    rhythm = Rhythm(alert=30, rarest=600, clock=lambda: now)
    pauses = []
    for busy in (*[False] * 42, True, False):
        pauses.append(rhythm.pause(busy=busy))
        now += pauses[-1]
    assert pauses == [1] * 30 + [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 1, 1]


class Once(Rhythm):
    """Looks at the start, and then only when there is reason."""

    def pause(self, *, busy: bool) -> float:
        return 0.05 if busy else 3600.0


async def test_a_server_that_nobody_needs_looks_when_somebody_asks(address):
    waiting = Response(
        id="resp_a",
        owner="me",
        agent="tester",
        created_at=0,
        status="queued",
        body="{}",
        input="[]",
        messages="[]",
    )
    order = Order(agent="gone", body='{"input": "hi"}', style="openai", session=None)
    runtime = LoopRuntime(ScriptedModel())
    async with State(address) as state, State(address) as other:
        store = await state.store("background")
        await store.database.prepare()
        rhythm = Once()
        async with Background(runtime, state, 1, rhythm=rhythm) as background:
            await asyncio.sleep(0.5)
            writes = store.database.writes
            elsewhere = await other.store("background")
            await elsewhere.submit(waiting, order.dumped(), streamed=False, here=False)
            await asyncio.sleep(0.5)
            assert (await store.response("resp_a", "me")).status == "queued"
            assert store.database.writes == writes
            background.look()
            async with asyncio.timeout(20):
                while (await store.response("resp_a", "me")).status != "failed":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


def counted(http) -> dict[str, float]:
    lines = [line for line in http.get("/metrics").text.splitlines() if line[:8] == "retinue_"]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_tell_of_runs_under_way_and_of_what_became_of_others(serving, address):
    slow = Slow()
    model = ScriptedModel(
        ANSWER,
        [ModelError("unavailable", "The model went away.")],
        calls((slow.function.__name__, {})),
    )
    running = serving(LoopRuntime(model, [slow.function]), store=address)
    ended = 'retinue_background_runs_ended_total{{agent="tester",status="{}"}}'
    with running.client as client, running.http as http:
        for status in ("completed", "failed"):
            assert over(client, ask(client)).status == status
            eventually(lambda: counted(http)["retinue_background_runs"] == 0, within=20)
            assert counted(http)[ended.format(status)] == 1
        assert counted(http)['retinue_tokens_total{agent="tester",kind="input"}'] == 7
        waits = ask(client)
        eventually(lambda: slow.started == 1, within=20)
        assert counted(http)["retinue_background_runs"] == 1
        for _ in range(2):
            client.responses.cancel(waits.id)
        eventually(lambda: slow.cancelled == 1, within=20)
        eventually(lambda: counted(http)["retinue_background_runs"] == 0, within=20)
        assert counted(http)[ended.format("cancelled")] == 1


@pytest.mark.parametrize(("reads", "status"), [(True, "completed"), (False, "failed")])
def test_a_run_whose_tools_only_read_is_made_again(address, reads, status):
    slow = Slow(60)
    name = slow.function.__name__
    model = ScriptedModel(calls((name, {})), ANSWER)

    def runtime() -> LoopRuntime:
        made = LoopRuntime(model)
        made.toolbox = FakeToolbox([slow.function], reads=[name] if reads else [])
        return made

    with running(runtime(), store=address) as first, first.client as client:
        begun = ask(client)
        eventually(lambda: slow.started == 1, within=20)
    with running(runtime(), store=address) as second, second.client as client:
        done = over(client, begun, within=40)
    assert done.status == status
    if not reads:
        assert "tools may have been used" in done.error.message


@pytest.mark.parametrize(
    ("servers", "acts"),
    [
        ([], False),
        ([{"trusted": True}], False),
        ([{"trusted": True}, {"trusted": False}], True),
        ([{"trusted": True, "auth": "user"}], True),
    ],
)
def test_only_the_word_of_trusted_servers_counts(servers, acts, tmp_path):
    at = Http(url="https://tools.example.com/mcp")
    made = [ToolServer(name=f"s{n}", transport=at, **said) for n, said in enumerate(servers)]
    runtime = LoopRuntime(ScriptedModel())
    claim = Claim(response_id="r", owner="me", created_at=0, request="{}", streamed=False)
    work = Work(runtime, State(Address(file=tmp_path / "state.db")), claim, News())
    assert work._may_act(agent("a", mcp_servers=tuple(made))) is acts
