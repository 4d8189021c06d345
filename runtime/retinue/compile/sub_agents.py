"""Which agents call which → the names that don't exist, and the circles."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from retinue.compile.conduct_spec import SubAgentSpec
from retinue.compile.report import Report, quoted
from retinue.compile.tree import Node
from retinue.diagnostics import Location, did_you_mean

Calls = tuple[tuple[str, Location], ...]
"""The agents that one calls, each with the place that says so."""


def check_names(
    specs: Sequence[SubAgentSpec],
    root: Node,
    exists: Callable[[str], bool],
    known: Callable[[], Sequence[str]],
    report: Report,
) -> Calls:
    """The calls that lead to agents of the project; `known` lists those for a hint."""
    calls: dict[str, Location] = {}
    for index, spec in enumerate(specs):
        place = root.at(("sub_agents", index, "agent"))
        if not exists(spec.agent):
            message = f"there is no agent {quoted(spec.agent)}"
            report.error(place, message, "unknown-agent", did_you_mean(spec.agent, known()))
        elif spec.agent in calls:
            message = f"the agent {quoted(spec.agent)} is listed twice"
            report.error(place, message, "duplicate-agent", "remove one of them")
        else:
            calls[spec.agent] = place
    return tuple(calls.items())


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
            name, place = next(pending[-1], ("", None))
            if place is None:
                self._done.add(path.pop())
                pending.pop()
            elif name in path:
                yield Circle(tuple(path[path.index(name) :]), place)
            elif name not in self._done:
                path.append(name)
                pending.append(iter(self.calls.get(name, ())))
