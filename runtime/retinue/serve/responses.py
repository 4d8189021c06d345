"""`POST /v1/responses`: OpenAI's Responses API, without its store."""

from functools import partial
from http import HTTPStatus

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.types import Scope

from retinue.errors import RequestError
from retinue.run.runtime import Runtime
from retinue.serve.access import record_of
from retinue.serve.answers import Pace
from retinue.serve.body import MAX_BODY
from retinue.serve.exchange import Exchange, Streamed, Whole, header
from retinue.serve.traced import traced
from retinue.serve.wire.models import find_agent
from retinue.serve.wire.responses import (
    ResponseAnswer,
    ResponseHead,
    ResponseStream,
    in_responses_terms,
)
from retinue.serve.wire.responses_echo import echo
from retinue.serve.wire.responses_output import Style, style_for
from retinue.serve.wire.responses_request import decode, heard
from retinue.serve.wire.session import HEADER as SESSION_HEADER
from retinue.serve.wire.session import session_name
from retinue.serve.wire.steps import HEADER as STEPS_HEADER
from retinue.serve.wire.steps import steps_mode


def responses(
    runtime: Runtime, style: Style = "openai", *, pace: Pace | None = None, max_body: int = MAX_BODY
) -> Exchange:
    """The endpoint; `style` is how the agent's own tool calls are told, unless its `serve.steps`
    or the caller want them otherwise. `max_body` is in bytes.
    """
    return Exchange(partial(_prepared, runtime, style), pace=pace, max_body=max_body)


def _prepared(runtime: Runtime, own: Style, body: bytes, scope: Scope) -> Streamed | Whole:
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
    style = style_for(steps_mode(header(scope, STEPS_HEADER), agent.serving.steps), own)
    head = ResponseHead(request.model or agent.name, echo(request, agent))
    run = runtime.run(
        agent.name,
        heard(request, agent),
        options=request.options,
        caller=record.caller(request.metadata),
        request=record,
    )
    if request.stream:
        return traced(Streamed(run, ResponseStream(head, style), in_responses_terms), scope)
    return traced(Whole(run, ResponseAnswer(head, head.output(style)), in_responses_terms), scope)


def stored_responses() -> APIRouter:
    """What asks for a response of earlier: there is none."""
    router = APIRouter(tags=["responses"])

    @router.post("/responses/compact")
    async def compact() -> None:
        # It would look like a response's name, which takes no POST.
        raise HTTPException(HTTPStatus.NOT_FOUND)

    @router.get("/responses/{response_id}")
    @router.delete("/responses/{response_id}")
    @router.post("/responses/{response_id}/cancel")
    @router.get("/responses/{response_id}/input_items")
    async def stored(response_id: str) -> None:
        shown = "".join(c if c.isprintable() else "?" for c in response_id[:100])
        raise RequestError(
            f"There is no response '{shown}': responses are not stored here.",
            param="response_id",
            code="response_not_found",
            status=404,
        )

    return router
