"""Calls that are made only after the user agrees: who, what, when, and once."""

import json
import logging
import sys
from dataclasses import replace

import pytest

from ledgers import ANNA, ASK, SERVER, Ledger, end, play, runtime, said
from retinue.agent import Agent, SubAgent
from retinue.compile import compile_agents
from retinue.errors import RequestError
from retinue.project import Project
from retinue.run.approval import Answer, Paused, Waiting
from retinue.run.approvals import VALID_FOR, ApprovalGate, ApprovalsInMemory
from retinue.run.caller import Caller
from retinue.run.events import RunFinished, TextDelta, ToolFinished, ToolStarted, Usage
from retinue.run.messages import Message, ToolCall
from retinue.run.options import RunOptions
from retinue.run.ports import Tool
from retinue.testing import ScriptedModel, agent, calls, route, says

BOOK = ("ledger__book", {"text": "a"})
COUNT = ("ledger__count", {"of": "b"})


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path)


def clerk(ledger: Ledger, name: str = "clerk", **fields) -> Agent:
    return agent(name, model=route(f"{name}/m"), mcp_servers=(ledger.server,), **fields)


def text(events) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta))


def tools(events, kind=ToolFinished) -> list[str]:
    return [e.call.name for e in events if isinstance(e, kind)]


async def test_a_call_waits_for_its_user_while_the_others_are_made(ledger):
    model = ScriptedModel(calls(BOOK, COUNT), says("Booked."))
    async with runtime({"clerk": model}, clerk(ledger)) as opened:
        first = await play(opened, "clerk")
        finish = end(first)
        assert ledger.lines == ["count b"]
        assert tools(first, ToolStarted) == tools(first) == ["ledger__count"]
        (asked,) = finish.approvals
        assert (asked.call.name, asked.agent) == ("ledger__book", "clerk")
        assert asked.about == "Book an entry, for good."
        assert finish.reason == "stop"
        assert [c.name for m in finish.messages for c in m.tool_calls] == ["ledger__count"]

        second = await play(opened, "clerk", said(finish, True))
        assert ledger.lines == ["count b", "book a"]
        assert tools(second) == ["ledger__book"]
        assert text(second) == "Booked."
        sent = model.requests[1].messages
        assert [m.role for m in sent] == ["system", "user", "assistant", "tool", "tool"]
        assert ["done: book a" in sent[3].content, "done: count b" in sent[4].content] == [
            True,
            True,
        ]
        assert [m.role for m in end(second).messages] == ["assistant", "tool", "tool", "assistant"]


@pytest.mark.parametrize("reason", ["", "too dear"])
async def test_a_call_that_is_refused_is_not_made_and_the_model_is_told(ledger, reason):
    model = ScriptedModel(calls(BOOK), says("Not booked."))
    async with runtime({"clerk": model}, clerk(ledger)) as opened:
        finish = end(await play(opened, "clerk"))
        answers = said(finish, False)
        answers = replace(answers, given=(replace(answers.given[0], reason=reason),))
        events = await play(opened, "clerk", answers)
    assert ledger.lines == []
    assert tools(events, ToolStarted) == []
    told = model.requests[1].messages[-1]
    assert told.role == "tool"
    assert "did not agree" in told.content
    assert reason in told.content


async def test_what_the_user_says_instead_follows_the_refusal(ledger):
    model = ScriptedModel(calls(BOOK), says("ok"))
    instead = Message("user", "Book b.")
    async with runtime({"clerk": model}, clerk(ledger)) as opened:
        finish = end(await play(opened, "clerk"))
        answers = said(finish, False, drop=2, said=1)
        sent = [*ASK, Message("assistant", "May I?"), instead]
        await play(opened, "clerk", answers, conversation=sent)
    roles = [m.role for m in model.requests[1].messages]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    assert model.requests[1].messages[-1] == instead


async def test_an_answer_counts_once(ledger):
    model = ScriptedModel(calls(BOOK), says("Booked."), says("Booked already."))
    async with runtime({"clerk": model}, clerk(ledger)) as opened:
        finish = end(await play(opened, "clerk"))
        await play(opened, "clerk", said(finish, True))
        again = await play(opened, "clerk", said(finish, True))
        assert text(again) == "Booked already."
        with pytest.raises(RequestError) as caught:
            await play(opened, "clerk", said(finish, True, param="input[2]"))
    assert (caught.value.code, caught.value.param) == ("approval_not_found", "input[2]")
    assert ledger.lines == ["book a"]


async def test_nobody_else_answers_and_the_question_stays_open(ledger, caplog):
    model = ScriptedModel(calls(BOOK), says("ok"))
    async with runtime({"clerk": model}, clerk(ledger)) as opened:
        finish = end(await play(opened, "clerk"))
        with caplog.at_level(logging.INFO, "retinue"):
            for other in (Caller(principal="user:bob"), Caller()):
                await play(opened, "clerk", said(finish, True), caller=other)
            assert ledger.lines == []
            await play(opened, "clerk", said(finish, True))
    assert ledger.lines == ["book a"]
    levels = [r.levelname for r in caplog.records if "approval" in r.message]
    assert levels[-3:] == ["WARNING", "WARNING", "INFO"]
    assert "principal='user:bob'" in caplog.text
    assert '"a"' not in caplog.text


async def test_a_later_version_of_the_agent_asks_again(ledger):
    kept = ApprovalsInMemory()
    key = {"RETINUE_APPROVAL_KEY": "k"}
    old = ScriptedModel(calls(BOOK))
    more = {"approvals": kept, "lookup": lambda ref: key.get(ref.name, "")}
    async with runtime({"clerk": old}, clerk(ledger, digest="1"), **more) as opened:
        finish = end(await play(opened, "clerk"))
    new = ScriptedModel(says("What?"))
    async with runtime({"clerk": new}, clerk(ledger, digest="2"), **more) as opened:
        await play(opened, "clerk", said(finish, True))
    assert ledger.lines == []
    async with runtime({"clerk": new}, clerk(ledger, digest="1"), **more) as opened:
        await play(opened, "clerk", said(finish, True))
    assert ledger.lines == ["book a"]


async def test_each_of_several_questions_has_its_own_answer(ledger):
    wanted = calls(BOOK, ("ledger__book", {"text": "b"}), ("ledger__book", {"text": "c"}))
    model = ScriptedModel(wanted, says("ok"))
    async with runtime({"clerk": model}, clerk(ledger)) as opened:
        finish = end(await play(opened, "clerk"))
        assert len({asked.id for asked in finish.approvals}) == 3
        given = [finish.approvals[2].id, finish.approvals[0].id]
        answers = said(finish, True)
        answers = replace(answers, given=(Answer(given[0], True), Answer(given[1], False)))
        await play(opened, "clerk", answers)
    assert ledger.lines == ["book c"]
    results = [m.content for m in model.requests[1].messages if m.role == "tool"]
    assert ["done" in r for r in results] == [False, False, True]


async def test_another_process_makes_the_call_where_the_request_tells_of_it(ledger):
    more = {"lookup": lambda ref: "k" if ref.name == "RETINUE_APPROVAL_KEY" else ""}
    first, second = ScriptedModel(calls(BOOK)), ScriptedModel(says("Booked."))
    async with runtime({"clerk": first}, clerk(ledger), **more) as opened:
        finish = end(await play(opened, "clerk"))
    (asked,) = finish.approvals
    same = ToolCall("x", "ledger__book", '{ "text" : "a" }')
    other = ToolCall("x", "ledger__book", '{"text": "all"}')
    answers = said(finish, True)
    async with runtime({"clerk": second}, clerk(ledger), **more) as opened:
        for call in (None, other):
            tried = replace(answers, given=(Answer(asked.id, True, call),))
            await play(opened, "clerk", tried)
        assert ledger.lines == []
        told = replace(answers, given=(Answer(asked.id, True, same),), lead="I would.")
        await play(opened, "clerk", told)
        await play(opened, "clerk", told)
    assert ledger.lines == ["book a"]
    sent = second.requests[2].messages
    assert [m.role for m in sent] == ["system", "user", "assistant", "tool"]
    assert sent[2].content == "I would."


async def test_workers_make_a_call_once_between_them(ledger, tmp_path):
    folder = tmp_path / "spent"
    folder.mkdir()
    model = ScriptedModel(calls(BOOK), says("Booked."))
    now = [1_000.0]
    kept = [ApprovalsInMemory(spent=folder, clock=lambda: now[0]) for _ in range(2)]
    one, other = (
        runtime({"clerk": model}, clerk(ledger), approvals=each, lookup=lambda _: "k")
        for each in kept
    )
    async with one, other:
        finish = end(await play(one, "clerk"))
        (asked,) = finish.approvals
        told = replace(said(finish, True), given=(Answer(asked.id, True, asked.call),))
        for opened in (other, one, other):
            await play(opened, "clerk", told)
    assert ledger.lines == ["book a"]
    # What nobody can answer any more is forgotten.
    now[0] = asked.expires + 1.0
    assert await kept[1].spend("new", int(now[0]) + 900)
    assert [path.name for path in folder.iterdir()] == ["new"]


async def test_a_process_without_the_key_believes_nothing(ledger):
    first, second = ScriptedModel(calls(BOOK)), ScriptedModel(says("What?"))
    async with runtime({"clerk": first}, clerk(ledger), lookup=lambda _: "k") as opened:
        finish = end(await play(opened, "clerk"))
    (asked,) = finish.approvals
    answers = replace(said(finish, True), given=(Answer(asked.id, True, asked.call),))
    async with runtime({"clerk": second}, clerk(ledger), lookup=lambda _: "j") as opened:
        await play(opened, "clerk", answers)
    assert ledger.lines == []


async def test_arguments_that_do_not_fit_are_not_asked_about(ledger):
    model = ScriptedModel(calls(("ledger__book", {})), says("Sorry."))
    async with runtime({"clerk": model}, clerk(ledger)) as opened:
        events = await play(opened, "clerk")
    assert end(events).approvals == ()
    assert text(events) == "Sorry."


async def test_a_call_beside_one_of_the_callers_is_not_asked_about(ledger):
    model = ScriptedModel(calls(BOOK, ("weather", {})))
    options = RunOptions(tools=(Tool("weather", "", {"type": "object"}),))
    async with runtime({"clerk": model}, clerk(ledger)) as opened:
        events = [e async for e in opened.run("clerk", ASK, options=options, caller=ANNA)]
    finish = end(events)
    assert (finish.reason, finish.approvals) == ("tool_calls", ())
    assert "by itself" in finish.messages[-1].content
    assert ledger.lines == []


async def test_a_run_may_ask_again_and_again(ledger):
    model = ScriptedModel(calls(BOOK), calls(("ledger__book", {"text": "b"})), says("Both."))
    async with runtime({"clerk": model}, clerk(ledger)) as opened:
        one = end(await play(opened, "clerk"))
        two = end(await play(opened, "clerk", said(one, True)))
        assert two.approvals[0].call.arguments == '{"text": "b"}'
        three = await play(opened, "clerk", said(two, True))
    assert ledger.lines == ["book a", "book b"]
    assert text(three) == "Both."
    ids = [c.id for m in model.requests[2].messages for c in m.tool_calls]
    assert len(set(ids)) == 2


def lead(*others: Agent, mode="tool") -> Agent:
    subs = tuple(SubAgent(agent=other, mode=mode) for other in others)
    return agent("lead", model=route("lead/m"), sub_agents=subs)


async def test_the_questions_of_sub_agents_are_put_to_the_user(ledger):
    asking = calls(("ask_one", {"question": "1"}), ("ask_two", {"question": "2"}))
    models = {
        "lead": ScriptedModel(asking, says("All done.")),
        "one": ScriptedModel(calls(COUNT), calls(("ledger__book", {"text": "1"})), says("One.")),
        "two": ScriptedModel(calls(("ledger__book", {"text": "2"})), says("Two.")),
    }
    whole = lead(clerk(ledger, "one"), clerk(ledger, "two"))
    async with runtime(models, whole) as opened:
        finish = end(await play(opened, "lead"))
        assert [asked.agent for asked in finish.approvals] == ["one", "two"]
        assert ledger.lines == ["count b"]
        events = await play(opened, "lead", said(finish, True, False))
    assert ledger.lines == ["count b", "book 1"]
    assert tools(events) == ["ask_one", "ask_two"] or tools(events) == ["ask_two", "ask_one"]
    results = [m.content for m in models["lead"].requests[1].messages if m.role == "tool"]
    assert results == ["One.", "Two."]
    assert len(models["one"].requests) == 3
    assert "did not agree" in models["two"].requests[1].messages[-1].content


async def test_a_later_question_to_a_sub_agent_starts_anew(ledger):
    ask = ("ask_one", {"question": "?"})
    models = {
        "lead": ScriptedModel(calls(ask), calls(ask), says("Done.")),
        "one": ScriptedModel(calls(BOOK), says("Yes."), says("Again.")),
    }
    async with runtime(models, lead(clerk(ledger, "one"))) as opened:
        finish = end(await play(opened, "lead"))
        await play(opened, "lead", said(finish, True))
    assert [m.role for m in models["one"].requests[2].messages] == ["system", "user"]
    results = [m.content for m in models["lead"].requests[2].messages if m.role == "tool"]
    assert results == ["Yes.", "Again."]


async def test_the_agent_that_took_over_goes_on_after_the_answer(ledger):
    models = {
        "lead": ScriptedModel(calls(("hand_over_to_clerk", {"reason": "money"}))),
        "clerk": ScriptedModel(calls(BOOK), says("Booked.")),
    }
    async with runtime(models, lead(clerk(ledger), mode="handoff")) as opened:
        finish = end(await play(opened, "lead"))
        events = await play(opened, "lead", said(finish, True))
    assert ledger.lines == ["book a"]
    assert len(models["lead"].requests) == 1
    before, after = (request.messages for request in models["clerk"].requests)
    assert after[: len(before)] == before
    assert [m.role for m in after[len(before) :]] == ["assistant", "tool"]
    assert [m.content for m in end(events).messages if m.role == "assistant"][-1] == "Booked."


async def test_what_was_agreed_to_is_not_done_by_another_version_of_who_took_over(ledger, tmp_path):
    """As files are compiled: an agent's digest covers those that it hands over to."""

    (tmp_path / "agents").mkdir()

    def lead_with(instructions: str) -> Agent:
        args = json.dumps([str(SERVER), str(ledger.path)])
        server = f"{{command: {sys.executable}, args: {args}, tools: {{require_approval: [book]}}}}"
        clerk = f"model: clerk/m\ninstructions: {instructions}\nmcp_servers: {{ledger: {server}}}\n"
        files = {
            "agents/lead.yaml": "model: lead/m\ninstructions: Lead.\n"
            "sub_agents: [{agent: clerk, mode: handoff}]\n",
            "agents/clerk.yaml": clerk,
        }
        for path, text in files.items():
            (tmp_path / path).write_text(text)
        (agent,) = compile_agents(Project.at(tmp_path), ["lead"]).checked()
        return agent

    kept = ApprovalsInMemory()
    more = {"approvals": kept, "lookup": lambda ref: f"the {ref.name}"}
    models = {
        "lead": ScriptedModel(calls(("hand_over_to_clerk", {"reason": "money"}))),
        "clerk": ScriptedModel(calls(BOOK), says("ok")),
    }
    async with runtime(models, lead_with("Book."), **more) as opened:
        finish = end(await play(opened, "lead"))
    async with runtime(models, lead_with("Book it all."), **more) as opened:
        await play(opened, "lead", said(finish, True))
    assert ledger.lines == []
    async with runtime(models, lead_with("Book."), **more) as opened:
        await play(opened, "lead", said(finish, True))
    assert ledger.lines == ["book a"]


async def test_expired_and_crowded_out_questions_are_forgotten():
    now = 1000.0
    kept = ApprovalsInMemory(most=2, clock=lambda: now)
    one = Paused(messages=(Message("assistant", "hm"),))
    for key in ("a", "b", "c"):
        await kept.keep(key, one, 1900)
    assert [await kept.find(key) is not None for key in "abc"] == [False, True, True]
    assert [await kept.spend("b", 1900), await kept.spend("b", 1900)] == [True, False]
    assert await kept.find("b") is None
    now = 1900.0
    assert await kept.find("c") is None
    small = ApprovalsInMemory(characters=1, clock=lambda: now)
    await small.keep("a", one, 2000)
    assert await small.find("a") is None


async def test_a_question_expires():
    now = 1000.0
    gate = ApprovalGate(b"k", clock=lambda: now)
    call = ToolCall("c1", "book", "{}")
    paused = Paused(agent="tester", messages=(Message("assistant"),), waiting=(Waiting(call),))
    finish = RunFinished("stop", Usage(), 1, (), paused=paused)
    finish = await gate.ask(agent(), ASK, finish, ANNA)
    assert finish.approvals[0].expires == now + VALID_FOR
    answers = said(finish, True)
    now += VALID_FOR
    assert await gate.resume(agent(), ASK, answers, ANNA) == (tuple(ASK), None)
    now -= 1
    _, resumed = await gate.resume(agent(), ASK, answers, ANNA)
    assert resumed
    assert resumed.allowed == {("c1",)}


async def test_what_a_client_sends_back_of_the_paused_run_is_not_said_twice():
    gate = ApprovalGate(b"k")
    paused = Paused(
        agent="tester",
        messages=(Message("assistant"),),
        waiting=(Waiting(ToolCall("c1", "book", "{}")),),
    )
    end_ = await gate.ask(agent(), ASK, RunFinished("stop", Usage(), 1, (), paused=paused), ANNA)
    sent = [Message("user", "Hello"), *ASK, Message("assistant", "Hm."), Message("tool", "1")]
    kept, resumed = await gate.resume(agent(), sent, said(end_, True), ANNA)
    assert kept == tuple(sent[:2])
    assert resumed
