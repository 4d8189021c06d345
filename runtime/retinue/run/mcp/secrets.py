"""A `Lookup` → one that remembers what it gave out, to take it out of what a server says."""

import json
from typing import Any

from retinue.run.ports import Lookup
from retinue.values import Ref

# Shorter ones are found in ordinary words.
_SHORTEST = 6


class Secrets:
    """A `Lookup` for one session, and what to show in place of the values it looked up.

    A workspace's address and a default, which the agent's file shows anyway, are no secrets.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._shown: dict[str, str] = {}

    def __call__(self, ref: Ref) -> str:
        value = self._lookup(ref)
        if ref.kind != "workspace" and value != ref.default:
            self.note(value, str(ref))
        return value

    def note(self, value: str, shown: str) -> None:
        """Show `shown` wherever a server quotes `value`, or a whole line of it."""
        for part in (value, *value.splitlines()):
            if len(part.strip()) >= _SHORTEST:
                self._shown[part.strip()] = shown
                self._shown[json.dumps(part.strip(), ensure_ascii=False)[1:-1]] = shown

    def redacted(self, text: str) -> str:
        # The longest first: one value may hold another.
        for value in sorted(self._shown, key=len, reverse=True):
            text = text.replace(value, self._shown[value])
        return text

    def redacted_json(self, value: Any) -> Any:
        """The same for a JSON value's strings and names."""
        if isinstance(value, str):
            return self.redacted(value)
        if isinstance(value, list):
            return [self.redacted_json(item) for item in value]
        if isinstance(value, dict):
            return {self.redacted(key): self.redacted_json(item) for key, item in value.items()}
        return value
