"""Bytes of a YAML file → a tree of plain values that know their place, or diagnostics.

The parser is libyaml's, read event by event: unlike composing nodes, that never recurses in C and
lets depth and size be refused before anything is built. Merge keys (`<<`) are supported, tags are
not.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

from yaml import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    MarkedYAMLError,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    YAMLError,
)
from yaml._yaml import CParser

from retinue.compile.report import Related, Report, quoted, split_lines
from retinue.compile.scalars import scalar
from retinue.compile.source_text import blanked, decode, has_forbidden
from retinue.compile.tree import INVALID, Document, Entry, Node
from retinue.compile.yaml_errors import around, explain
from retinue.diagnostics import Location, did_you_mean
from retinue.values import JsonValue

__all__ = ["AGENT_FILE", "FRONTMATTER", "Dialect", "Document", "parse", "read_document"]

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 10_000
"""Keys and values in one file, aliases counted as what they stand for."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is read. `strings`: every scalar stays text. `lenient`: tags are ignored, and
    characters that YAML forbids are read as spaces.
    """

    strings: bool = False
    lenient: bool = False


AGENT_FILE = Dialect()
FRONTMATTER = Dialect(strings=True, lenient=True)


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    """Reading can't go on; the reason is in the report."""


def read_document(
    file: str, data: bytes, report: Report, dialect: Dialect = AGENT_FILE
) -> Document | None:
    """The document in `data`, or None with the reason in `report`. Never raises for any bytes.

    Some mistakes (a duplicate key, a tag) are reported and leave a document to go on with.
    `file` is the name that places carry.
    """
    if len(data) > MAX_BYTES:
        message = f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are read"
        report.error(Location(file), message, "too-large", "move long texts to files of their own")
        return None
    text = decode(file, data, report)
    if text is None:
        return None
    report.add_lines(file, split_lines(text))
    if dialect.lenient:
        text = blanked(text)
    elif has_forbidden(file, text, report):
        return None
    return parse(file, text, report, dialect)


def parse(file: str, text: str, report: Report, dialect: Dialect = AGENT_FILE) -> Document | None:
    """As `read_document`, from text without a byte order mark or forbidden characters."""
    try:
        return Document(file, text, _Builder(file, text, report, dialect).document())
    except MarkedYAMLError as error:
        explain(file, text, error, report)
        if dialect is AGENT_FILE and (rest := around(text, error)):
            return _without(*rest, file, text, report)
    except YAMLError:
        report.error(Location(file), "this is not valid YAML", "yaml-syntax")
    except _Unreadable:
        pass  # the reason is in the report
    return None


def _without(
    keys: frozenset[str], rest: str, file: str, text: str, report: Report
) -> Document | None:
    """The document without keys whose values can't be read; None where that isn't all."""
    unheard = report.sibling()
    try:
        root = _Builder(file, rest, unheard, AGENT_FILE).document()
    except (YAMLError, _Unreadable):
        return None
    if not isinstance(root.value, dict) or unheard.failed:
        return None
    return Document(file, text, replace(root, absent=root.absent | keys))


_Collection = SequenceStartEvent | MappingStartEvent
_Anchored = ScalarEvent | _Collection


class _Builder:
    """One pass over the parser's events."""

    def __init__(self, file: str, text: str, report: Report, dialect: Dialect) -> None:
        self._file = file
        self._text = text
        self._report = report
        self._dialect = dialect
        # None comes only after the end of the stream.
        self._next = cast("Callable[[], Event]", CParser(text).get_event)
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def document(self) -> Node:
        self._next()  # the start of the stream
        start = self._next()
        if isinstance(start, StreamEndEvent):
            return Node(None, Location(self._file))
        if isinstance(start, DocumentStartEvent) and (start.tags or start.version not in _VERSIONS):
            self._error(start, "only the directive %YAML 1.2 is supported", "yaml-directive")
        root = self._node(self._next(), 0)
        self._next()  # the end of the document
        after = self._next()
        if isinstance(after, DocumentStartEvent):
            self._error(after, "a second document starts here", "multiple-documents", _ONE_DOCUMENT)
        return root

    def _node(self, event: Event, depth: int) -> Node:
        self._grow(1, event)
        if isinstance(event, AliasEvent):
            return self._alias(event, depth)
        if isinstance(event, ScalarEvent):
            return self._anchored(event, self._scalar(event))
        self._check_depth(depth + 1, event)
        if isinstance(event, SequenceStartEvent):
            return self._anchored(event, self._sequence(event, depth))
        mapping = cast("MappingStartEvent", event)
        return self._anchored(mapping, self._mapping(mapping, depth))

    def _anchored(self, event: _Anchored, node: Node) -> Node:
        if event.tag is not None and not self._dialect.lenient:
            place = self._place(event, len(self._match(_WORD, event)))
            self._report.error(place, "tags are not supported", "yaml-tag", _TAG)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _check_depth(self, depth: int, event: Event) -> None:
        if depth > MAX_DEPTH:
            self._error(event, f"values are nested deeper than {MAX_DEPTH} levels", "too-deep")
            raise _Unreadable

    def _grow(self, by: int, event: Event) -> None:
        self._count += by
        if self._count > MAX_NODES:
            self._error(event, f"the file holds more than {MAX_NODES:,} values", "too-many-values")
            raise _Unreadable

    def _alias(self, event: AliasEvent, depth: int) -> Node:
        name = event.anchor or ""
        target = self._anchors.get(name)
        if target is None:
            message = f"the alias *{name[:40]} has no anchor before it"
            hint = did_you_mean(name[:40], list(self._anchors)[:100])
            self._error(event, message, "unknown-alias", hint or "quote a value that starts with *")
            return Node(INVALID, self._place(event))
        self._grow(target.size - 1, event)
        self._check_depth(depth + target.height, event)
        return target

    def _scalar(self, event: ScalarEvent) -> Node:
        value: JsonValue = event.value
        if self._is_plain(event) and event.tag is None:
            try:
                value = scalar(event.value)
            except ValueError as error:
                self._error(event, str(error), "bad-number", "quote it if it is meant as text")
                return Node(INVALID, self._place(event))
        marks: Any = event  # the stubs make them optional; the parser always sets them
        span = (marks.start_mark.index, marks.end_mark.index)
        return Node(value, self._place(event), 1, span, event.style or "")

    def _is_plain(self, event: ScalarEvent) -> bool:
        return not event.style and not self._dialect.strings

    def _sequence(self, start: SequenceStartEvent, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        size = 1 + sum(item.size for item in items)
        return Node(items, self._place(start), size, height=_height(items))

    def _mapping(self, start: MappingStartEvent, depth: int) -> Node:
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        size = 1
        while not isinstance(event := self._next(), MappingEndEvent):
            key = self._key(event, depth)
            node = self._node(self._next(), depth + 1)
            size += 1 + node.size
            if key is None:
                continue
            if key == "<<" and self._is_plain(cast("ScalarEvent", event)):
                merged += self._merged(node)
            elif key in entries:
                self._duplicate(event, key, entries[key].key)
            else:
                entries[key] = Entry(self._place(event), node)
        for source in merged:
            entries = {**source.entries, **entries}
        height = _height(entry.node for entry in entries.values())
        return Node(entries, self._place(start), size, height=height)

    def _key(self, event: Event, depth: int) -> str | None:
        self._grow(1, event)
        if not isinstance(event, ScalarEvent):
            self._error(event, "a key must be text", "bad-key", self._key_hint(event))
            if not isinstance(event, AliasEvent):
                self._node(event, depth + 1)
            return None
        if event.anchor is not None:
            self._anchors[event.anchor] = Node(event.value, self._place(event))
        if self._is_plain(event) and not _is_text(event.value):
            message = f"a key must be text, got {event.value[:40] or 'nothing'}"
            self._error(event, message, "bad-key", "quote it")
            return None
        return str(event.value)

    def _key_hint(self, event: Any) -> str:
        start = event.start_mark.index
        return _BRACES if self._text[max(0, start - 1) : start + 1] == "{{" else "quote it"

    def _merged(self, node: Node) -> list[Node]:
        """What `<<` takes entries from; of several, the first that has a key wins."""
        sources = node.items or [node]
        for source in sources:
            if not isinstance(source.value, dict) and source.value is not INVALID:
                message = "<< takes an object or a list of objects to merge"
                self._report.error(source.place, message, "bad-merge")
        return [source for source in sources if isinstance(source.value, dict)]

    def _duplicate(self, event: Event, key: str, first: Location) -> None:
        message = f"the key {quoted(key)} is given twice"
        related = ((first, "first given here"),)
        self._error(event, message, "duplicate-key", "remove one of them", related)

    def _place(self, event: Any, width: int | None = None) -> Location:
        """Where the token stands; of a text of several lines, its first line."""
        start, end = event.start_mark, event.end_mark
        if width is None and start.line == end.line:
            width = end.column - start.column
        elif width is None:
            width = len(self._match(_LINE, event).rstrip())
        return Location(self._file, start.line + 1, start.column + 1, max(1, width))

    def _match(self, pattern: re.Pattern[str], event: Any) -> str:
        found = pattern.match(self._text, event.start_mark.index)
        return found[0] if found else ""

    def _error(
        self, event: Event, message: str, code: str, hint: str | None = None, related: Related = ()
    ) -> None:
        self._report.error(self._place(event), message, code, hint, related)


_VERSIONS = (None, (1, 2))
_LINE = re.compile(r"[^\r\n]*")
_WORD = re.compile(r"\S*")
_ONE_DOCUMENT = "a file holds one document: remove the line '---' and what follows"
_BRACES = "put a text that starts with {{ in quotes"
_TAG = "remove the tag; quote a value that starts with !"


def _height(inside: Iterable[Node]) -> int:
    return 1 + max((node.height for node in inside), default=0)


def _is_text(key: str) -> bool:
    try:
        return isinstance(scalar(key), str)
    except ValueError:
        return False
