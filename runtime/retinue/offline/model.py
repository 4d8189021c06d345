"""Messages and tools → the next call to a tool that takes plain questions, or its answer in words.

This is no language model: it passes the question on, polls, and writes down what came back.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from retinue.offline.answers import Reply, as_markdown, introduction
from retinue.offline.tools import askable, poll_call, question_argument
from retinue.run.events import FinishReason, ModelEvent, ModelFinished, TextDelta, Usage
from retinue.run.messages import Message, ToolCall
from retinue.run.ports import ModelRequest, Tool

MAX_POLLS = 3
MAX_REPLAYED = 4
"""Earlier questions asked again where the history holds no conversation to go on with."""

CHARACTERS_PER_TOKEN = 4
_PIECE = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+$")
_SMALL_TALK = re.compile(
    r"(?:\s|[!?.,])*(?:(?:hi|hello|hey|help|thanks|thank you|good (?:morning|day|evening)|there|"
    r"what can you do|what can i ask(?: you)?|who are you)(?:\s|[!?.,])*)*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A tool call and what came back."""

    call: ToolCall
    text: str


class OfflineModel:
    """The model `offline/analyst`: deterministic, without a network.

    Usage is an estimate: a token is taken to be four characters.
    """

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """One tool call, or an answer word by word. Never raises ModelError."""
        call, text = _next(request)
        spent = sum(len(m.content) for m in request.messages)
        spent += sum(len(tool.description) for tool in request.tools)
        if call is not None:
            yield call
            yield ModelFinished("tool_calls", _usage(spent, len(call.arguments)))
            return
        limit = _character_limit(request)
        for piece in _PIECE.findall(text[:limit]):
            yield TextDelta(piece)
            await asyncio.sleep(0)
        reason: FinishReason = "stop" if len(text) <= limit else "length"
        yield ModelFinished(reason, _usage(spent, min(limit, len(text))))

    async def warm(self) -> None:
        """Nothing to get ready."""

    async def aclose(self) -> None:
        """Nothing is held."""


def _usage(characters_in: int, characters_out: int) -> Usage:
    return Usage(
        -(-characters_in // CHARACTERS_PER_TOKEN), -(-characters_out // CHARACTERS_PER_TOKEN)
    )


def _character_limit(request: ModelRequest) -> int:
    wanted = request.settings.get("max_completion_tokens") or request.settings.get("max_tokens")
    return wanted * CHARACTERS_PER_TOKEN if isinstance(wanted, int) and wanted > 0 else 1_000_000


def _next(request: ModelRequest) -> tuple[ToolCall | None, str]:
    """The call to make, or the text to answer with."""
    question, before, turn = _split(request.messages)
    exchanges = _exchanges(turn)
    tool = askable(request.tools, question)
    if tool is None or request.tool_choice == "none" or _SMALL_TALK.fullmatch(question):
        return None, _without_call(request, exchanges, tool)
    call = _Turn(tool, request.tools, question, before, exchanges).call()
    if call is not None and not _repeated(call, exchanges):
        return call, ""
    return None, _written(exchanges)


def _without_call(request: ModelRequest, exchanges: Sequence[_Exchange], tool: Tool | None) -> str:
    if exchanges:
        return _written(exchanges)
    return introduction(request.tools, tool, tools_off=request.tool_choice == "none")


def _written(exchanges: Sequence[_Exchange]) -> str:
    last = exchanges[-1]
    return as_markdown(Reply.read(last.text), last.text, last.call.name)


def _repeated(call: ToolCall, exchanges: Sequence[_Exchange]) -> bool:
    """Whether the same call was made often enough; only polls are worth a second try."""
    same = [e for e in exchanges if (e.call.name, e.call.arguments) == (call.name, call.arguments)]
    return len(same) >= (MAX_POLLS if "message_id" in call.arguments else 1)


def _split(
    messages: Sequence[Message],
) -> tuple[str, tuple[Message, ...], tuple[Message, ...]]:
    """The last user's words, the messages before them and those after."""
    for n in range(len(messages) - 1, -1, -1):
        if messages[n].role == "user":
            return messages[n].content.strip(), tuple(messages[:n]), tuple(messages[n + 1 :])
    return "", tuple(messages), ()


def _exchanges(messages: Sequence[Message]) -> tuple[_Exchange, ...]:
    texts = {m.tool_call_id: m.content for m in messages if m.role == "tool"}
    calls = [call for m in messages for call in m.tool_calls]
    return tuple(_Exchange(call, texts[call.id]) for call in calls if call.id in texts)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A question on its way: what was asked of the tools since, and what to ask next."""

    tool: Tool
    tools: Sequence[Tool]
    question: str
    before: tuple[Message, ...]
    exchanges: tuple[_Exchange, ...]

    def call(self) -> ToolCall | None:
        """The next call, or None where the last result is the answer."""
        if not self.exchanges:
            return self._ask(self.question, self._conversation())
        last = self.exchanges[-1]
        reply = Reply.read(last.text)
        if reply is None:
            forgotten = "conversation_id" in json.loads(last.call.arguments)
            return self._ask(self.question, None) if forgotten else None
        if reply.unfinished:
            return poll_call(self.tool, self.tools, reply, self._fresh_id())
        return (
            self._replay(reply)
            if reply.refused
            else None
            if self._asked_now()
            else self._go_on(reply)
        )

    def _asked_now(self) -> bool:
        """Whether the last question that was asked is the user's own."""
        asked = self._asked()
        return not asked or asked[-1] == self.question

    def _asked(self) -> list[str]:
        name = question_argument(self.tool)
        arguments = [json.loads(e.call.arguments) for e in self.exchanges]
        return [a[name] for a in arguments if name in a]

    def _replay(self, reply: Reply) -> ToolCall | None:
        """A follow-up is refused by itself; a client that sends no tool results leaves us only the
        earlier questions, which are asked again first, in one conversation.
        """
        asked = self._asked()
        if self._conversation() or not self._earlier() or asked.count(self.question) > 1:
            return None
        return self._go_on(reply)

    def _go_on(self, reply: Reply) -> ToolCall | None:
        script = [*self._earlier(), self.question]
        done = len(self._asked()) - 1
        if done >= len(script) or not reply.conversation_id:
            return None
        return self._ask(script[done], reply.conversation_id)

    def _earlier(self) -> list[str]:
        said = [m.content.strip() for m in self.before if m.role == "user"]
        return [text for text in said if not _SMALL_TALK.fullmatch(text)][-MAX_REPLAYED:]

    def _conversation(self) -> str | None:
        """The tool's conversation that earlier answers in the history belong to."""
        for message in reversed(self.before):
            reply = Reply.read(message.content) if message.role == "tool" else None
            if reply and reply.conversation_id:
                return reply.conversation_id
        return None

    def _ask(self, question: str, conversation: str | None) -> ToolCall:
        arguments = {question_argument(self.tool): question}
        if conversation:
            arguments["conversation_id"] = conversation
        return ToolCall(self._fresh_id(), self.tool.name, json.dumps(arguments, ensure_ascii=False))

    def _fresh_id(self) -> str:
        made = sum(len(m.tool_calls) for m in self.before) + len(self.exchanges)
        return f"call_offline_{made + 1}"
