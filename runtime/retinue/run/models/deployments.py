"""A `Route` → its open deployments, and which of them to ask next.

Those that failed lately rest; the others are drawn by weight.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence

from retinue.errors import ModelError
from retinue.route import Deployment, Route
from retinue.run.ports import Lookup, Model, ModelFactory

# Seconds of rest after the first failure; each further one doubles them.
_FIRST_REST = 5.0
_LONGEST_REST = 60.0
_FAILURES_OF_ONE_DOWN = 3


class Place:
    """A deployment, its open model, and how it has fared. Times are the event loop's."""

    __slots__ = ("_failures", "_rest_until", "deployment", "fault", "model")

    def __init__(self, deployment: Deployment, model: Model) -> None:
        self.deployment = deployment
        self.model = model
        self.fault: ModelError | None = None
        self._failures = 0
        self._rest_until = 0.0

    def rests(self, now: float) -> bool:
        """Whether it failed so lately that another should be asked."""
        return now < self._rest_until

    def is_down(self, now: float) -> bool:
        """Whether it has failed several times in a row, and rests."""
        return self._failures >= _FAILURES_OF_ONE_DOWN and self.rests(now)

    def failed(self, fault: ModelError, now: float) -> None:
        self.fault = fault
        self._failures += 1
        rest = min(_LONGEST_REST, _FIRST_REST * 2.0 ** min(self._failures - 1, 8))
        self._rest_until = now + max(rest, min(fault.retry_after or 0.0, _LONGEST_REST))

    def answered(self) -> None:
        if self._failures:
            self.fault, self._failures, self._rest_until = None, 0, 0.0


Draw = Callable[[Sequence[Place], Sequence[int]], Place]


def _by_weight(places: Sequence[Place], weights: Sequence[int]) -> Place:
    return random.choices(places, weights)[0]  # noqa: S311 - no secret


class Deployments:
    """A route, opened. `draw` picks one of several by their weights."""

    def __init__(
        self,
        route: Route,
        models: Mapping[str, ModelFactory],
        lookup: Lookup,
        draw: Draw = _by_weight,
    ) -> None:
        self.route = route
        self.places = tuple(
            Place(one, (models.get(one.provider) or models[""])(one, lookup))
            for one in route.deployments
        )
        self._draw = draw

    def next(self, tried: Collection[Place], now: float) -> Place:
        """One that wasn't tried and doesn't rest; else one not tried; else any."""
        if len(self.places) == 1:
            return self.places[0]
        fresh = [place for place in self.places if place not in tried]
        lively = [place for place in fresh if not place.rests(now)]
        among = lively or fresh or self.places
        if len(among) == 1:
            return among[0]
        return self._draw(among, [place.deployment.weight for place in among])

    def are_down(self, now: float) -> bool:
        """Whether none of them is worth asking now."""
        return all(place.is_down(now) for place in self.places)
