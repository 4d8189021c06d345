"""The `input` of a response request → the conversation of a run.

Format: OpenAI's `InputParam` (openai-openapi v2.3.0), and whatever else clients send back: the
output of an earlier answer can be put before the next question as it is.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from retinue.errors import RequestError
from retinue.run.messages import Message, Part, TextPart, ToolCall
from retinue.serve.wire.content import (
    audio_part,
    file_at,
    file_part,
    image_part,
    message_of,
    stored_file,
    stored_image,
)
from retinue.serve.wire.mistakes import invalid, missing, mistake
from retinue.serve.wire.responses_approval import REQUEST, RESPONSE, ApprovalResponseItem
from retinue.serve.wire.responses_output import exposed_name
from retinue.serve.wire.strict import Strict

MAX_ITEMS = 4096
_MAX_PARTS = 2048
_NO_ANSWER = "The call has no answer."

Item = dict[str, Any]
_T = TypeVar("_T")

# Records of what lies behind: the answer that they led to stands in a message of its own.
PASSED_OVER = frozenset(
    (
        "reasoning",
        "mcp_list_tools",
        REQUEST,
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
    )
)


class Sound(Strict):
    """Base64 and its format."""

    data: str
    format: str


class InputPart(Strict):
    """A piece of a message, of any type."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Sound | None = None


_Parts = Annotated[list[InputPart], Field(max_length=_MAX_PARTS, fail_fast=True)]


class MessageItem(Strict):
    """A message, of the caller's or of an earlier answer."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | _Parts


class FunctionCallItem(Strict):
    """A call of one of the caller's tools; in MLflow's style one of ours."""

    call_id: str
    name: str
    arguments: str


class FunctionCallOutputItem(Strict):
    """The answer to such a call."""

    call_id: str
    output: str | _Parts


class McpCallItem(Strict):
    """A call of one of an agent's own tools, with its answer."""

    id: str
    server_label: str
    name: str
    arguments: str
    output: str | None = None
    error: Any = None


TAKEN: Mapping[str, type[Strict]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionCallOutputItem,
    "mcp_call": McpCallItem,
    RESPONSE: ApprovalResponseItem,
}


def conversation(
    given: str | Sequence[Item],
    *,
    strict: bool = True,
    before: Sequence[ToolCall] = (),
    alone: bool = True,
) -> tuple[tuple[Message, ...], str | None]:
    """The messages of a run, and where the first system message among them stands.

    Every call stands right before its answer, as the call of one assistant message with those
    beside it; `before` are calls that stand before the input, and their answers come first. What
    isn't `alone` may say nothing, as an answer to a question does.
    Raises RequestError, naming the item that is wrong: a call without an answer is one where
    `strict`, else the model is told that there is none.
    """
    items = [] if isinstance(given, str) else read_items(given)
    answers = _Answers(items, strict)
    first = [answers.to_earlier(call) for call in before]
    if isinstance(given, str):
        return (*first, Message("user", given)), None
    told = _Conversation(answers, first)
    for n, item in enumerate(items):
        told.add(item, n)
    return told.messages(alone=alone), _system_place(items)


def read_items(given: Sequence[Item], param: str = "input") -> list[Strict | None]:
    """The items, and None for those that add nothing. Raises RequestError."""
    return [_read(item, f"{param}[{n}]") for n, item in enumerate(given)]


def _read(item: Item, place: str) -> Strict | None:
    """The item, or None where it adds nothing."""
    kind = item.get("type")
    if kind is None:
        kind = _untold_kind(item)
    if kind is None:
        raise missing(f"{place}.type")
    if not isinstance(kind, str):
        raise invalid(f"{place}.type", "must be a string")
    if kind == "item_reference":
        message = (
            f"'{place}' refers to a stored item, and nothing is stored: send the item itself, as "
            "clients do when told `store: false`."
        )
        raise RequestError(message, param=place, code="unsupported_parameter")
    if kind in PASSED_OVER or ":" in kind:
        return None
    if kind not in TAKEN:
        raise invalid(f"{place}.type", "is not a type of item that can be taken")
    try:
        return TAKEN[kind].model_validate(item)
    except ValidationError as error:
        raise _within(place, mistake(error)) from None


def _untold_kind(item: Item) -> str | None:
    """What an item without a type is."""
    if "role" in item or "content" in item:
        return "message"
    return "item_reference" if "id" in item else None


def _within(place: str, error: RequestError) -> RequestError:
    param = f"{place}.{error.param}"
    message = str(error).replace(f"'{error.param}'", f"'{param}'", 1)
    return RequestError(message, param=param, code=error.code)


def _system_place(items: Sequence[Strict | None]) -> str | None:
    for n, item in enumerate(items):
        if isinstance(item, MessageItem) and item.role in ("system", "developer"):
            return f"input[{n}].role"
    return None


class _Conversation:
    """Messages in the making: what an assistant says and calls in one go is one message."""

    def __init__(self, answers: "_Answers", first: Sequence[Message]) -> None:
        self._answers = answers
        self._messages = list(first)
        self._said: Message | None = None
        self._calls: dict[str, ToolCall] = {}
        self._results: list[Message] = []
        self._turned = False

    def add(self, item: Strict | None, position: int) -> None:
        place = f"input[{position}]"
        if isinstance(item, MessageItem):
            self._say(_message(item, place))
        elif isinstance(item, FunctionCallItem):
            call = ToolCall(item.call_id, item.name, item.arguments)
            self._call(call, self._answers.to(call, position))
        elif isinstance(item, McpCallItem):
            call = ToolCall(item.id, exposed_name(item.server_label, item.name), item.arguments)
            text = item.output if item.output is not None else _error_text(item.error)
            self._call(call, Message("tool", text))
        elif isinstance(item, FunctionCallOutputItem):
            # What is called after an answer is of another turn.
            self._turned = True

    def messages(self, *, alone: bool = True) -> tuple[Message, ...]:
        """All of them. Raises RequestError where answers are left, or nothing was said."""
        self._answers.check()
        self._end_turn()
        if alone and not self._messages:
            raise invalid("input", "has no message")
        return tuple(self._messages)

    def _say(self, message: Message) -> None:
        self._end_turn()
        if message.role == "assistant":
            self._said = message
        else:
            self._messages.append(message)

    def _call(self, call: ToolCall, result: Message) -> None:
        if self._turned or call.id in self._calls:
            self._end_turn()
        self._calls[call.id] = call
        self._results.append(replace(result, tool_call_id=call.id, name=call.name))

    def _end_turn(self) -> None:
        if self._said or self._calls:
            said = self._said or Message("assistant")
            self._messages.append(replace(said, tool_calls=tuple(self._calls.values())))
            self._messages += self._results
        self._said, self._calls, self._results, self._turned = None, {}, [], False


class _Answers:
    """The answers to calls, which may come any number of items later."""

    def __init__(self, items: Sequence[Strict | None], strict: bool) -> None:
        self._strict = strict
        self._left: dict[str, deque[tuple[int, Message]]] = defaultdict(deque)
        for n, item in enumerate(items):
            if isinstance(item, FunctionCallOutputItem):
                self._left[item.call_id].append((n, _output(item, f"input[{n}]")))

    def to(self, call: ToolCall, position: int) -> Message:
        """Raises RequestError where there is none after the call."""
        left = self._left.get(call.id)
        if left and left[0][0] > position:
            return left.popleft()[1]
        if self._strict:
            raise invalid(f"input[{position}]", "is a call without an answer: add its output")
        return Message("tool", _NO_ANSWER)

    def to_earlier(self, call: ToolCall) -> Message:
        """To a call that stands before the input. Raises RequestError where there is none."""
        left = self._left.get(call.id)
        if left:
            return replace(left.popleft()[1], tool_call_id=call.id, name=call.name)
        if self._strict:
            raise invalid("input", f"has no answer to the call '{call.id}': add its output")
        return Message("tool", _NO_ANSWER, tool_call_id=call.id, name=call.name)

    def check(self) -> None:
        """Raises RequestError for the first answer that is nobody's."""
        places = [left[0][0] for left in self._left.values() if left]
        if places:
            rule = "does not name a call that stands before it"
            raise invalid(f"input[{min(places)}].call_id", rule)


def _output(item: FunctionCallOutputItem, place: str) -> Message:
    if isinstance(item.output, str):
        return Message("tool", item.output)
    return message_of("tool", _parts(item.output, f"{place}.output"))


def _message(item: MessageItem, place: str) -> Message:
    if isinstance(item.content, str):
        return Message(item.role, item.content)
    if not item.content and item.role != "assistant":
        raise invalid(f"{place}.content", "must not be empty")
    message = message_of(item.role, _parts(item.content, f"{place}.content"))
    if message.parts and item.role != "user":
        raise invalid(f"{place}.content", "must be text alone in a message of this role")
    return message


def _parts(parts: Iterable[InputPart], place: str) -> list[Part]:
    return [_part(part, f"{place}[{n}]") for n, part in enumerate(parts)]


def _part(part: InputPart, place: str) -> Part:
    if part.type in ("input_text", "output_text", "text"):
        return TextPart(_required(part.text, f"{place}.text"))
    if part.type == "refusal":
        return TextPart(_required(part.refusal, f"{place}.refusal"))
    if part.type not in ("input_image", "input_file", "input_audio"):
        raise invalid(f"{place}.type", "is not a type of content that can be taken")
    if part.file_id is not None and part.type != "input_audio":
        return _stored(part, part.file_id, place)
    if part.type == "input_image":
        return image_part(
            _required(part.image_url, f"{place}.image_url"),
            part.detail,
            param=f"{place}.image_url",
            detail_param=f"{place}.detail",
        )
    if part.type == "input_audio":
        sound, param = _required(part.input_audio, f"{place}.input_audio"), f"{place}.input_audio"
        return audio_part(
            sound.data, sound.format, param=f"{param}.data", format_param=f"{param}.format"
        )
    if part.file_url is not None:
        return file_at(part.file_url, part.filename, param=f"{place}.file_url")
    data = _required(part.file_data, f"{place}.file_data")
    return file_part(data, part.filename, param=f"{place}.file_data")


def _stored(part: InputPart, file_id: str, place: str) -> Part:
    param = f"{place}.file_id"
    if part.type == "input_file":
        return stored_file(file_id, param=param)
    return stored_image(file_id, part.detail, param=param, detail_param=f"{place}.detail")


def _required(value: _T | None, param: str) -> _T:
    if value is None:
        raise missing(param)
    return value


def _error_text(error: Any) -> str:
    """What a failed call says: our own form, or a plain text."""
    told = error
    if isinstance(error, dict):
        told = error.get("content") or error.get("message")
    if isinstance(told, list):
        texts = [part.get("text") for part in told if isinstance(part, dict)]
        told = "\n".join(text for text in texts if isinstance(text, str))
    return told if isinstance(told, str) else _NO_ANSWER
