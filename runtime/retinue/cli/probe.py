"""Deployments → one small real call each: how long it took, what it cost, or why it failed."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any

from retinue.errors import ModelError
from retinue.route import Deployment, Route
from retinue.run.events import ModelFinished, ModelRetried
from retinue.run.messages import Message
from retinue.run.models.routed import RoutedModel
from retinue.run.ports import Lookup, ModelFactory, ModelRequest

_QUESTION = (Message("user", "Answer with the one word: ready"),)
_LONGEST = 64
# With these a model needs more tokens than the answer has.
_THINKING = ("reasoning_effort", "thinking")
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of one call. Times are in seconds; `error` says why there was no answer."""

    route: str
    model: str
    seconds: float
    first_token: float | None = None
    finish: ModelFinished | None = None
    error: ModelError | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        done, wrong = self.finish, self.error
        return {
            "route": self.route,
            "model": self.model,
            "ok": wrong is None,
            "answered_by": done and done.model,
            "first_token_seconds": self.first_token and round(self.first_token, 3),
            "seconds": round(self.seconds, 3),
            "usage": done and asdict(done.usage),
            "error": wrong and {"kind": wrong.kind, "message": str(wrong)},
        }

    def line(self) -> str:
        """For people."""
        if self.error or self.finish is None:
            return f"failed  {self.route}  {self.model}: {self.error}"
        used = self.finish.usage
        cost = "cost unknown" if used.cost_usd is None else f"${used.cost_usd:.6f}"
        return (
            f"ok      {self.route}  {self.finish.model or self.model}  "
            f"first token {self.first_token or self.seconds:.2f} s, total {self.seconds:.2f} s, "
            f"tokens {used.input_tokens} + {used.output_tokens}, {cost}"
        )


async def probed(
    wanted: Sequence[tuple[Route, Deployment]],
    models: Mapping[str, ModelFactory],
    lookup: Lookup,
) -> list[Probe]:
    """Each deployment of a route asked once, several at a time; the results in the same order."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(route: Route, deployment: Deployment) -> Probe:
        async with places:
            return await _asked(route, deployment, models, lookup)

    return await asyncio.gather(*(one(route, deployment) for route, deployment in wanted))


async def _asked(
    route: Route, deployment: Deployment, models: Mapping[str, ModelFactory], lookup: Lookup
) -> Probe:
    # There is no caller here: whoever runs this is one, and their own identity is asked with.
    alone = (replace(deployment, auth="app"),)
    tried = replace(route, deployments=alone, fallbacks=(), retries=0)
    model = RoutedModel(tried, models, lookup)
    first: float | None = None
    finish: ModelFinished | None = None
    try:
        await model.warm()
        began = time.monotonic()
        try:
            async with aclosing(model.stream(_request(route))) as events:
                async for event in events:
                    if isinstance(event, ModelFinished):
                        finish = event
                    elif first is None and not isinstance(event, ModelRetried):
                        first = time.monotonic() - began
        except ModelError as error:
            seconds = time.monotonic() - began
            return Probe(route.name, deployment.model, seconds, first, error=error)
        return Probe(route.name, deployment.model, time.monotonic() - began, first, finish)
    finally:
        await model.aclose()


def _request(route: Route) -> ModelRequest:
    """A question with a short answer, at the route's own settings."""
    thinks = any(name in route.settings for name in _THINKING)
    return ModelRequest(messages=_QUESTION, settings={} if thinks else {"max_tokens": _LONGEST})
