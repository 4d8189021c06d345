"""codes.md → every code that a diagnostic can carry, with what it means and how to mend it."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HEADING = re.compile(r"^(##?) (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Code:
    """A stable code. `summary` is one sentence, `text` the whole explanation in Markdown."""

    name: str
    group: str
    summary: str
    text: str


@cache
def codes() -> dict[str, Code]:
    """All codes by name, in the order of codes.md."""
    text = Path(__file__).with_name("codes.md").read_text(encoding="utf-8")
    _, *pieces = _HEADING.split(text)
    group, found = "", {}
    for level, name, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        if level == "#":
            group = name
        else:
            summary = body.strip().partition("\n\n")[0]
            found[name] = Code(name, group, " ".join(summary.split()), body.strip())
    return found
