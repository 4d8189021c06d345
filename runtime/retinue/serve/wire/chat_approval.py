"""Questions for the user ⇄ the text of an assistant's message, and what the user says to it.

A chat completion has no item for a question, so it is asked in Markdown, which shows all but the
line with the id. Clients send it back as part of the history: the text is read only as the last
thing the assistant said, and believed only where its id fits (`retinue.run.approvals`).
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from retinue.run.approval import Answer, Answers
from retinue.run.approval_text import pretty, shown
from retinue.run.consent import reading
from retinue.run.events import ApprovalRequested, RunFinished
from retinue.run.messages import Message, ToolCall
from retinue.serve.wire.markup import closing

_LONGEST_ARGUMENTS = 8_000
_LONGEST_ABOUT = 300
_MARKUP = re.compile(r"[\\`*_\[\]<>]")
_SIGN = "\n[approval]: # ("
_QUESTION = re.compile(
    r"\*\*May (?:I|the agent `[^`\n]+`) call `(?P<tool>[\w-]{1,64})`\?\*\*\n\n"
    r"(?:> [^\n]{1,4000}\n\n)?"
    r"```json\n(?P<arguments>(?:(?!\n```).){0,8000})\n```\n"
    r"(?P<cut>\n…[^\n]*\n)?"
    r"\n\[approval\]: # \((?P<id>mcpr_[\w-]{35})\)\n\n",
    re.DOTALL,
)
_START = "**May "
# How many places of a message are looked at for where its questions begin.
_MOST_STARTS = 300
_END = "Answer **yes** to allow "
_REST = " once, or **no**. Anything else is taken for a no."
_ENDING = re.compile(rf"{re.escape(_END)}(?:this call|these calls){re.escape(_REST)}\s*")


def questions(finish: RunFinished) -> str:
    """What the user is asked at the end of a paused run."""
    own = finish.paused.agent if finish.paused else ""
    said = "\n\n".join(m.content for m in finish.messages if m.role == "assistant")
    asked = closing(said).lstrip("\n")
    asked += "\n" if asked else ""
    asked += "".join(_question(one, own) for one in finish.approvals)
    which = "this call" if len(finish.approvals) == 1 else "these calls"
    return f"{asked}{_END}{which}{_REST}"


def _question(one: ApprovalRequested, own: str) -> str:
    who = "I" if one.agent == own else f"the agent `{one.agent}`"
    about = " ".join(shown(one.about).split())
    if len(about) > _LONGEST_ABOUT:
        about = f"{about[: _LONGEST_ABOUT - 1]}…"
    about = _MARKUP.sub(r"\\\g<0>", about)
    arguments = pretty(one.call.arguments)
    cut = len(arguments) - _LONGEST_ARGUMENTS
    return (
        f"{_START}{who} call `{one.call.name}`?**\n\n"
        + (f"> {about}\n\n" if about else "")
        + f"```json\n{arguments[:_LONGEST_ARGUMENTS]}\n```\n"
        + (f"\n… and {cut:,} more characters.\n" if cut > 0 else "")
        + f"{_SIGN}{one.id})\n\n"
    )


def answered(messages: Sequence[Message]) -> tuple[tuple[Message, ...], Answers | None]:
    """The conversation without questions in their own words, and what its end says to one.

    A model that read them would soon ask in the same words, and get an answer that counts for
    nothing.
    """
    if not any(_SIGN in message.content for message in messages if message.role == "assistant"):
        return tuple(messages), None
    answers = None
    if len(messages) > 1 and messages[-1].role == "user" and messages[-2].role == "assistant":
        answers = _answers(messages[-2], messages[-1])
    return tuple(_noted(m) if m.role == "assistant" else m for m in messages), answers


def _answers(asking: Message, said: Message) -> Answers | None:
    lead, found = _read(asking.content)
    if not found:
        return None
    how = "other" if said.parts else reading(said.content)
    given = tuple(Answer(one["id"], how == "yes", _call(one)) for one in found)
    return Answers(given=given, drop=2, said=1 if how == "other" else 0, lead=lead)


def _call(one: re.Match[str]) -> ToolCall | None:
    return None if one["cut"] else ToolCall(one["id"], one["tool"], one["arguments"])


def _noted(message: Message) -> Message:
    lead, found = _read(message.content)
    if not found:
        return message
    tools = ", ".join(dict.fromkeys(f"`{one['tool']}`" for one in found))
    note = f"(The user was asked whether {tools} may be called.)"
    return replace(message, content=f"{lead}\n\n{note}".lstrip(), parts=())


def _read(content: str) -> tuple[str, list[re.Match[str]]]:
    """The text before the questions that a message ends with, and these."""
    if _SIGN not in content:
        return content, []
    text = content.replace("\r\n", "\n")
    end = text.rfind(_END)
    if end < 0 or not _ENDING.fullmatch(text, end):
        return content, []
    start = text.find(_START)
    for _ in range(_MOST_STARTS):
        if start < 0:
            break
        found, place = [], start
        while one := _QUESTION.match(text, place, end):
            found.append(one)
            place = one.end()
        if place == end:
            return text[:start].rstrip(), found
        start = text.find(_START, max(place, start + 1))
    return content, []
