"""A route and the length of a prompt → the most that one answer may take, or one that was cut."""

from collections.abc import Iterator

from retinue.route import Deployment, Route
from retinue.run.events import Usage
from retinue.run.models.catalogue import cost, facts
from retinue.run.settings import longest


def dearest(route: Route, input_tokens: int) -> Usage | None:
    """The longest answer that a deployment of the route or of a fallback gives, at the highest
    price; None where the longest isn't known. `cost_usd` is None where a price isn't.
    """
    total = Usage(input_tokens)
    for own, deployment in _deployments(route):
        output = longest(own.settings) or facts(deployment.model).max_output
        if output is None:
            return None
        written = input_tokens if own.prompt_caching else 0
        one = Usage(input_tokens, output, cache_write_tokens=written)
        dollars = cost(deployment, one)
        known = dollars is not None and total.cost_usd is not None
        total = Usage(
            input_tokens,
            max(output, total.output_tokens),
            cost_usd=max(dollars or 0.0, total.cost_usd or 0.0) if known else None,
        )
    return total


def cut_off(route: Route, input_tokens: int, output_tokens: int) -> Usage:
    """What a call takes that is given up amid its answer, at the highest price of the route's own
    deployments: which of them was asked, nobody tells then. `cost_usd` is None where a price is.
    """
    used = Usage(input_tokens, output_tokens)
    dollars = [cost(deployment, used) for deployment in route.deployments]
    known = [one for one in dollars if one is not None]
    return used.costing(max(known) if len(known) == len(dollars) else None)


def _deployments(route: Route) -> Iterator[tuple[Route, Deployment]]:
    for own in (route, *route.fallbacks):
        for deployment in own.deployments:
            yield own, deployment
