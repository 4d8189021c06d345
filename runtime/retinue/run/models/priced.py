"""Agents with a limit on costs → nothing, or a refusal where a price isn't known."""

from collections.abc import Iterable

from retinue.agent import Agent
from retinue.errors import NotSupportedError
from retinue.route import Deployment
from retinue.run.models.catalogue import price
from retinue.run.sub_agents import with_sub_agents


def check_prices(agents: Iterable[Agent]) -> None:
    """Raises NotSupportedError, which names the models, where a `max_cost_usd` can't be kept.

    Sub-agents spend of their caller's budget: their models need a price as well.
    """
    for agent in agents:
        if agent.limits.max_cost_usd is None:
            continue
        unknown = dict.fromkeys(d.model for d in _asked(agent) if price(d) is None)
        if unknown:
            names = ", ".join(f"'{model}'" for model in unknown)
            raise NotSupportedError(
                f"{agent.name}: 'max_cost_usd' can't be kept, for what {names} costs isn't known: "
                "write 'price: {input: …, output: …}' on the model, in US dollars per million "
                "tokens"
            )


def _asked(agent: Agent) -> list[Deployment]:
    """Every deployment that a run of the agent may ask."""
    reached = with_sub_agents([agent]).values()
    routes = [route for one in reached for route in (one.model, *one.model.fallbacks)]
    return [deployment for route in routes for deployment in route.deployments]
