"""Two forms of an agent, as `manifest` tells them → what differs, place by place."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from retinue.values import JsonValue

_CONTEXT_LINES = 1


@dataclass(frozen=True, slots=True)
class Change:
    """`path` are keys from the top; `before` is None for what is new, `after` for what is gone."""

    path: tuple[str, ...]
    before: JsonValue
    after: JsonValue

    @property
    def sign(self) -> str:
        """`+` new, `-` gone, `~` another value."""
        if self.before is None:
            return "+"
        return "-" if self.after is None else "~"

    @property
    def lines(self) -> tuple[str, ...]:
        """How a text of several lines changed: lines with `-`, `+` or a space before them.

        Empty where it is no such text on both sides.
        """
        old, new = self.before, self.after
        if not (isinstance(old, str) and isinstance(new, str) and "\n" in f"{old}{new}".strip()):
            return ()
        both = old.splitlines(), new.splitlines()
        _from, _to, *lines = [*difflib.unified_diff(*both, lineterm="", n=_CONTEXT_LINES)] or (
            "",
            "",
        )
        return tuple(lines)


def changes(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> tuple[Change, ...]:
    """What differs, sorted by its place; a whole object that is new or gone is one change."""
    return tuple(_changes(before, after, ()))


def _changes(
    before: Mapping[str, JsonValue], after: Mapping[str, JsonValue], path: tuple[str, ...]
) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, (*path, key))
        elif old != new:
            yield Change((*path, key), old, new)
