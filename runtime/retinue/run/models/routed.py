"""A `Route` → a `Model`: its deployments and fallbacks behind one call that fails at most once.

A call is started, then finished with the provider's own reason, or failed with one ModelError.
It is made again, at the same deployment or another, only before any of its output went out.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from retinue.errors import ModelError
from retinue.route import Deployment, Route
from retinue.run.deadline import Deadline
from retinue.run.events import ModelEvent, ModelFinished, ModelRetried, ToolCallDelta
from retinue.run.models.attempts import Attempts
from retinue.run.models.catalogue import cost, facts, price
from retinue.run.models.deployments import Deployments, Place
from retinue.run.ports import Lookup, Model, ModelFactory, ModelRequest
from retinue.run.settings import over, within

log = logging.getLogger(__name__)

# Providers refuse it where there are none.
_ABOUT_TOOLS = "parallel_tool_calls"


class RoutedModel:
    """One route. `models` maps a provider, or `""` for the others, to what opens a deployment."""

    def __init__(self, route: Route, models: Mapping[str, ModelFactory], lookup: Lookup) -> None:
        self._routes = [Deployments(one, models, lookup) for one in (route, *route.fallbacks)]

    async def warm(self) -> None:
        """Warm every deployment, and look up what they cost. Idempotent."""
        await asyncio.gather(*(model.warm() for model in self._models()))
        await asyncio.to_thread(lambda: [price(place.deployment) for place in self._places()])

    async def aclose(self) -> None:
        """Close every deployment. Idempotent."""
        await asyncio.gather(*(model.aclose() for model in self._models()))

    def _models(self) -> list[Model]:
        return [place.model for place in self._places()]

    def _places(self) -> list[Place]:
        return [place for route in self._routes for place in route.places]

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """As `retinue.run.ports.Model.stream`, with a ModelRetried for every further attempt."""
        attempts = Attempts(self._routes, request.deadline)
        if attempts.skipped:
            yield _logged(attempts.skipped)
        while True:
            forwarded, failed = False, None
            async with aclosing(_attempt(attempts, request)) as events:
                try:
                    async for event in events:
                        forwarded = True
                        yield event
                except ModelError as error:
                    failed = error
            if failed is None:
                return
            if forwarded:
                attempts.place.failed(failed, attempts.now)
                raise failed
            hop = attempts.after(failed)
            yield _logged(hop)
            if hop.wait:
                await asyncio.sleep(hop.wait)


async def _attempt(attempts: Attempts, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
    """One call at one deployment, inside its route's deadlines; its events, priced."""
    place, limits = attempts.place, attempts.route.timeout
    deadline = Deadline(attempts.first_moment())
    started = finished = False

    def late() -> ModelError:
        return attempts.late(started=started)

    asked = _asked(attempts.route, place.deployment, request)
    async with aclosing(deadline.within(place.model.stream(asked), late)) as events:
        async for event in events:
            if limits.idle is not None or not started:
                deadline.move(attempts.next_moment())
            started = True
            if isinstance(event, ModelFinished):
                finished = True
                place.answered()
                yield _named(event, place)
            elif not isinstance(event, ToolCallDelta):
                yield event
    if not finished:
        model = place.deployment.model
        raise ModelError("truncated", f"the answer of '{model}' was cut off")


def _asked(route: Route, deployment: Deployment, request: ModelRequest) -> ModelRequest:
    settings = over(route.settings, request.settings)
    if request.most_tokens is not None:
        settings = within(settings, request.most_tokens, facts(deployment.model).max_output)
    if _ABOUT_TOOLS in settings and not request.tools:
        settings = {name: value for name, value in settings.items() if name != _ABOUT_TOOLS}
    if settings == request.settings and route.prompt_caching == request.prompt_caching:
        return request
    return replace(
        request,
        settings=settings,
        optional=frozenset(route.settings) - request.settings.keys(),
        prompt_caching=route.prompt_caching,
    )


def _named(event: ModelFinished, place: Place) -> ModelFinished:
    deployment, usage = place.deployment, event.usage
    priced = usage.costing(cost(deployment, usage))
    return ModelFinished(event.reason, priced, deployment.model)


def _logged(hop: ModelRetried) -> ModelRetried:
    log.warning(
        "model call failed: %s at '%s'; asking '%s' after %.1f s",
        hop.fault, hop.model, hop.next, hop.wait,
    )  # fmt: skip
    return hop
