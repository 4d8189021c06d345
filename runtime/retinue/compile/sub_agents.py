"""Which agents call which → the names that don't exist, the circles, and whole agents."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from hashlib import sha256
from typing import Literal

from retinue.agent import Agent, SubAgent
from retinue.compile.conduct_spec import SubAgentSpec
from retinue.compile.remote_agents import is_remote
from retinue.compile.report import Report, quoted
from retinue.compile.tree import Node
from retinue.diagnostics import Location, did_you_mean

MAX_DEPTH = 16
"""Agents that call one another, one after the other."""


@dataclass(frozen=True, slots=True)
class Call:
    """The agent that is called, and the place that says so."""

    name: str
    place: Location
    mode: Literal["tool", "handoff"] = "tool"


Calls = tuple[Call, ...]
"""The agents that one calls."""


def check_names(
    specs: Sequence[SubAgentSpec],
    root: Node,
    exists: Callable[[str], bool],
    known: Callable[[], Sequence[str]],
    report: Report,
) -> Calls:
    """The calls that lead to agents of the project; `known` lists those for a hint."""
    calls: dict[str, Call] = {}
    for index, spec in enumerate(specs):
        if is_remote(spec):
            continue
        place = root.at(("sub_agents", index, "agent"))
        if not exists(spec.agent):
            message = f"there is no agent {quoted(spec.agent)}"
            report.error(place, message, "unknown-agent", did_you_mean(spec.agent, known()))
        elif spec.agent in calls:
            message = f"the agent {quoted(spec.agent)} is listed twice"
            report.error(place, message, "duplicate-agent", "remove one of them")
        else:
            calls[spec.agent] = Call(spec.agent, place, spec.mode)
    return tuple(calls.values())


def linked(
    agents: Mapping[str, Agent], calls: Mapping[str, Calls], reports: Mapping[str, Report]
) -> dict[str, Agent]:
    """The agents with those that they call; without one that calls what couldn't be compiled.

    There is no circle among them. Too long a chain is told in the report of the agent at its head.
    """
    whole: dict[str, Agent] = {}
    depths: dict[str, int] = {}
    order = TopologicalSorter({name: [c.name for c in calls.get(name, ())] for name in agents})
    for name in order.static_order():
        called = calls.get(name, ())
        if name not in agents or any(call.name not in whole for call in called):
            continue
        deepest = max(called, key=lambda call: depths[call.name], default=None)
        depths[name] = 1 + (depths[deepest.name] if deepest else 0)
        if deepest and depths[name] > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} agents call one another"
            reports[name].error(deepest.place, message, "agents-too-deep")
            continue
        whole[name] = _with(agents[name], [(whole[call.name], call) for call in called])
    return whole


def _with(agent: Agent, others: Sequence[tuple[Agent, Call]]) -> Agent:
    if not others:
        return agent
    sources = {*agent.sources, *(source for other, _ in others for source in other.sources)}
    digests = [agent.digest, *(f"{other.digest} {call.mode}" for other, call in others)]
    return replace(
        agent,
        sub_agents=tuple(SubAgent(agent=other, mode=call.mode) for other, call in others),
        sources=tuple(sorted(sources)),
        digest=sha256("\n".join(digests).encode()).hexdigest()[:16],
    )


@dataclass(frozen=True, slots=True)
class Circle:
    """Agents that call each other; `place` is the call that closes the circle."""

    names: tuple[str, ...]
    place: Location

    def tell(self, report: Report) -> None:
        path = " → ".join([*self.names, self.names[0]])
        hint = "remove one of the calls"
        report.error(self.place, f"the agents call each other: {path}", "agent-cycle", hint)


def circles(calls: Mapping[str, Calls]) -> Iterator[Circle]:
    """A circle for every call that closes one, in the order of the names."""
    walk = _Walk(calls)
    for name in sorted(calls):
        yield from walk.circles(name)


@dataclass(slots=True)
class _Walk:
    """A depth-first walk with a stack of its own: chains may be long."""

    calls: Mapping[str, Calls]
    _done: set[str] = field(default_factory=set)

    def circles(self, start: str) -> Iterator[Circle]:
        if start in self._done:
            return
        path, pending = [start], [iter(self.calls.get(start, ()))]
        while path:
            call = next(pending[-1], None)
            if call is None:
                self._done.add(path.pop())
                pending.pop()
            elif call.name in path:
                yield Circle(tuple(path[path.index(call.name) :]), call.place)
            elif call.name not in self._done:
                path.append(call.name)
                pending.append(iter(self.calls.get(call.name, ())))
