"""What a server writes to its stderr → the part of it that says why it ended."""

import re
from collections import deque

from retinue.run.mcp.faults import clip

_MOST_LINES = 40
_RECENT = 12
_SHOWN = 4
_LONGEST = 500
_TRACEBACK = "Traceback (most recent call last):"
_TELLING = re.compile(
    r"error|\berr\b|exception|fatal|panic|fail|can(?:no|')t|could not|unable|not found|no such|"
    r"missing|fault\b|denied|invalid|refused|required|no solution|usage:",
    re.IGNORECASE,
)
# Frames of a stack, marks under code, and what package managers say of their logs.
_NOISE = re.compile(
    r"at \S+|throw \w+;|[}\])~^ ]+$|File \"|npm (?:ERR!|error)\s*$|.*complete log of this run|"
    r"Node\.js v\d",
    re.IGNORECASE,
)


class LastWords:
    """The last lines heard, of which little is kept."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)

    def hear(self, line: str) -> None:
        """Take a line; secrets are out of it."""
        self._lines.append(line)

    def __str__(self) -> str:
        """The complaint, or else the last line."""
        return self.complaint or _joined(list(self._lines)[-1:])

    @property
    def complaint(self) -> str:
        """Of a Python traceback its end, else from the first recent complaint on; else nothing."""
        lines = list(self._lines)
        if _TRACEBACK in lines:
            last = len(lines) - lines[::-1].index(_TRACEBACK)
            ends = [n for n in range(last, len(lines)) if re.match(r"[\w.]+(?::|$)", lines[n])]
            return _joined(lines[ends[-1] :] if ends else lines[-1:])
        recent = [line for line in lines[-_RECENT:] if not _NOISE.match(line)]
        first = next((n for n, line in enumerate(recent) if _TELLING.search(line)), None)
        return "" if first is None else _joined(recent[first:])


def _joined(lines: list[str]) -> str:
    return clip("; ".join(lines[:_SHOWN]), _LONGEST)
