"""An agent's tree → where each of its values was written."""

from dataclasses import dataclass

from retinue.compile.interpolate import Pending
from retinue.compile.report import masked
from retinue.compile.tree import Node
from retinue.diagnostics import Location


@dataclass(frozen=True, slots=True)
class Origin:
    """A value of an agent and where it was written: `model.settings.temperature`, `0.1`, a place.

    `value` is on one line, with references as they were written and secrets masked.
    """

    path: str
    value: str
    place: Location


def origins(root: Node) -> tuple[Origin, ...]:
    """All values of the tree, in the order of their keys."""
    return tuple(
        Origin(".".join(map(str, path)), _shown(node.value), node.place)
        for path, node in root.where(lambda _: True)
    )


def _shown(value: object) -> str:
    text = value.text if isinstance(value, Pending) else str(value)
    return " ".join(masked(text).split())
