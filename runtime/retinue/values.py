"""What compiled forms are made of: JSON, and texts with references in them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A value that isn't in the compiled form: it is looked up where it is used.

    `name` is a variable's name for `env`, `scope/key` for `secret`, `host` for `workspace`.
    """

    kind: Literal["env", "secret", "workspace"]
    name: str
    default: str | None = None

    def __str__(self) -> str:
        fallback = "" if self.default is None else f":-{self.default}"
        return f"${{{self.kind}.{self.name}{fallback}}}"


@dataclass(frozen=True, slots=True)
class Template:
    """Text with references in it. Its `str` shows the references, never their values."""

    parts: tuple[str | Ref, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.parts))

    def resolve(self, lookup: Callable[[Ref], str]) -> str:
        """The text with every reference replaced; `lookup` raises MissingReferenceError."""
        return "".join(part if isinstance(part, str) else lookup(part) for part in self.parts)


Text = str | Template
