"""Tool calls on the way → what a caller is shown of them: lines, objects, status events.

A step tells which tool was called with what, in short, and how it ended. Values that look like
secrets are left out: a model may have been given some, and steps are kept in logs and histories.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import orjson

from retinue.errors import RequestError
from retinue.run.events import Compacted, ToolFinished, ToolProgressed, ToolStarted

StepsMode = Literal["reasoning", "extension", "openwebui", "off"]
HEADER = "x-retinue-steps"

_LONGEST_ARGUMENTS = 200
_LONGEST_RESULT = 500
# Looked at before it is cut, so that no half of a secret is left over.
_LONGEST_LOOK = 8_000
_DEEPEST = 6
_MOST_ENTRIES = 50

_SECRET_KEY = re.compile(
    r"passw|passphrase|secret|credential|authorization|(api|access|private)[_-]?key|token$",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:dapi[0-9a-f]{8,}|dose[0-9a-f]{8,}|sk-[\w-]{8,}|gh[a-z]_\w{8,}|github_pat_\w{8,}"
    r"|glpat-[\w-]{8,}|xox[a-z]-[\w-]{8,}|A[KS]IA[0-9A-Z]{8,}|AIza[\w-]{8,}|hf_\w{8,}"
    r"|eyJ[\w-]{4,}\.[\w-]+\.?[\w-]*|(?i:bearer|basic)\s+[\w.~+/=-]{8,})"
    r"|(?<=://)[^\s/@]+:[^\s/@]+(?=@)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*"
)
_HIDDEN = "[hidden]"


def steps_mode(header: str | None, own: StepsMode) -> StepsMode:
    """The caller's choice, else the agent's. Raises RequestError for an unknown one."""
    if not header:
        return own
    for mode in get_args(StepsMode):
        if mode == header.strip().lower():
            return mode  # type: ignore[no-any-return]
    known = ", ".join(get_args(StepsMode))
    message = f"The header {HEADER} must be one of {known}."
    raise RequestError(message, param=HEADER, code="invalid_value")


@dataclass(frozen=True, slots=True)
class Step:
    """One tool call as it is shown, at its start or its end."""

    id: str
    tool: str
    status: Literal["started", "completed", "failed"]
    arguments: str
    seconds: float | None = None
    result: str | None = None

    @property
    def line(self) -> str:
        """What a reader is told; nothing of a call that went well, as the answer shows that."""
        if self.status == "started":
            return f"Calling {self.tool}: {self.arguments}" if self.arguments else self._called
        return f"{self.tool} failed." if self.status == "failed" else ""

    @property
    def _called(self) -> str:
        return f"Calling {self.tool}."

    @property
    def object(self) -> dict[str, Any]:
        """The step for programs; `arguments` and `result` are texts, cut to a few words."""
        told = {
            "id": self.id,
            "tool": self.tool,
            "status": self.status,
            "arguments": self.arguments,
        }
        if self.seconds is None:
            return told
        return {**told, "seconds": round(self.seconds, 3), "result": self.result}

    @property
    def status_event(self) -> dict[str, Any]:
        """Open WebUI's status event: it shows the last one beside the answer."""
        done = self.status != "started"
        told = {"started": self.line, "failed": self.line, "completed": f"{self.tool} answered."}
        return {"type": "status", "data": {"description": told[self.status], "done": done}}


@dataclass(frozen=True, slots=True)
class Shortening:
    """A compaction as it is shown."""

    event: Compacted

    @property
    def line(self) -> str:
        """What a reader is told."""
        return self.event.summary

    @property
    def object(self) -> dict[str, Any]:
        """The step for programs; lengths are in tokens."""
        done = self.event
        return {
            "compaction": {"before": done.before, "after": done.after, "messages": done.messages}
        }

    @property
    def status_event(self) -> dict[str, Any]:
        """Open WebUI's status event."""
        return {"type": "status", "data": {"description": self.line, "done": True}}


@dataclass(frozen=True, slots=True)
class Progress:
    """What a tool under way tells, as it is shown."""

    id: str
    tool: str
    text: str

    @property
    def line(self) -> str:
        """What a reader is told."""
        return f"{self.tool}: {self.text}"

    @property
    def object(self) -> dict[str, Any]:
        """The step for programs."""
        return {"id": self.id, "tool": self.tool, "status": "in_progress", "text": self.text}

    @property
    def status_event(self) -> dict[str, Any]:
        """Open WebUI's status event."""
        return {"type": "status", "data": {"description": self.line, "done": False}}


StepEvent = ToolStarted | ToolProgressed | ToolFinished | Compacted


def step(event: StepEvent) -> Step | Progress | Shortening:
    """The step that this event is."""
    if isinstance(event, Compacted):
        return Shortening(event)
    if isinstance(event, ToolProgressed):
        name = _short(event.call.name, _LONGEST_ARGUMENTS)
        return Progress(event.call.id, name, _short(event.line, _LONGEST_RESULT))
    call = event.call
    arguments = _arguments(call.arguments)
    name = _short(call.name, _LONGEST_ARGUMENTS)
    if isinstance(event, ToolStarted):
        return Step(call.id, name, "started", arguments)
    status: Literal["failed", "completed"] = "failed" if event.result.is_error else "completed"
    result = _short(event.result.text, _LONGEST_RESULT)
    return Step(call.id, name, status, arguments, event.seconds, result)


def _arguments(text: str) -> str:
    """`{"a": 1, "b": "x y"}` → `a=1, b=x y`."""
    try:
        value = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError:
        return _short(text, _LONGEST_ARGUMENTS)
    if not isinstance(value, dict):
        return _short(text, _LONGEST_ARGUMENTS)
    kept = _masked(value, 0)
    pairs = (f"{k}={v if isinstance(v, str) else _json(v)}" for k, v in kept.items())
    return _short(", ".join(pairs), _LONGEST_ARGUMENTS)


def _masked(value: Any, depth: int) -> Any:
    """The value without what its keys call secret; what is too deep or too long isn't shown."""
    if isinstance(value, dict | list) and depth == _DEEPEST:
        return "…"
    if isinstance(value, list):
        return [_masked(item, depth + 1) for item in value[:_MOST_ENTRIES]]
    if isinstance(value, dict):
        entries = list(value.items())[:_MOST_ENTRIES]
        return {
            key: _HIDDEN if _SECRET_KEY.search(key) and entry else _masked(entry, depth + 1)
            for key, entry in entries
        }
    return value[:_LONGEST_LOOK] if isinstance(value, str) else value


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _short(text: str, longest: int) -> str:
    """One line of at most `longest` characters, fit for UTF-8."""
    looked = " ".join(text[:_LONGEST_LOOK].split())
    clean = _SECRET.sub(_HIDDEN, looked).encode("utf-8", "replace").decode()
    return clean if len(clean) <= longest else f"{clean[: longest - 1].rstrip()}…"
