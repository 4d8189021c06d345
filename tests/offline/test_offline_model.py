"""The offline model: what it calls next, and what it writes when there is nothing left to call."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from offline.conftest import Asker
from retinue.agent import Limits
from retinue.offline.model import MAX_POLLS, OfflineModel
from retinue.run.context import RunContext
from retinue.run.events import ModelFinished, RunFinished, TextDelta, ToolResult
from retinue.run.loop import run
from retinue.run.messages import Message, ToolCall
from retinue.run.ports import ModelRequest, Tool
from retinue.values import JsonValue

NOTICE = "offline/analyst: a deterministic stand-in, not a language model"
ASK = Tool(
    "sales__query_space_abc",
    "Ask about sales. Example questions: revenue by city; units in May? Mind this.",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
POLL = Tool(
    "sales__poll_response_abc",
    "Fetch an answer.",
    {"type": "object", "required": ["conversation_id", "message_id"]},
)
SKILL = Tool(
    "load_skill",
    "Read a skill.",
    {"type": "object", "required": ["name"], "properties": {"name": {"enum": ["style"]}}},
)
TOOLS = (SKILL, ASK, POLL)


def reply(status: str = "COMPLETED", conversation: str = "c1", **content: Any) -> str:
    body = {"conversationId": conversation, "messageId": "m1", "status": status}
    return json.dumps({**body, "content": content} if content else body)


def answered(
    conversation: str = "c1", rows: Sequence[Sequence[Any]] = (("Tokyo", "12.50"),)
) -> str:
    query = {
        "title": "Revenue by city",
        "query": "SELECT city, revenue",
        "description": "Matched: template.",
        "statement_response": {
            "manifest": {
                "total_row_count": len(rows),
                "schema": {
                    "columns": [
                        {"name": "city", "type_name": "STRING"},
                        {"name": "revenue", "type_name": "DECIMAL"},
                    ]
                },
            },
            "result": {"data_array": [list(row) for row in rows]},
        },
    }
    return reply(conversation=conversation, queryAttachments=[query], textAttachments=[])


REFUSED = reply(
    queryAttachments=[],
    textAttachments=["I have no trusted SQL for this: no idea."],
    suggestedQuestions=["revenue by city"],
)


def turn(*exchanges: tuple[Mapping[str, Any], str], name: str = ASK.name) -> list[Message]:
    """The messages of calls already made in this turn, and their results."""
    messages = []
    for n, (arguments, text) in enumerate(exchanges, 1):
        call = ToolCall(f"t{n}", name, json.dumps(arguments))
        messages.append(Message("assistant", tool_calls=(call,)))
        messages.append(Message("tool", text, tool_call_id=f"t{n}", name=name))
    return messages


async def play(
    *messages: Message, tools: Sequence[Tool] = TOOLS, **options: Any
) -> tuple[list[ToolCall], str, ModelFinished]:
    request = ModelRequest(messages=messages, tools=tuple(tools), **options)
    events = [event async for event in OfflineModel().stream(request)]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    finish = events[-1]
    assert isinstance(finish, ModelFinished)
    return [event for event in events if isinstance(event, ToolCall)], text, finish


async def call_after(*messages: Message) -> tuple[str, dict[str, str]]:
    (call,), text, finish = await play(*messages)
    assert (text, finish.reason) == ("", "tool_calls")
    return call.name, json.loads(call.arguments)


async def text_after(*messages: Message, **options: Any) -> str:
    calls, text, finish = await play(*messages, **options)
    assert (calls, finish.reason) == ([], "stop")
    return text


USER = Message("user", "revenue by city")


async def test_a_question_is_passed_on_word_for_word() -> None:
    assert await call_after(Message("system", "Be brief."), USER) == (
        ASK.name,
        {"query": "revenue by city"},
    )


async def test_other_names_of_such_tools_are_found() -> None:
    genie_one = Tool("g__genie_ask", "Ask.", {"type": "object", "required": ["question"]})
    (call,), _, _ = await play(USER, tools=[SKILL, genie_one])
    assert (call.name, json.loads(call.arguments)) == (
        "g__genie_ask",
        {"question": "revenue by city"},
    )


async def test_of_several_the_one_that_shares_words_is_asked() -> None:
    weather = Tool("w__query_space_1", "Ask about the weather", ASK.parameters)
    (call,), _, _ = await play(Message("user", "What is the weather?"), tools=[ASK, weather])
    assert call.name == weather.name


@pytest.mark.parametrize("status", ["EXECUTING_QUERY", "ASKING_AI", "PENDING_WAREHOUSE"])
async def test_an_unfinished_answer_is_polled(status: str) -> None:
    asked = turn(({"query": "revenue by city"}, reply(status)))
    assert await call_after(USER, *asked) == (
        POLL.name,
        {"conversation_id": "c1", "message_id": "m1"},
    )


async def test_a_completed_answer_without_content_is_polled_too() -> None:
    assert (await call_after(USER, *turn(({"query": "x"}, reply()))))[0] == POLL.name


async def test_it_stops_polling_and_says_so() -> None:
    ids = {"conversation_id": "c1", "message_id": "m1"}
    waiting = reply("EXECUTING_QUERY")
    polls = turn(*[(ids, waiting)] * MAX_POLLS, name=POLL.name)
    text = await text_after(USER, *turn(({"query": "x"}, waiting)), *polls)
    assert "has not finished yet (status EXECUTING_QUERY)" in text


async def test_an_answer_has_headline_table_sql_match_and_notice() -> None:
    text = await text_after(USER, *turn(({"query": "revenue by city"}, answered())))
    assert text.startswith("**Revenue by city**: Tokyo: revenue 12.50.")
    assert "| city | revenue |\n| --- | ---: |\n| Tokyo | 12.50 |" in text
    assert "```sql\nSELECT city, revenue\n```" in text
    assert "Matched: template." in text
    assert NOTICE in text


async def test_many_rows_are_cut_and_counted() -> None:
    rows = [(f"City {n}", f"{n}.00") for n in range(1, 1201)]
    text = await text_after(USER, *turn(({"query": "revenue by city"}, answered(rows=rows))))
    assert "1,200 rows; the highest revenue is 1,200.00 (City 1200)" in text
    assert "20 of 1,200 rows are shown." in text
    assert text.count("\n| City ") == 20


async def test_cells_cannot_break_the_table() -> None:
    text = await text_after(
        USER, *turn(({"query": "revenue by city"}, answered(rows=[("a|b\nc", None)])))
    )
    assert "| a b c |  |" in text


async def test_a_refusal_is_passed_on_with_the_nearest_questions() -> None:
    text = await text_after(USER, *turn(({"query": "revenue by city"}, REFUSED)))
    assert "I have no trusted SQL for this: no idea." in text
    assert "- revenue by city" in text


@pytest.mark.parametrize("result", ["The server 'sales' is not available.", "[1, 2]", "{}"])
async def test_a_tool_error_is_told_as_it_is(result: str) -> None:
    text = await text_after(USER, *turn(({"query": "revenue by city"}, result)))
    assert f"> {result}" in text
    assert NOTICE in text


async def test_what_another_stand_in_answered_is_passed_on_as_it_is() -> None:
    theirs = await text_after(USER, *turn(({"query": "revenue by city"}, answered())))
    assert theirs.startswith("**Revenue by city**")
    tool = Tool("ask_analyst", "Ask the agent analyst.", {"required": ["question"]})
    asked = turn(({"question": "revenue by city"}, theirs), name=tool.name)
    assert await text_after(USER, *asked, tools=[tool]) == theirs


async def test_a_failed_query_is_told() -> None:
    failed = json.dumps({"status": "FAILED", "error": {"error": "the query was stopped"}})
    text = await text_after(USER, *turn(({"query": "revenue by city"}, failed)))
    assert "could not answer (status FAILED)" in text
    assert "> the query was stopped" in text


async def test_a_follow_up_goes_on_with_the_last_conversation() -> None:
    history = [
        USER,
        *turn(({"query": "revenue by city"}, answered("c7"))),
        Message("assistant", "…"),
    ]
    assert await call_after(*history, Message("user", "and in June?")) == (
        ASK.name,
        {"query": "and in June?", "conversation_id": "c7"},
    )


async def test_a_forgotten_conversation_is_started_anew_once() -> None:
    history = [USER, *turn(({"query": "revenue by city"}, answered("old")))]
    user = Message("user", "and units?")
    lost = ({"query": "and units?", "conversation_id": "old"}, "no such conversation")
    first = await call_after(*history, user, *turn(lost))
    assert first == (ASK.name, {"query": "revenue by city"})
    anew = ({"query": "revenue by city"}, answered("new"))
    second = await call_after(*history, user, *turn(lost, anew))
    assert second == (ASK.name, {"query": "and units?", "conversation_id": "new"})
    last = ({"query": "and units?", "conversation_id": "new"}, "still broken")
    assert "> still broken" in await text_after(*history, user, *turn(lost, anew, last))


async def test_without_tool_results_in_the_history_earlier_questions_are_asked_first() -> None:
    history = [USER, Message("assistant", "…"), Message("user", "and in June?")]
    asked: list[tuple[Mapping[str, Any], str]] = []
    for arguments, text in [
        ({"query": "revenue by city"}, answered()),
        ({"query": "and in June?", "conversation_id": "c1"}, answered()),
    ]:
        assert await call_after(*history, *turn(*asked)) == (ASK.name, arguments)
        asked.append((arguments, text))
    assert "Tokyo" in await text_after(*history, *turn(*asked))


async def test_the_same_words_may_be_asked_twice_in_a_conversation() -> None:
    said = ["revenue by city", "and units?", "top 3", "and units?"]
    history = [m for words in said for m in (Message("user", words), Message("assistant", "…"))]
    asked: list[tuple[Mapping[str, Any], str]] = []
    for words in said:
        arguments = {"query": words} | ({"conversation_id": "c1"} if asked else {})
        assert await call_after(*history[:-1], *turn(*asked)) == (ASK.name, arguments)
        asked.append((arguments, answered()))
    assert "Tokyo" in await text_after(*history[:-1], *turn(*asked))


async def test_a_refusal_in_the_end_ends_it() -> None:
    history = [USER, Message("assistant", "…"), Message("user", "weather?")]
    asked = turn(
        ({"query": "revenue by city"}, answered()),
        ({"query": "weather?", "conversation_id": "c1"}, REFUSED),
    )
    assert "no trusted SQL" in await text_after(*history, *asked)


@pytest.mark.parametrize("said", ["", "  ", "Hello!", "hi there", "What can you do?", "help"])
async def test_small_talk_gets_an_honest_introduction(said: str) -> None:
    text = await text_after(Message("user", said))
    assert "No language model is running here." in text
    assert "- revenue by city\n- units in May?\n" in text
    assert "Skills: style." in text


async def test_with_no_tool_to_ask_it_says_what_it_is() -> None:
    text = await text_after(USER, tools=[SKILL])
    assert "No language model is running here." in text
    assert "No tool of this agent takes questions in plain words" in text
    assert "`load_skill`" in text
    assert "No language model" in await text_after(USER, tools=[])


async def test_tool_choice_none_calls_nothing() -> None:
    text = await text_after(USER, tool_choice="none")
    assert "Tools are switched off for this request" in text


async def test_max_tokens_cuts_the_answer_and_says_length() -> None:
    messages = [USER, *turn(({"query": "revenue by city"}, answered()))]
    _, text, finish = await play(*messages, settings={"max_tokens": 5})
    assert (len(text), finish.reason) == (20, "length")
    assert finish.usage.output_tokens == 5


async def test_it_streams_words_and_estimates_usage() -> None:
    request = ModelRequest(messages=(USER,), tools=())
    events = [event async for event in OfflineModel().stream(request)]
    pieces = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(pieces) > 10
    assert max(len(piece.split()) for piece in pieces) == 1
    assert isinstance(events[-1], ModelFinished)
    assert events[-1].usage.output_tokens == -(-len("".join(pieces)) // 4)


class ServerToolbox:
    """The tools of a running server, for the loop."""

    notices = ()

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self.calls: list[ToolCall] = []

    @property
    def tools(self) -> tuple[Tool, ...]:
        return tuple(Tool(t.name, t.description, t.input_schema) for t in self._asker.tools)

    def needs_approval(self, _: ToolCall) -> bool:
        return False

    async def call(self, call: ToolCall, _: RunContext) -> ToolResult:
        self.calls.append(call)
        arguments: dict[str, JsonValue] = json.loads(call.arguments)
        result = self._asker.call(call.name, **arguments)
        return ToolResult(result.content[0].text, is_error=result.is_error)


async def converse(asker: Asker, *questions: str, keep_tools: bool) -> tuple[str, int]:
    """The last answer of a conversation, and how many calls that took."""
    messages: list[Message] = []
    text, calls = "", 0
    for question in questions:
        messages.append(Message("user", question))
        toolbox = ServerToolbox(asker)
        events = [
            event
            async for event in run(messages, model=OfflineModel(), toolbox=toolbox, limits=Limits())
        ]
        last = events[-1]
        assert isinstance(last, RunFinished)
        text, calls = last.messages[-1].content, len(toolbox.calls)
        messages += last.messages if keep_tools else [Message("assistant", text)]
    return text, calls


async def test_the_loop_answers_from_the_real_server(genie: Asker) -> None:
    text, calls = await converse(
        genie, "Which three franchises sold most in May 2024?", keep_tools=True
    )
    assert "| franchise | revenue |" in text
    assert '"sold most" is read as revenue' in text
    assert calls == 1


async def test_the_loop_polls_a_slow_server(patient_genie: Asker) -> None:
    text, calls = await converse(patient_genie, "total revenue in May 2024", keep_tools=True)
    assert "**Revenue, May 2024**: revenue " in text
    assert calls == 2


@pytest.mark.parametrize("keep_tools", [True, False])
async def test_a_chain_of_follow_ups_is_understood(genie: Asker, keep_tools: bool) -> None:
    text, calls = await converse(
        genie,
        "top 3 franchises in May 2024",
        "and in June?",
        "by city instead",
        keep_tools=keep_tools,
    )
    assert "**Revenue by city, June 2024 (highest 3)**" in text
    assert calls == (1 if keep_tools else 3)


@pytest.mark.parametrize("keep_tools", [True, False])
async def test_a_short_follow_up_keeps_to_its_conversation(
    genie: Asker, truth: Any, keep_tools: bool
) -> None:
    questions = ("Revenue by city in May 2024", "and units?", "top 3", "and units?", "only Tokyo")
    text, _ = await converse(genie, *questions, keep_tools=keep_tools)
    (tokyo,) = truth.execute(
        "SELECT CAST(sum(quantity) AS INTEGER) FROM sales_transactions JOIN sales_franchises "
        "USING (franchiseID) WHERE city = 'Tokyo' AND strftime(dateTime, '%Y-%m') = '2024-05'"
    ).fetchone()
    assert f"{tokyo:,}" in text
    assert "New York" not in text
