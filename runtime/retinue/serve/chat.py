"""`POST /v1/chat/completions`: OpenAI's chat completions of an agent's runs."""

from functools import partial

from starlette.types import Scope

from retinue.run.runtime import Runtime
from retinue.serve.access import record_of
from retinue.serve.answers import Pace
from retinue.serve.body import MAX_BODY
from retinue.serve.exchange import Exchange, Streamed, Whole, header
from retinue.serve.wire.chat import ChatAnswer, ChatStream, Head
from retinue.serve.wire.chat_messages import heard
from retinue.serve.wire.chat_request import decode
from retinue.serve.wire.models import find_agent
from retinue.serve.wire.session import HEADER as SESSION_HEADER
from retinue.serve.wire.session import session_name
from retinue.serve.wire.steps import HEADER as STEPS_HEADER
from retinue.serve.wire.steps import steps_mode


def chat_completions(
    runtime: Runtime, *, pace: Pace | None = None, max_body: int = MAX_BODY
) -> Exchange:
    """The endpoint. `max_body` is in bytes."""
    return Exchange(partial(_prepared, runtime), pace=pace, max_body=max_body)


def _prepared(runtime: Runtime, body: bytes, scope: Scope) -> Streamed | Whole:
    request = decode(body)
    record = record_of(scope)
    identity = record.identity
    agent = find_agent(runtime.agents, request.model, identity.closed)
    record.agent = agent.name
    record.session = session_name(
        header(scope, SESSION_HEADER),
        request.metadata,
        identity.subject or request.user,
        request.messages,
    )
    steps = steps_mode(header(scope, STEPS_HEADER), agent.serving.steps)
    head = Head(request.model or agent.name, agent.digest)
    record.said = heard(request.messages, agent.serving.system_messages)
    caller = record.caller(request.metadata)
    run = runtime.run(
        agent.name,
        record.said,
        options=request.options,
        caller=caller,
        request=record,
    )
    if request.stream:
        stream = ChatStream(
            head,
            include_usage=request.include_usage,
            steps=steps,
            # To another agent, which counts it to its own run.
            costs=caller.depth > 0,
        )
        return Streamed(run, stream)
    return Whole(run, ChatAnswer(head, request.metadata, steps=steps))
