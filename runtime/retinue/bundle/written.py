"""Bundle variables ⇄ stand-ins that compile: an app has one form for all targets.

An agent is compiled with a value for each variable. A bundle wants the variable itself, since a
target gives it its value. So the compiler gets stand-ins, and `Written.text` takes them back.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from retinue.values import Ref, Text

_STAND_IN = re.compile(r"retinue-var-(\d{4})")


@dataclass(frozen=True, slots=True)
class Written:
    """The variables that stand-ins are used for, in an order that gives each its number."""

    names: tuple[str, ...] = ()

    @property
    def stand_ins(self) -> Mapping[str, str]:
        """What to compile with. Any field that takes a text takes them."""
        return {name: f"retinue-var-{n:04d}" for n, name in enumerate(self.names)}

    def text(self, text: str) -> str:
        """The text with its variables as they were written: `${var.name}`."""
        return _STAND_IN.sub(self._variable, text)

    def at_deployment(self, text: Text) -> str | None:
        """The text as a bundle has it, or None where it holds a secret, which no bundle may.

        An environment variable gives its default: nothing else sets it in an app.
        """
        parts = (text,) if isinstance(text, str) else text.parts
        known = [self._part(part) for part in parts]
        return None if None in known else "".join(part for part in known if part)

    def _part(self, part: str | Ref) -> str | None:
        if isinstance(part, str):
            return self.text(part)
        return "${workspace.host}" if part.kind == "workspace" else part.default

    def _variable(self, match: re.Match[str]) -> str:
        number = int(match[1])
        return f"${{var.{self.names[number]}}}" if number < len(self.names) else match[0]
