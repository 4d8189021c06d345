"""The events of a run → spans: one of the run, one of each model call, one of each tool call.

Names are those of the GenAI semantic conventions, https://opentelemetry.io/docs/specs/semconv/gen-ai/,
and `retinue.…` where these have none. MLflow reads session and user under names of its own.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, SpanKind, format_trace_id

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
from retinue.run.tracing.recorder import Attributes, OpenSpan, Recorder

log = logging.getLogger("retinue.tracing")

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


class RunSpans:
    """The spans of one run."""

    __slots__ = (
        "_agent",
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
        parent: Context | SpanContext,
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
        if isinstance(parent, SpanContext):
            self._root = recorder.span(name, parent, kind, own)
        else:
            self._root = recorder.root(name, parent, kind, own)
        self._model: OpenSpan | None = None
        self._tools: dict[str, tuple[str, OpenSpan]] = {}
        self._fault = self._route = ""

    @property
    def id(self) -> str:
        """The trace's, 32 hex digits."""
        return format_trace_id(self._root.context.trace_id)

    def begin(self, agent: Agent, conversation: Sequence[Message]) -> "RunSpans":
        """The spans of a sub-agent's run: within the tool call that asks it, if that is plain."""
        asking = [span for name, span in self._tools.values() if name == f"ask_{agent.name}"]
        parent = asking[0] if len(asking) == 1 else self._root
        return RunSpans(self._recorder, agent, conversation, {}, parent=parent.context)

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
        told = {"gen_ai.operation.name": "chat", **_model(route)}
        self._route = route
        name = f"chat {told['gen_ai.request.model']}"
        self._model = self._recorder.span(name, self._root.context, SpanKind.CLIENT, told)

    def _hear(self, _: Event) -> None:
        span = self._model
        if span is not None and _FIRST not in span.attributes:
            span.attributes[_FIRST] = (time.time_ns() - span.started) / 1e9

    def _retry(self, event: ModelRetried) -> None:
        if self._model is not None:
            told: Attributes = {
                "retinue.model": event.model,
                "error.type": event.fault,
                "retinue.next": event.next,
                "retinue.wait_seconds": event.wait,
            }
            self._model.event("retinue.model_retried", told)

    def _compaction(self, event: Compacted) -> None:
        told: Attributes = {
            "retinue.tokens_before": event.before,
            "retinue.tokens_after": event.after,
            "retinue.messages_summed_up": event.messages,
        }
        self._root.event("retinue.compacted", told)

    def _answer(self, event: ModelFinished) -> None:
        span, self._model = self._model, None
        if span is None:
            return
        span.attributes |= _usage(event.usage)
        span.attributes["gen_ai.response.finish_reasons"] = (event.reason,)
        if event.model and event.model != self._route:
            span.attributes |= _model(event.model)
            span.name = f"chat {span.attributes['gen_ai.request.model']}"
        self._recorder.end(span)

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
        span = self._recorder.span(
            f"execute_tool {name}", self._root.context, SpanKind.INTERNAL, attributes
        )
        self._tools[call.id] = name, span

    def _returned(self, event: ToolFinished) -> None:
        _, span = self._tools.pop(event.call.id)
        if event.result.is_error:
            span.fail("tool_error")
        if self._recorder.content:
            span.attributes["gen_ai.tool.call.result"] = content.text(event.result.text)
        self._recorder.end(span, span.started + int(event.seconds * 1e9))

    def _finish(self, event: RunFinished) -> None:
        attributes = self._root.attributes
        attributes |= _usage(event.usage)
        attributes["gen_ai.response.finish_reasons"] = (event.reason,)
        attributes["retinue.turns"] = event.turns
        if event.cause:
            attributes["retinue.stopped_by"] = event.cause
        if self._recorder.content:
            attributes["gen_ai.output.messages"] = content.messages(event.messages)

    def _end(self, _: None) -> None:
        if self._model is not None:
            self._model.fail(self._fault or "unfinished")
            self._recorder.end(self._model)
        for _name, span in self._tools.values():
            span.fail("cancelled")
            self._recorder.end(span)
        if self._fault:
            self._root.fail(self._fault)
        self._recorder.end(self._root)


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
