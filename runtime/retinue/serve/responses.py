"""`POST /v1/responses`: OpenAI's Responses API of an agent's runs."""

from functools import partial

from starlette.responses import Response
from starlette.types import Scope

from retinue.serve.access import record_of
from retinue.serve.answers import Pace
from retinue.serve.asking import Asking
from retinue.serve.background import Background
from retinue.serve.body import MAX_BODY
from retinue.serve.exchange import Elsewhere, Exchange, Fail, Settle, Streamed, Whole, header
from retinue.serve.traced import traced
from retinue.serve.turn import Turn
from retinue.serve.wire.errors import ErrorAnswer
from retinue.serve.wire.mistakes import invalid
from retinue.serve.wire.models import find_agent
from retinue.serve.wire.orders import Order
from retinue.serve.wire.responses import (
    ResponseAnswer,
    ResponseHead,
    ResponseStream,
    in_responses_terms,
)
from retinue.serve.wire.responses_echo import echo
from retinue.serve.wire.responses_output import Style, style_for
from retinue.serve.wire.responses_request import (
    CreateResponseRequest,
    heard,
    needing_state,
    parse,
    told,
)
from retinue.serve.wire.session import HEADER as SESSION_HEADER
from retinue.serve.wire.steps import HEADER as STEPS_HEADER
from retinue.serve.wire.steps import steps_mode


def responses(
    background: Background,
    style: Style = "openai",
    *,
    pace: Pace | None = None,
    max_body: int = MAX_BODY,
) -> Exchange:
    """The endpoint; `style` is how the agent's own tool calls are told, unless its `serve.steps`
    or the caller want them otherwise. `max_body` is in bytes.
    """
    return Exchange(partial(_prepared, background, style), pace=pace, max_body=max_body)


def _prepared(
    background: Background, own: Style, body: bytes, scope: Scope
) -> Streamed | Whole | Elsewhere:
    runtime, state = background.runtime, background.state
    given = parse(body)
    for param in needing_state(given):
        state.check(param)
    record = record_of(scope)
    agent = find_agent(runtime.agents, given.model, record.identity.closed)
    record.agent = agent.name
    style = style_for(steps_mode(header(scope, STEPS_HEADER), agent.serving.steps), own)
    head = ResponseHead(
        given.model or agent.name,
        echo(given, agent),
        store=state.on and given.store is not False,
        previous=given.previous_response_id,
        conversation=given.conversation_id,
        background=bool(given.background),
    )
    turn = Turn(state, given, head, record.identity.subject, agent.name)
    asking = Asking(runtime, agent, record, header(scope, SESSION_HEADER), turn)
    if given.background:
        order = Order(
            agent=agent.name,
            body=body.decode(),
            style=style,
            session=asking.session,
            user_id=record.identity.user_id,
            user_name=record.identity.user_name,
            user_email=record.identity.user_email,
            key=record.identity.key,
            limits=record.identity.limits,
        )
        return Elsewhere(partial(_in_background, background, asking, given, order, head))
    run = asking.continued(given) if turn.goes_on else asking.run(told(given))
    if given.stream:
        stream = ResponseStream(head, style, held=turn.leaves)
        return traced(
            Streamed(run, stream, in_responses_terms, _settle(turn, stream), _fail(turn, stream)),
            scope,
        )
    answer = ResponseAnswer(head, head.output(style))
    return traced(Whole(run, answer, in_responses_terms, _settle(turn, answer)), scope)


def _settle(turn: Turn, wire: ResponseStream | ResponseAnswer) -> Settle | None:
    if not turn.leaves:
        return None

    async def settled() -> bytes:
        finish = wire.finish
        if finish is None:
            raise RuntimeError("the run has not finished")
        response = wire.response(finish)
        kept = await turn.keep(response, finish)
        return wire.end(response if kept else {**response, "store": False})

    return settled


def _fail(turn: Turn, wire: ResponseStream) -> Fail | None:
    if not turn.stores:
        return None

    async def failed(error: ErrorAnswer) -> None:
        await turn.keep_failed(wire.failed(error))

    return failed


async def _in_background(
    background: Background,
    asking: Asking,
    given: CreateResponseRequest,
    order: Order,
    head: ResponseHead,
) -> Response:
    """Begin the run, whose mistakes are told now. The conversation stays held until it is over."""
    if not head.store:
        raise invalid("store", "must be true with 'background'")
    begun = False
    try:
        request, _ = await asking.heard(given)
        heard(request, asking.agent)
        response = await background.take_on(
            order, head, asking.turn, asking.record.identity, stream=bool(given.stream)
        )
        begun = True
        return response
    finally:
        if not begun:
            await asking.turn.release()
