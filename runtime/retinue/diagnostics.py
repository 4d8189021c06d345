"""Mistakes in a text → lines a person can act on: place, message, code, excerpt, caret, hint."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from retinue.errors import RetinueError

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A token's place: `file` relative to the project's root; `line` and `column` count from 1.

    `column` and `width`, the token's length on that line (at least 1), count code points.
    """

    file: str
    line: int = 1
    column: int = 1
    width: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def end_column(self) -> int:
        """The column after the token's last character."""
        return self.column + self.width


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: `message` is one lowercase sentence, `code` stable, `excerpt` the line."""

    location: Location
    message: str
    code: str
    hint: str | None = None
    severity: Severity = "error"
    excerpt: str | None = None
    related: tuple[tuple[Location, str], ...] = field(default=())

    def __str__(self) -> str:
        label = "" if self.severity == "error" else "warning: "
        return f"{self.location}: {label}{self.message} [{self.code}]"

    def render(self, *, colour: bool = False) -> str:
        """The whole block: headline, excerpt with caret, related places, hint.

        Nothing in it makes a terminal act but the escapes of `colour`.
        """
        kind = _RED if self.severity == "error" else _YELLOW
        label = "" if self.severity == "error" else "warning: "
        place = _styled(printable(f"{self.location}:"), _BOLD, colour)
        code = _styled(f"[{self.code}]", kind, colour)
        lines = [f"{place} {label}{printable(self.message)} {code}"]
        if self.excerpt is not None:
            shown, before, caret = _excerpt(self.location, self.excerpt)
            gutter = str(self.location.line)
            lines.append(f"  {gutter} | {shown}")
            lines.append(f"  {' ' * len(gutter)} | {before}{_styled(caret, kind, colour)}")
        lines += [f"  note: {printable(f'{place}: {note}')}" for place, note in self.related]
        if self.hint:
            lines.append(f"  {_styled('hint:', _CYAN, colour)} {printable(self.hint)}")
        return "\n".join(lines)


class CompileError(RetinueError):
    """Agent files have mistakes: all of them, sorted by place, without repeats."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = in_order(diagnostics)
        super().__init__("\n".join(str(d) for d in self.diagnostics))


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorted by file, line and column, without repeats."""
    unique = dict.fromkeys(diagnostics)
    return tuple(sorted(unique, key=lambda d: (d.location, d.code, d.message)))


# Comparing takes time by length and number; no one mistypes a text, or reads a long list.
_MAX_WORD = 100
_MAX_KNOWN = 300


def did_you_mean(word: str, known: Sequence[str]) -> str | None:
    """A hint that names the nearest of `known`, or all of them where they are few, or None."""
    if len(word) > _MAX_WORD:
        return None
    near = get_close_matches(word.lower(), known[:_MAX_KNOWN], n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    if 0 < len(known) <= 12:
        return f"one of: {', '.join(known)}"
    return None


def printable(text: str) -> str:
    """`text` with a space for every character that a terminal would act on or can't show."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


_BOLD, _RED, _YELLOW, _CYAN = "1", "31", "33", "36"


def _styled(text: str, style: str, colour: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if colour and text else text


# A minified line would drown the message; the caret stays in sight.
_WINDOW = 100


def _excerpt(place: Location, text: str) -> tuple[str, str, str]:
    """The line as shown, the blanks under it up to the caret, and the caret."""
    start = max(0, place.column - 1 - _WINDOW // 2) if len(text) > _WINDOW else 0
    shown = printable(text[start : start + _WINDOW])
    offset = place.column - 1 - start
    caret = "^" * max(1, _cells(shown[offset : offset + place.width]))
    beyond = max(0, offset - len(shown))
    return shown, " " * (_cells(shown[:offset]) + beyond), caret


def _cells(text: str) -> int:
    """How many cells of a terminal `text` takes: wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )
