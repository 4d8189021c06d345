"""A failed model call → where and when it is made again, or the error that ends it."""

import asyncio
import random
from collections.abc import Sequence

from retinue.errors import ModelError, ModelFault
from retinue.route import FallbackOn, Route
from retinue.run.events import ModelRetried
from retinue.run.models.deployments import Deployments, Place

# Seconds. A provider that names a longer wait isn't waited for,
_LONGEST_WAIT = 30.0
# and where there is a fallback nobody waits longer than this.
_LONGEST_WAIT_BEFORE_FALLBACK = 5.0
_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 8.0

_PASSING: frozenset[ModelFault] = frozenset({"rate_limit", "timeout", "truncated", "unavailable"})
# Faults of one deployment's address or key: another of the route may do better.
_OF_ONE_PLACE: frozenset[ModelFault] = frozenset({"auth", "not_found"})

_FALLBACK_ON: dict[ModelFault, FallbackOn] = {
    "rate_limit": "rate_limit",
    "timeout": "timeout",
    "unavailable": "unavailable",
    "truncated": "unavailable",
    "context_window": "context_window",
    "content_filter": "content_filter",
    "auth": "auth",
}


class Attempts:
    """The tries of one call: `place` of `route` is the one to ask now.

    `routes` are the call's own and its fallbacks; `run_end` is when the whole run must end.
    `skipped` tells of routes that are down and weren't asked.
    """

    def __init__(self, routes: Sequence[Deployments], run_end: float | None) -> None:
        self._routes = routes
        self._run_end = run_end
        self._loop = asyncio.get_running_loop()
        # The last of each route.
        self._errors: dict[int, ModelError] = {}
        self._at = self._first_that_is_up()
        self._start_route()
        first = routes[0].places[0]
        self.skipped: ModelRetried | None = None
        if self._at and first.fault:
            self.skipped = ModelRetried(
                first.deployment.model, first.fault.kind, self.place.deployment.model
            )

    @property
    def now(self) -> float:
        return self._loop.time()

    @property
    def route(self) -> Route:
        return self._routes[self._at].route

    def _first_that_is_up(self) -> int:
        """Where to start: a route that is down is skipped for what it would be fallen back for."""
        for index, route in enumerate(self._routes):
            fault = route.places[0].fault
            if not (fault and self._falls_back_for(fault)) or not route.are_down(self.now):
                return index
        return 0

    def _start_route(self) -> None:
        self._tried: set[Place] = set()
        self._tries = 1
        self._end = self.now + self.route.timeout.total
        self.place = self._routes[self._at].next(self._tried, self.now)

    def first_moment(self) -> float:
        """When the attempt that starts now must have given its first output."""
        wait = self.route.timeout.first_token
        return self._end if wait is None else min(self._end, self.now + wait)

    def next_moment(self) -> float:
        """When an attempt that has just given output must give more."""
        idle = self.route.timeout.idle
        return self._end if idle is None else min(self._end, self.now + idle)

    def late(self, *, started: bool) -> ModelError:
        """What to raise when such a moment has passed."""
        limits, model = self.route.timeout, self.place.deployment.model
        if self.now >= self._end:
            words = f"did not answer within {limits.total:g} s"
        elif started:
            words = f"paused for more than {limits.idle:g} s"
        else:
            words = f"gave no output within {limits.first_token:g} s"
        return ModelError("timeout", f"'{model}' {words}")

    def after(self, error: ModelError) -> ModelRetried:
        """The next attempt, after `error` ended one without output. Raises the call's error."""
        failed = self.place
        self._errors[self._at] = error
        self._tried.add(failed)
        # A caller's own token says nothing about the deployment.
        its_own = failed.deployment.auth == "app"
        if error.kind in _PASSING or (error.kind in _OF_ONE_PLACE and its_own):
            failed.failed(error, self.now)
        wait = self._again(error)
        if wait is None:
            if not self._may_fall_back(error):
                raise self._final()
            self._at += 1
            self._start_route()
            wait = 0.0
        return ModelRetried(failed.deployment.model, error.kind, self.place.deployment.model, wait)

    def _again(self, error: ModelError) -> float | None:
        """Seconds to wait for another try on this route, at `place`; None for none."""
        if self._tries > self.route.retries:
            return None
        place = self._routes[self._at].next(self._tried, self.now)
        elsewhere = place not in self._tried
        if elsewhere and (error.kind in _PASSING or error.kind in _OF_ONE_PLACE):
            wait = 0.0
        elif error.kind in _PASSING and not error.permanent:
            wait = self._wait(error)
        else:
            return None
        longest = _LONGEST_WAIT_BEFORE_FALLBACK if self._may_fall_back(error) else _LONGEST_WAIT
        end = self._end if self._run_end is None else min(self._end, self._run_end)
        if wait > longest or self.now + wait >= end:
            return None
        self._tries += 1
        self.place = place
        return wait

    def _wait(self, error: ModelError) -> float:
        """As long as the provider says, or else with full jitter, so that callers spread out."""
        most = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** (self._tries - 1))
        jitter = random.uniform(0, most)  # noqa: S311 - no secret
        return jitter if error.retry_after is None else error.retry_after + jitter / 10

    def _may_fall_back(self, error: ModelError) -> bool:
        return self._at + 1 < len(self._routes) and self._falls_back_for(error)

    def _falls_back_for(self, error: ModelError) -> bool:
        return _FALLBACK_ON.get(error.kind) in self._routes[0].route.fallback_on

    def _final(self) -> ModelError:
        """The error of the route that was asked first, which tells of the fallbacks' errors too."""
        errors = list(self._errors.values())
        told = errors[0]
        words = dict.fromkeys(str(error) for error in errors)
        return ModelError(
            told.kind, "; then ".join(words), retry_after=told.retry_after, permanent=told.permanent
        )
