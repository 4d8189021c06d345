"""Doubles for tests: a model that follows a script and a toolbox of plain functions."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from typing import Any

from retinue.agent import Agent, Instructions, Limits
from retinue.route import Deployment, Route
from retinue.run.budget import Budget
from retinue.run.caller import Caller
from retinue.run.context import RunContext
from retinue.run.events import FinishReason, ModelEvent, ModelFinished, TextDelta, ToolResult, Usage
from retinue.run.messages import ToolCall
from retinue.run.ports import ModelRequest, Tool
from retinue.values import JsonValue

Step = ModelEvent | BaseException | float
"""An event to yield, an error to raise, or seconds to wait."""


def says(text: str, *, usage: Usage | None = None, reason: FinishReason = "stop") -> list[Step]:
    """A model turn that answers `text`, one word at a time."""
    words: list[Step] = [TextDelta(word) for word in text.replace(" ", " \n").split("\n") if word]
    return [*words, ModelFinished(reason, usage or Usage(10, len(words)))]


def calls(*wanted: tuple[str, Mapping[str, Any]], usage: Usage | None = None) -> list[Step]:
    """A model turn that calls tools: `calls(("add", {"a": 1}))`. Ids are `call_1`, `call_2`, …"""
    made = [
        ToolCall(f"call_{n}", name, json.dumps(arguments))
        for n, (name, arguments) in enumerate(wanted, 1)
    ]
    return [*made, ModelFinished("tool_calls", usage or Usage(10, 5))]


class ScriptedModel:
    """A model that plays one list of steps per call, and the last one for ever.

    `requests` holds what it was asked; `cancelled` counts calls that were closed midway.
    """

    def __init__(self, *turns: Sequence[Step]) -> None:
        self._turns = turns or (says("ok"),)
        self.requests: list[ModelRequest] = []
        self.cancelled = 0
        self.warmed = False
        self.closed = False

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        turn = self._turns[min(len(self.requests), len(self._turns) - 1)]
        self.requests.append(request)
        finished = False
        try:
            for step in turn:
                if isinstance(step, BaseException):
                    finished = True
                    raise step
                if isinstance(step, float | int):
                    await asyncio.sleep(step)
                else:
                    yield step
            finished = True
        finally:
            self.cancelled += not finished

    async def warm(self) -> None:
        self.warmed = True

    async def aclose(self) -> None:
        self.closed = True


def run_context(caller: Caller | None = None, **limits: Any) -> RunContext:
    """The context of a run with these limits; only where an event loop runs."""
    return RunContext(Budget(Limits(**limits)), caller or Caller())


Function = Callable[..., Any]


class FakeToolbox:
    """A toolbox over plain or async functions; an exception becomes an error result.

    The user has to agree to calls of those whose names are in `asks_for`; those in `reads` change
    nothing.
    """

    def __init__(
        self,
        functions: Iterable[Function] = (),
        notices: tuple[str, ...] = (),
        asks_for: Iterable[str] = (),
        reads: Iterable[str] = (),
    ) -> None:
        self._reads = frozenset(reads)
        self._asks_for = frozenset(asks_for)
        self._functions = {function.__name__: function for function in functions}
        self.notices = notices
        self.calls: list[ToolCall] = []

    @property
    def tools(self) -> tuple[Tool, ...]:
        schema: dict[str, JsonValue] = {"type": "object"}
        return tuple(
            Tool(name, f.__doc__ or "", schema, reads=name in self._reads)
            for name, f in self._functions.items()
        )

    def needs_approval(self, call: ToolCall) -> bool:
        return call.name in self._asks_for

    async def call(self, call: ToolCall, _: RunContext) -> ToolResult:
        self.calls.append(call)
        try:
            value = self._functions[call.name](**json.loads(call.arguments))
            if asyncio.iscoroutine(value):
                value = await value
        except Exception as error:  # noqa: BLE001 - any failure is the tool's answer
            return ToolResult(f"{type(error).__name__}: {error}", is_error=True)
        return ToolResult(value if isinstance(value, str) else json.dumps(value))


def route(model: str, **fields: Any) -> Route:
    """A route with one deployment; `fields` are those of `Deployment` or of `Route`."""
    own = {f.name for f in dataclass_fields(Deployment)} & fields.keys()
    deployment = Deployment(model=model, **{name: fields.pop(name) for name in own})
    return Route(deployments=(deployment,), **fields)


def agent(
    name: str = "tester", instructions: str | Instructions = "Be brief.", **changes: Any
) -> Agent:
    """A compiled agent without files; `changes` are fields of `Agent`."""
    if isinstance(instructions, str):
        instructions = Instructions(text=instructions, origin="test", literal=True)
    fields: dict[str, Any] = {
        "name": name,
        "description": "",
        "model": route("scripted/model"),
        "instructions": instructions,
        "digest": "0" * 16,
    }
    return Agent(**{**fields, **changes})
