"""The events of a run → spans: one of the run, one of each model call, one of each tool call.

Names are those of the GenAI semantic conventions, https://opentelemetry.io/docs/specs/semconv/gen-ai/,
and `retinue.…` where these have none. MLflow reads session and user under names of its own.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from retinue.agent import Agent
from retinue.errors import ModelError, RequestError
from retinue.run.caller import Caller
from retinue.run.events import (
    Compacted,
    Event,
    ModelFinished,
    ModelRetried,
    ReasoningDelta,
    RefusalDelta,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnStarted,
    Usage,
)
from retinue.run.messages import Message
from retinue.run.trace import Request
from retinue.run.tracing import content

log = logging.getLogger("retinue.tracing")

Attributes = dict[str, Any]

_LONGEST_NAME = 512
_FIRST = "retinue.first_token_seconds"
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""LiteLLM's names of providers that the conventions call otherwise."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Where spans are made, and whether what was said is part of them."""

    tracer: Tracer
    content: bool


class RunSpans:
    """The spans of one run."""

    __slots__ = (
        "_agent",
        "_asked",
        "_chat",
        "_context",
        "_fault",
        "_model",
        "_recorder",
        "_root",
        "_route",
        "_tools",
    )

    def __init__(
        self,
        recorder: Recorder,
        agent: Agent,
        conversation: Sequence[Message],
        attributes: Mapping[str, Any],
        *,
        parent: Context,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        own = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": agent.name,
            "gen_ai.agent.version": agent.digest,
            **attributes,
        }
        if recorder.content:
            own["gen_ai.input.messages"] = content.messages(conversation)
        self._recorder = recorder
        self._agent = agent
        name = f"invoke_agent {agent.name}"
        self._root = recorder.tracer.start_span(name, parent, kind, own)
        self._context = set_span_in_context(self._root, Context())
        self._model: Span | None = None
        self._tools: dict[str, tuple[str, Span, int]] = {}
        # What is known of the model call under way: each setting of attributes has its price.
        self._chat: Attributes = {}
        self._asked = 0
        self._fault = self._route = ""

    @property
    def id(self) -> str:
        """The trace's, 32 hex digits."""
        return f"{self._root.get_span_context().trace_id:032x}"

    def begin(self, agent: Agent, conversation: Sequence[Message]) -> "RunSpans":
        """The spans of a sub-agent's run: within the tool call that asks it, if that is plain."""
        asking = [span for name, span, _ in self._tools.values() if name == f"ask_{agent.name}"]
        parent = set_span_in_context(asking[0], Context()) if len(asking) == 1 else self._context
        return RunSpans(self._recorder, agent, conversation, {}, parent=parent)

    async def watch(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The same events, recorded as they pass."""
        try:
            async with aclosing(events):
                async for event in events:
                    take = _TAKE.get(type(event))
                    if take is not None:
                        self._safely(take, event)
                    yield event
        except (asyncio.CancelledError, GeneratorExit):
            self._fault = "cancelled"
            raise
        except Exception as error:
            self._fault = _fault(error)
            raise
        finally:
            self._safely(RunSpans._end, None)

    def _safely(self, take: Callable[["RunSpans", Any], None], event: Event | None) -> None:
        """A trace with a hole in it is a smaller loss than a run."""
        try:
            take(self, event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            log.warning("a span was not recorded: %s", type(error).__name__)

    def _ask_model(self, _: TurnStarted) -> None:
        route = self._agent.model.deployments[0].model
        self._chat = {"gen_ai.operation.name": "chat", **_model(route)}
        self._asked, self._route = time.time_ns(), route
        self._model = self._recorder.tracer.start_span(
            f"chat {self._chat['gen_ai.request.model']}",
            self._context,
            SpanKind.CLIENT,
            start_time=self._asked,
        )

    def _hear(self, _: Event) -> None:
        if _FIRST not in self._chat:
            self._chat[_FIRST] = (time.time_ns() - self._asked) / 1e9

    def _retry(self, event: ModelRetried) -> None:
        if self._model is not None:
            told: Attributes = {
                "retinue.model": event.model,
                "error.type": event.fault,
                "retinue.next": event.next,
                "retinue.wait_seconds": event.wait,
            }
            self._model.add_event("retinue.model_retried", told)

    def _compaction(self, event: Compacted) -> None:
        told: Attributes = {
            "retinue.tokens_before": event.before,
            "retinue.tokens_after": event.after,
            "retinue.messages_summed_up": event.messages,
        }
        self._root.add_event("retinue.compacted", told)

    def _answer(self, event: ModelFinished) -> None:
        span, self._model = self._model, None
        if span is None:
            return
        self._chat |= _usage(event.usage)
        self._chat["gen_ai.response.finish_reasons"] = (event.reason,)
        if event.model and event.model != self._route:
            self._chat |= _model(event.model)
            span.update_name(f"chat {self._chat['gen_ai.request.model']}")
        span.set_attributes(self._chat)
        span.end()

    def _call(self, event: ToolStarted) -> None:
        call = event.call
        name = content.text(call.name, _LONGEST_NAME)
        attributes: Attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": content.text(call.id, _LONGEST_NAME),
        }
        if self._recorder.content:
            attributes["gen_ai.tool.call.arguments"] = content.text(call.arguments)
        started = time.time_ns()
        span = self._recorder.tracer.start_span(
            f"execute_tool {name}",
            self._context,
            SpanKind.INTERNAL,
            attributes,
            start_time=started,
        )
        self._tools[call.id] = name, span, started

    def _returned(self, event: ToolFinished) -> None:
        _, span, started = self._tools.pop(event.call.id)
        if event.result.is_error:
            _fail(span, "tool_error")
        if self._recorder.content:
            span.set_attribute("gen_ai.tool.call.result", content.text(event.result.text))
        span.end(started + int(event.seconds * 1e9))

    def _finish(self, event: RunFinished) -> None:
        attributes = _usage(event.usage)
        attributes["gen_ai.response.finish_reasons"] = (event.reason,)
        attributes["retinue.turns"] = event.turns
        if event.cause:
            attributes["retinue.stopped_by"] = event.cause
        if self._recorder.content:
            attributes["gen_ai.output.messages"] = content.messages(event.messages)
        self._root.set_attributes(attributes)

    def _end(self, _: None) -> None:
        if self._model is not None:
            self._model.set_attributes(self._chat)
            _fail(self._model, self._fault or "unfinished")
            self._model.end()
        for _name, span, _started in self._tools.values():
            _fail(span, "cancelled")
            span.end()
        if self._fault:
            _fail(self._root, self._fault)
        self._root.end()


_TAKE: Mapping[type, Callable[[RunSpans, Any], None]] = {
    TurnStarted: RunSpans._ask_model,  # noqa: SLF001 - its own table
    TextDelta: RunSpans._hear,  # noqa: SLF001
    ReasoningDelta: RunSpans._hear,  # noqa: SLF001
    RefusalDelta: RunSpans._hear,  # noqa: SLF001
    ModelRetried: RunSpans._retry,  # noqa: SLF001
    Compacted: RunSpans._compaction,  # noqa: SLF001
    ModelFinished: RunSpans._answer,  # noqa: SLF001
    ToolStarted: RunSpans._call,  # noqa: SLF001
    ToolFinished: RunSpans._returned,  # noqa: SLF001
    RunFinished: RunSpans._finish,  # noqa: SLF001
}


def who(caller: Caller | None, request: Request | None) -> Attributes:
    """What a trace says of whom it is for: the user's id alone, never a name or a token."""
    attributes: Attributes = {}
    if caller and caller.user_id:
        user = content.text(caller.user_id, _LONGEST_NAME)
        attributes |= {"user.id": user, "mlflow.trace.user": user}
    if request:
        attributes["retinue.request_id"] = request.id
        if request.session:
            session = content.text(request.session, _LONGEST_NAME)
            attributes |= {"gen_ai.conversation.id": session, "mlflow.trace.session": session}
    return attributes


def _model(route: str) -> Attributes:
    provider, slash, name = route.partition("/")
    if not slash:
        return {"gen_ai.request.model": route}
    known = _PROVIDERS.get(provider, provider)
    return {"gen_ai.provider.name": known, "gen_ai.request.model": name}


def _usage(usage: Usage) -> Attributes:
    attributes: Attributes = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    if usage.cached_tokens:
        attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.cache_write_tokens:
        attributes["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        attributes["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    if usage.cost_usd:
        attributes["retinue.cost_usd"] = usage.cost_usd
    return attributes


def _fault(error: Exception) -> str:
    """Which kind it is. What its message says may be someone's words."""
    if isinstance(error, ModelError):
        return error.kind
    if isinstance(error, RequestError):
        return error.code or "invalid_request"
    return type(error).__name__


def _fail(span: Span, fault: str) -> None:
    span.set_attribute("error.type", fault)
    span.set_status(Status(StatusCode.ERROR))
