"""A tree → the keys in it that compile and can't be run yet."""

from collections.abc import Iterable, Iterator

from retinue.agent import Unsupported
from retinue.compile.report import Report
from retinue.compile.tree import Node, Path
from retinue.diagnostics import Location

_NOT_RUN_YET: tuple[tuple[str, ...], ...] = (("guardrails",),)
# `deploy` is not among them: nothing of it concerns a run.

_HARMLESS: tuple[object, ...] = ({}, [], "off")
"""Values that ask for nothing."""


def agent_unsupported(root: Node) -> tuple[Unsupported, ...]:
    """Those of an agent's whole tree."""
    return tuple(key for pattern in _NOT_RUN_YET for key in _found(root, pattern))


def warn(keys: Iterable[Unsupported], report: Report) -> None:
    """Say it where each key stands."""
    for key in keys:
        name = key.key.rpartition(".")[2]
        hint = "it is checked here, and refused when the agent is run"
        report.warning(key.place, f"'{name}' is not supported yet", "not-supported-yet", hint)


def _found(root: Node, pattern: tuple[str, ...]) -> Iterator[Unsupported]:
    for path, place, node in _matching(root, pattern, ()):
        if node.value not in _HARMLESS:
            yield Unsupported(place, ".".join(str(step) for step in path))


def _matching(
    node: Node, pattern: tuple[str, ...], path: Path
) -> Iterator[tuple[Path, Location, Node]]:
    """Path, key's place and value of everything in the tree that the pattern names."""
    step, rest = pattern[0], pattern[1:]
    known: list[tuple[str | int, Location, Node]] = [
        (key, entry.key, entry.node) for key, entry in node.entries.items()
    ]
    known += [(index, item.place, item) for index, item in enumerate(node.items)]
    for key, place, below in known:
        if step not in ("*", key):
            continue
        if rest:
            yield from _matching(below, rest, (*path, key))
        else:
            yield (*path, key), place, below
