"""Mistakes found by any stage → diagnostics with their source line, in order, at most so many."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile

from retinue.diagnostics import Diagnostic, Location, in_order, printable

MAX_PER_FILE = 100
"""A file with more mistakes shows this many; the rest are counted."""

_MAX_KEPT = 3 * MAX_PER_FILE
_MAX_EXCERPT = 10_000
_MAX_MESSAGE = 300
_MIN_HIDDEN = 8
_UNSEEN = re.compile(r"[^\x20-\x7e\xa1-\uffff]+")

Related = tuple[tuple[Location, str], ...]

# Shapes of the tokens that end up in files by mistake: they must not reach a log through an
# excerpt or a message.
# Each begins where a word begins, so that no text is searched twice.
_SECRET = re.compile(
    r"(?<![\w-])(?:(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}|(?:dapi|dose)[0-9a-f]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|xox[abp]-[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?)"
)
_NAMED = re.compile(
    r"(?i)((?:api[_-]?key|password|passwd|secret|token|authorization)['\"]?\s*[:=]\s*['\"]?"
    r"(?:bearer\s+|basic\s+)?)(?!\$\{)([^\s'\",}$]{8,})"
)
# A password may hold a slash or an @: what is masked ends at the last one.
_PASSWORD = re.compile(r"(://[^\s/:@]{0,100}:)((?!\$\{)[^\s'\"]{1,200})(?=@)")
_USER = re.compile(r"(://)((?!\$\{)[^\s/:@]{8,200})(?=@)")
LINE_BREAK = re.compile(r"\r\n|\r|\n")


def holds_secret(text: str) -> bool:
    """Whether a part of `text` has the shape of a provider's token."""
    return _SECRET.search(text) is not None


def masked(text: str) -> str:
    """`text` with everything that looks like a secret replaced, character for character."""
    text = _SECRET.sub(lambda m: "*" * len(m[0]), text)
    for pattern in (_PASSWORD, _USER):
        text = pattern.sub(lambda m: m[1] + "*" * len(m[2]), text)
    return _NAMED.sub(lambda m: m[1] + "*" * len(m[2]), text)


def quoted(text: str, limit: int = 40) -> str:
    """`text` as a message shows it: in double quotes, short, printable, without secrets.

    What can't be seen is escaped, so that two texts that look alike can be told apart.
    """
    visible = "".join(c if c.isprintable() or c in "\r\n\t" else _escaped(c) for c in text[:limit])
    shown = _one_line(visible + text[limit : 4 * limit])
    return f'"{shown[:limit]}…"' if len(text) > limit else f'"{shown}"'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _one_line(text: str) -> str:
    """Short, without secrets and without anything that a terminal would act on."""
    if len(text) > _MAX_MESSAGE:
        text = text[:_MAX_MESSAGE] + "…"
    return _clean(text)


@lru_cache(maxsize=500)
def _clean(text: str) -> str:
    """Most hints, and many messages, are the same text again and again."""
    return printable(masked(text))


def _shared(text: str, value: str) -> int:
    """How many characters both begin with."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, value, strict=False))
    )


def split_lines(text: str) -> list[str]:
    """The lines as editors count them: CRLF, CR or LF ends one, and nothing else does."""
    return LINE_BREAK.split(text)


class Report:
    """Collects what the stages find. Texts are added so that a diagnostic can show its line."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}
        self._lines: dict[str, Sequence[str]] = {}
        self._counts: dict[str, int] = {}
        self._shown: dict[tuple[str, int], str | None] = {}
        self._hidden: dict[str, str] = {}
        self._passed_over: frozenset[str] = frozenset()

    def add_lines(self, file: str, lines: Sequence[str]) -> None:
        self._lines.setdefault(file, lines)

    def hide(self, value: str, written: str) -> None:
        """Show `written` where a message would show what came from outside: it may be a secret."""
        for piece in _UNSEEN.split(value):
            if len(piece) >= _MIN_HIDDEN:
                self._hidden[piece] = written

    def pass_over(self, codes: frozenset[str]) -> None:
        """Say nothing more under these codes: what they would say may be wrong."""
        self._passed_over = codes

    def _said(self, text: str) -> str:
        """A message or a hint, clean. It may show a value's beginning alone."""
        for value, written in self._hidden.items():
            while (start := text.find(value[:_MIN_HIDDEN])) >= 0:
                text = text[:start] + written + text[start + _shared(text[start:], value) :]
        return _one_line(text)

    def sibling(self) -> "Report":
        """An empty report that knows the same texts."""
        other = Report()
        other._lines = self._lines
        other._hidden = self._hidden
        return other

    def error(
        self,
        place: Location,
        message: str,
        code: str,
        hint: str | None = None,
        related: Related = (),
    ) -> None:
        if code in self._passed_over or self._is_full(place.file):
            return
        message, hint = self._said(message), hint and self._said(hint)
        self.add(Diagnostic(place, message, code, hint, "error", self._line(place), related))

    def warning(self, place: Location, message: str, code: str, hint: str | None = None) -> None:
        if code in self._passed_over:
            return
        message, hint = self._said(message), hint and self._said(hint)
        self.add(Diagnostic(place, message, code, hint, "warning", self._line(place)))

    def _is_full(self, file: str) -> bool:
        """Whether one more mistake of a file is only counted."""
        full = self._counts.get(file, 0) >= _MAX_KEPT
        if full:
            self._counts[file] += 1
        return full

    def take(self, other: "Report") -> None:
        """Everything that another report holds."""
        for diagnostic in other._found:  # noqa: SLF001 - the same class
            self.add(diagnostic)

    def add(self, diagnostic: Diagnostic) -> None:
        file = diagnostic.location.file
        if diagnostic not in self._found:
            self._counts[file] = self._counts.get(file, 0) + 1
        if self._counts[file] <= _MAX_KEPT:
            self._found[diagnostic] = None

    def _line(self, place: Location) -> str | None:
        """The line as it may be shown; the same line isn't searched for secrets twice."""
        key = (place.file, place.line)
        if key not in self._shown:
            lines = self._lines.get(place.file, ())
            line = lines[place.line - 1] if place.line <= len(lines) else ""
            self._shown[key] = masked(line) if 0 < len(line) <= _MAX_EXCERPT else None
        return self._shown[key]

    @property
    def failed(self) -> bool:
        """Whether there is an error; warnings don't count."""
        return any(d.severity == "error" for d in self._found)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All of them in order; of each file the first MAX_PER_FILE and a count of the rest."""
        shown: list[Diagnostic] = []
        last: dict[str, Diagnostic] = {}
        seen: dict[str, int] = {}
        for diagnostic in in_order(self._found):
            file = diagnostic.location.file
            seen[file] = seen.get(file, 0) + 1
            if seen[file] <= MAX_PER_FILE:
                shown.append(diagnostic)
                last[file] = diagnostic
            if seen[file] == MAX_PER_FILE + 1:
                shown.append(self._left_out(last[file]))
        return tuple(shown)

    def _left_out(self, last: Diagnostic) -> Diagnostic:
        count = self._counts[last.location.file] - MAX_PER_FILE
        return Diagnostic(last.location, f"{count} more mistakes are not shown", "too-many")
