"""What a YAML file holds, as a tree in which every value knows its place."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from retinue.compile.report import LINE_BREAK
from retinue.diagnostics import Location

INVALID = object()
"""The value of a node whose text was refused: the reason is in the report already."""

Path = tuple[str | int, ...]
"""Keys and indices from a document's root."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place and its value."""

    key: Location
    node: "Node"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place. `value` is a scalar, a list of nodes or a dict of entries.

    `size` counts the nodes in it, `height` the levels of collections. `span` is where a scalar's
    token starts and ends in the text, and `style` how it is written: `'`, `"`, `|`, `>` or nothing.
    `absent` names the keys that `without` took away.
    """

    value: object
    place: Location
    size: int = 1
    span: tuple[int, int] = (0, 0)
    style: str = ""
    absent: frozenset[str] = frozenset()
    height: int = 0

    @property
    def entries(self) -> dict[str, Entry]:
        """The entries of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list["Node"]:
        """The items of a sequence; empty for anything else."""
        return self.value if isinstance(self.value, list) else []

    def child(self, key: str | int) -> "Node | None":
        if isinstance(key, int):
            return self.items[key] if key < len(self.items) else None
        entry = self.entries.get(key)
        return entry.node if entry else None

    def find(self, path: Path) -> "Node":
        """The node at `path`, or the deepest one on the way to it."""
        node = self
        for step in path:
            below = node.child(step)
            if below is None:
                break
            node = below
        return node

    def at(self, path: Path) -> Location:
        """The place of the value at `path`, or of the nearest thing around it."""
        return self.find(path).place

    def key(self, path: Path) -> Location:
        """The place of the key that `path` ends in; of an item, the item's own."""
        entry = self.find(path[:-1]).entries.get(str(path[-1])) if path else None
        return entry.key if entry else self.at(path)

    def plain(self) -> object:
        """The value as dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def where(self, test: "Callable[[object], bool]") -> "list[tuple[Path, Node]]":
        """The scalars below whose value passes `test`, with their paths."""
        found: list[tuple[Path, Node]] = []
        self._collect(test, [], found)
        return found

    def _collect(
        self,
        test: "Callable[[object], bool]",
        path: list[str | int],
        found: "list[tuple[Path, Node]]",
    ) -> None:
        value = self.value
        if isinstance(value, dict):
            for key, entry in value.items():
                path.append(key)
                entry.node._collect(test, path, found)  # noqa: SLF001 - the same class
                path.pop()
        elif isinstance(value, list):
            for index, item in enumerate(value):
                path.append(index)
                item._collect(test, path, found)  # noqa: SLF001 - the same class
                path.pop()
        elif test(value):
            found.append((tuple(path), self))

    def without(self, paths: Iterable[Path]) -> "Node":
        """A copy that lacks the values at `paths` and names the missing keys in `absent`."""
        return self.changed(dict.fromkeys(paths))

    def changed(self, changes: "Mapping[Path, Node | None]") -> "Node":
        """A copy with other nodes at some paths; None takes a value away."""
        if () in changes:
            return changes[()] or Node(None, self.place)
        below: dict[str | int, dict[Path, Node | None]] = {}
        for path, node in changes.items():
            below.setdefault(path[0], {})[path[1:]] = node
        if not below or not isinstance(self.value, dict | list):
            return self
        gone = {step for step, inner in below.items() if () in inner and inner[()] is None}
        absent = self.absent | {step for step in gone if isinstance(step, str)}
        return replace(self, value=self._rebuilt(below, gone), absent=absent)

    def _rebuilt(
        self, below: "Mapping[str | int, Mapping[Path, Node | None]]", gone: set[str | int]
    ) -> object:
        if isinstance(self.value, dict):
            return {
                key: Entry(entry.key, entry.node.changed(below[key])) if key in below else entry
                for key, entry in self.value.items()
                if key not in gone
            }
        return [
            item.changed(below[index]) if index in below else item
            for index, item in enumerate(self.items)
            if index not in gone
        ]


@dataclass(frozen=True)
class Document:
    """A file's text and the tree that was read from it."""

    file: str
    text: str
    root: Node

    def place(self, offset: int, width: int = 1) -> Location:
        """The place of a character of the text."""
        line = bisect_right(self._starts, offset)
        return Location(self.file, line, offset - self._starts[line - 1] + 1, width)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in LINE_BREAK.finditer(self.text))]
