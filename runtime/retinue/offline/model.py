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
from retinue.run.untrusted import unmarked

MAX_POLLS = 3
MAX_REPLAYED = 12
"""Earlier questions asked again, in order and in one conversation, where the history holds none to
go on with: most clients send back only what was said, and alone a follow-up means another thing."""

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
    return (call, "") if call else (None, _written(exchanges))


def _without_call(request: ModelRequest, exchanges: Sequence[_Exchange], tool: Tool | None) -> str:
    if exchanges:
        return _written(exchanges)
    return introduction(request.tools, tool, tools_off=request.tool_choice == "none")


def _written(exchanges: Sequence[_Exchange]) -> str:
    last = exchanges[-1]
    return as_markdown(Reply.read(last.text), last.text, last.call.name)


def _split(
    messages: Sequence[Message],
) -> tuple[str, tuple[Message, ...], tuple[Message, ...]]:
    """The last user's words, the messages before them and those after."""
    for n in range(len(messages) - 1, -1, -1):
        if messages[n].role == "user":
            return messages[n].content.strip(), tuple(messages[:n]), tuple(messages[n + 1 :])
    return "", tuple(messages), ()


def _exchanges(messages: Sequence[Message]) -> tuple[_Exchange, ...]:
    texts = {m.tool_call_id: unmarked(m.content) for m in messages if m.role == "tool"}
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
        made = self._since_forgotten()
        reply = Reply.read(made[-1].text) if made else None
        if reply and reply.unfinished:
            return self._poll(reply)
        asked = [e for e in made if question_argument(self.tool) in json.loads(e.call.arguments)]
        known = None if len(made) < len(self.exchanges) else self._conversation()
        script = [self.question] if known else [*self._earlier(), self.question]
        if len(asked) >= len(script):
            return None
        replies = [Reply.read(e.text) for e in reversed(made)]
        current = next((r.conversation_id for r in replies if r and r.conversation_id), known)
        return self._ask(script[len(asked)], current)

    def _since_forgotten(self) -> tuple[_Exchange, ...]:
        """The exchanges after a first one that failed: the tool forgot the conversation."""
        known = self._conversation()
        first = self.exchanges[0] if self.exchanges else None
        if known and first and known in first.call.arguments and Reply.read(first.text) is None:
            return self.exchanges[1:]
        return self.exchanges

    def _poll(self, reply: Reply) -> ToolCall | None:
        call = poll_call(self.tool, self.tools, reply, self._fresh_id())
        same = [e for e in self.exchanges if call and e.call.arguments == call.arguments]
        return call if len(same) < MAX_POLLS else None

    def _earlier(self) -> list[str]:
        said = [m.content.strip() for m in self.before if m.role == "user"]
        return [text for text in said if not _SMALL_TALK.fullmatch(text)][-MAX_REPLAYED:]

    def _conversation(self) -> str | None:
        """The tool's conversation that earlier answers in the history belong to."""
        for message in reversed(self.before):
            reply = Reply.read(unmarked(message.content)) if message.role == "tool" else None
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
