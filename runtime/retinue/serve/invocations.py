"""`POST /invocations`: what MLflow and Databricks ask an agent by, in each of their forms."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from functools import partial

from starlette.types import Scope

from retinue.agent import Agent
from retinue.run.events import Event
from retinue.run.runtime import Runtime
from retinue.serve.access import record_of
from retinue.serve.answers import Pace
from retinue.serve.body import MAX_BODY
from retinue.serve.exchange import Exchange, Streamed, Whole, header
from retinue.serve.traced import traced
from retinue.serve.wire.chat import ChatAnswer, ChatStream, Head
from retinue.serve.wire.chat_messages import heard as chat_heard
from retinue.serve.wire.chat_request import ChatRequest
from retinue.serve.wire.invocations import AgentHead, AgentStream
from retinue.serve.wire.invocations_chat import AgentChatAnswer, AgentChatStream
from retinue.serve.wire.invocations_request import decode
from retinue.serve.wire.models import find_agent
from retinue.serve.wire.responses import ResponseAnswer, in_responses_terms
from retinue.serve.wire.responses_output import style_for
from retinue.serve.wire.responses_request import ResponseRequest, heard
from retinue.serve.wire.session import HEADER as SESSION_HEADER
from retinue.serve.wire.session import session_name
from retinue.serve.wire.steps import HEADER as STEPS_HEADER
from retinue.serve.wire.steps import StepsMode, steps_mode

Run = Callable[..., AsyncGenerator[Event, None]]
"""`Runtime.run` of one agent for one request."""


def invocations(
    runtime: Runtime, *, pace: Pace | None = None, max_body: int = MAX_BODY
) -> Exchange:
    """The endpoint. `max_body` is in bytes."""
    return Exchange(partial(_prepared, runtime), pace=pace, max_body=max_body)


def _prepared(runtime: Runtime, body: bytes, scope: Scope) -> Streamed | Whole:
    invocation = decode(body)
    request, metadata = invocation.request, invocation.metadata
    record = record_of(scope)
    identity = record.identity
    agent = _agent(runtime.agents, request.model, identity.closed)
    record.agent, record.said = agent.name, request.messages
    record.session = session_name(
        header(scope, SESSION_HEADER),
        metadata,
        identity.subject or request.user,
        request.messages,
    )
    run = partial(runtime.run, agent.name, caller=record.caller(metadata), request=record)
    steps = steps_mode(header(scope, STEPS_HEADER), agent.serving.steps)
    if isinstance(request, ChatRequest):
        answer = _chat(run, agent, request, steps)
    else:
        answer = _response(run, agent, request, steps)
    return traced(answer, scope, databricks=invocation.return_trace)


def _response(
    ask: Run, agent: Agent, request: ResponseRequest, steps: StepsMode
) -> Streamed | Whole:
    lead, said = heard(request, agent)
    run = ask((*lead, *said), options=request.options)
    head = AgentHead(agent.name, request.metadata)
    style = style_for(steps, "mlflow")
    if request.stream:
        return Streamed(run, AgentStream(head, style), in_responses_terms)
    return Whole(run, ResponseAnswer(head, head.output(style)), in_responses_terms)


def _chat(ask: Run, agent: Agent, request: ChatRequest, steps: StepsMode) -> Streamed | Whole:
    messages = chat_heard(request.messages, agent.serving.system_messages)
    run = ask(messages, options=request.options)
    head = Head(agent.name, agent.digest)
    if request.stream:
        chat = ChatStream(head, include_usage=request.include_usage, steps=steps)
        return Streamed(run, AgentChatStream(head, chat))
    return Whole(run, AgentChatAnswer(head, ChatAnswer(head, steps=steps)))


def _agent(agents: Mapping[str, Agent], model: str | None, closed: Collection[str]) -> Agent:
    """The agent of that name, else the first: Databricks' clients send names of their own."""
    known = model in agents or (model or "").removeprefix("apps/") in agents
    return find_agent(agents, model if known else None, closed)
