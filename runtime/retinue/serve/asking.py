"""A response request, and what was said before → the run that answers it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from retinue.agent import Agent
from retinue.run.events import Event
from retinue.run.messages import Message
from retinue.run.runtime import Runtime
from retinue.serve.access import RequestRecord
from retinue.serve.turn import Turn
from retinue.serve.wire.responses_request import (
    CreateResponseRequest,
    ResponseRequest,
    heard,
    told,
)
from retinue.serve.wire.session import session_name


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks which agent; `session` is what the caller calls its session, and `timeout` how long
    the run may take, in seconds, where that isn't for the agent to say.
    """

    runtime: Runtime
    agent: Agent
    record: RequestRecord
    session: str | None
    turn: Turn
    timeout: float | None = None

    def run(
        self, request: ResponseRequest, before: Sequence[Message] = ()
    ) -> AsyncGenerator[Event, None]:
        """The run of a request, after what was said before. Raises RequestError."""
        identity = self.record.identity
        lead, self.turn.said = heard(request, self.agent)
        self.record.session = session_name(
            self.session,
            request.metadata,
            identity.subject or request.user,
            (*before, *request.messages),
        )
        self.record.said = (*lead, *before, *self.turn.said)
        return self.runtime.run(
            self.agent.name,
            self.record.said,
            options=replace(request.options, timeout=self.timeout),
            caller=self.record.caller(request.metadata),
            request=self.record,
        )

    async def heard(
        self, given: CreateResponseRequest
    ) -> tuple[ResponseRequest, tuple[Message, ...]]:
        """The request and what was said before. Raises RequestError, and what the store does."""
        before = await self.turn.before()
        items = await self.turn.items()
        return told(given, items=items, before=before), before

    async def continued(self, given: CreateResponseRequest) -> AsyncGenerator[Event, None]:
        """The run of a request that goes on from what is kept."""
        try:
            request, before = await self.heard(given)
            async with aclosing(self.run(request, before)) as events:
                async for event in events:
                    yield event
        finally:
            await self.turn.release()
