"""A compilation → its model routes: who uses them, where they lead, what that costs and takes."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from retinue.compile import Compilation
from retinue.compile.report import masked
from retinue.diagnostics import did_you_mean
from retinue.errors import UsageError
from retinue.route import Deployment, Route
from retinue.run.models.catalogue import ModelFacts, facts, price


@dataclass(frozen=True, slots=True)
class Listed:
    """A route and the names of the agents that use it."""

    route: Route
    agents: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.route.name

    def deployments(self) -> tuple[Deployment, ...]:
        """The route's own and its fallbacks', each once."""
        routes = (self.route, *self.route.fallbacks)
        return tuple(dict.fromkeys(d for route in routes for d in route.deployments))


def listed(compilation: Compilation) -> list[Listed]:
    """retinue.yaml's routes in its order, then those that agents describe themselves.

    Routes that lead to the same places are one, whatever their settings.
    """
    found: dict[Hashable, tuple[Route, list[str]]] = {
        _leads_to(route): (route, []) for route in compilation.routes.values()
    }
    for agent in compilation.agents:
        _, users = found.setdefault(_leads_to(agent.model), (agent.model, []))
        users.append(agent.name)
    return [Listed(route, tuple(users)) for route, users in found.values()]


def _leads_to(route: Route) -> Hashable:
    spares = tuple((spare.name, spare.deployments) for spare in route.fallbacks)
    return route.name, route.deployments, spares


def chosen(routes: Sequence[Listed], name: str) -> list[Listed]:
    """The routes of that name, or else the one of the agent of that name. Raises UsageError."""
    by_name = [one for one in routes if one.name == name]
    found = by_name or [one for one in routes if name in one.agents]
    if not found:
        known = [*{one.name: None for one in routes}, *(a for one in routes for a in one.agents)]
        near = did_you_mean(name[:60], known)
        raise UsageError(f"there is no route '{name[:60]}'" + (f": {near}" if near else ""))
    return found


def as_plain(one: Listed) -> dict[str, Any]:
    """The route as JSON has it; keys and headers, which may be secrets, are left out."""
    return {
        "name": one.name,
        "agents": list(one.agents),
        "deployments": [_deployment(d) for d in one.route.deployments],
        "fallbacks": [
            {"name": spare.name, "deployments": [_deployment(d) for d in spare.deployments]}
            for spare in one.route.fallbacks
        ],
    }


def _deployment(deployment: Deployment) -> dict[str, Any]:
    known, paid = facts(deployment.model), price(deployment)
    return {
        "model": deployment.model,
        "provider": deployment.provider or None,
        "adapter": deployment.adapter,
        "auth": deployment.auth,
        "weight": deployment.weight,
        "api_base": deployment.api_base and masked(str(deployment.api_base)),
        "region": deployment.region and str(deployment.region),
        "context_window": known.context_window,
        "max_output": known.max_output,
        "takes": {name: getattr(known, name) for name in _CAPABILITIES},
        "price": paid and {**asdict(paid), "from": "file" if deployment.price else "list"},
    }


_CAPABILITIES = ("images", "audio", "pdf", "tools", "reasoning", "response_schema")


def lines(one: Listed) -> Iterator[str]:
    """The route for people."""
    used = f"used by {', '.join(one.agents)}" if one.agents else "not used"
    yield f"{one.name}  ({used})"
    for deployment in one.route.deployments:
        share = f" x{deployment.weight}" if len(one.route.deployments) > 1 else ""
        yield f"  {deployment.model}{share}  {_said(deployment)}"
    for spare in one.route.fallbacks:
        for deployment in spare.deployments:
            yield f"  else {deployment.model}  {_said(deployment)}"


def _said(deployment: Deployment) -> str:
    known = facts(deployment.model)
    takes = ", ".join(name.replace("_", " ") for name in _CAPABILITIES if getattr(known, name))
    where = f"at {masked(str(deployment.api_base))}" if deployment.api_base else ""
    parts = [where, _window(known), _price(deployment), takes]
    return "; ".join(part for part in parts if part)


def _window(known: ModelFacts) -> str:
    if known.context_window is None:
        return "context unknown"
    most = f", answers {known.max_output:,}" if known.max_output else ""
    return f"context {known.context_window:,}{most}"


def _price(deployment: Deployment) -> str:
    paid = price(deployment)
    if paid is None:
        return "price unknown"
    return f"${paid.input:.6g} in, ${paid.output:.6g} out per million"
