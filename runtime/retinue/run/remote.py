"""An agent elsewhere → its answer to a question, asked for on OpenAI's wire.

How many agents have asked one another on the way goes along as a header, so that two apps that ask
each other come to an end.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from retinue.agent import Limits, RemoteAgent
from retinue.errors import MissingReferenceError, ModelError, ToolError
from retinue.run.budget import Budget
from retinue.run.context import RunContext
from retinue.run.deadline import Deadline
from retinue.run.events import (
    ModelEvent,
    ModelFinished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolResult,
)
from retinue.run.messages import Message
from retinue.run.models.direct.answered import answered
from retinue.run.ports import Lookup, ModelRequest
from retinue.run.remote_address import RemoteAddress
from retinue.run.telling import tell

if TYPE_CHECKING:
    from retinue.run.models.direct.exchange import Exchange
    from retinue.run.models.direct.pool import Pool

MAX_DEPTH = 8
"""Agents in different processes that ask one another, one after the other."""

# Characters.
_LONGEST_ANSWER = 200_000
_LONGEST_STEPS = 20_000


class Remote:
    """One agent elsewhere, for all who ask it. It is asked once: it may have done something."""

    def __init__(self, remote: RemoteAgent, lookup: Lookup) -> None:
        self.agent = remote
        self._address = RemoteAddress(remote, lookup)
        self._pool: Pool | None = None

    async def aclose(self) -> None:
        """Give up the pool of connections. Idempotent."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.release()

    async def ask(self, question: str, context: RunContext) -> ToolResult:
        """Its answer, what it spent counted to the run; its steps, as far as it tells them, are
        structured content. Raises ToolError, with text for the model.
        """
        name = self.agent.name
        if context.caller.depth >= MAX_DEPTH:
            raise ToolError(
                f"{name} can't be asked: {MAX_DEPTH} agents have asked one another already. Answer "
                "without it."
            )
        try:
            return await self._asked(question, context)
        except MissingReferenceError as missing:
            raise ToolError(f"{name} can't be asked: {missing}.") from None
        except ModelError as error:
            if error.kind in ("not_found", "unavailable"):
                self._address.forget()
            raise ToolError(f"{name} could not answer: {error}.") from None

    async def _asked(self, question: str, context: RunContext) -> ToolResult:
        # Nobody knows what it will take: where that is limited, one is asked at a time.
        budget = Budget(Limits(), context.budget)
        try:
            if cause := await budget.begin_answer(()):
                raise ToolError(f"{self.agent.name} can't be asked: the run has met its {cause}.")
            return await self._heard(question, context, budget)
        finally:
            budget.end_answer()

    async def _heard(self, question: str, context: RunContext, budget: Budget) -> ToolResult:
        end = asyncio.get_running_loop().time() + self.agent.timeout
        deadline = Deadline(min(end, context.budget.end))

        async def post(request: ModelRequest) -> "Exchange":
            return await self._post(request, context)

        answer = _Answer(tell.get())
        request = ModelRequest(messages=(Message("user", question),))
        stream = answered(post, request, self.agent.name)
        async with aclosing(deadline.within(stream, self._late)) as events:
            async for event in events:
                answer.take(event)
        if answer.finish is not None:
            budget.spend(answer.finish.usage)
        return answer.result(self.agent.name)

    def _late(self) -> ModelError:
        return ModelError("timeout", "it did not answer in time")

    async def _post(self, request: ModelRequest, context: RunContext) -> "Exchange":
        # Off the start-up path: the client, which agents without remote ones don't need.
        from retinue.run.models.direct.exchange import post  # noqa: PLC0415

        address = await self._address.find(context.caller)
        body = {
            "model": self.agent.agent,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        }
        return await post(self._here(), self.agent.name, address, orjson.dumps(body))

    def _here(self) -> "Pool":
        from retinue.run.models.direct.pool import Pool  # noqa: PLC0415 - as above

        pool = Pool.here()
        if self._pool is not pool:
            self._pool = pool
            pool.hold()
        return pool


@dataclass(slots=True)
class _Answer:
    """What has come in of an answer."""

    tell: Callable[[str], None]
    text: str = ""
    steps: str = ""
    told: int = 0
    finish: ModelFinished | None = None

    def take(self, event: ModelEvent) -> None:
        if isinstance(event, TextDelta | RefusalDelta):
            self.text += event.text
            if len(self.text) > _LONGEST_ANSWER:
                raise ModelError("bad_output", f"its answer is longer than {_LONGEST_ANSWER:,}")
        elif isinstance(event, ReasoningDelta):
            self.steps = (self.steps + event.text)[:_LONGEST_STEPS]
            self._tell()
        elif isinstance(event, ModelFinished):
            self.finish = event

    def _tell(self) -> None:
        """Tell the lines that are whole by now."""
        while (end := self.steps.find("\n", self.told)) >= 0:
            line, self.told = self.steps[self.told : end].strip(), end + 1
            if line:
                self.tell(line)

    def result(self, name: str) -> ToolResult:
        text = self.text
        if self.finish and self.finish.reason in ("length", "content_filter"):
            cut = f"({name} was stopped before it was done: {self.finish.reason})"
            text = f"{text}\n\n{cut}".lstrip()
        return ToolResult(text, structured={"steps": self.steps} if self.steps else None)
