"""Bytes of an event stream, cut anywhere → the data of its events.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
"""

from retinue.errors import ModelError

_BOM = b"\xef\xbb\xbf"


class EventStream:
    """One stream. Raises ModelError for an event of more than `longest` bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        # Pieces of a line that hasn't ended yet.
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._begun = False

    def take(self, more: bytes) -> list[bytes]:
        """The data of the events that `more` completes. Events without data are left out."""
        if not self._begun:
            more = b"".join([*self._line, more])
            self._line.clear()
            self._begun = len(more) >= len(_BOM) or not _BOM.startswith(more)
            more = more.removeprefix(_BOM) if self._begun else more
        if b"\r" in more or self._after_return:
            more = self._with_plain_ends(more)
        *lines, rest = more.split(b"\n")
        events: list[bytes] = []
        if lines:
            lines[0] = b"".join([*self._line, lines[0]])
            self._line.clear()
            self._size = sum(map(len, self._data))
            events = self._events(lines)
        self._line.append(rest)
        self._size += len(rest)
        if self._size > self._longest:
            raise ModelError(
                "unavailable", f"the model sent an event of more than {self._longest:,} bytes"
            )
        return events

    def end(self) -> list[bytes]:
        """What the stream's end completes: some servers leave out the last blank line."""
        return self._events([b"".join(self._line), b""])

    def _with_plain_ends(self, more: bytes) -> bytes:
        """CRLF and CR as LF; a pair may have been cut in two."""
        if not more:
            return more
        if self._after_return and more.startswith(b"\n"):
            more = more[1:]
        self._after_return = more.endswith(b"\r")
        return more.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                value = line[6:] if line.startswith(b"data: ") else line[5:]
                self._data.append(value)
                self._size += len(value)
            elif not line and self._data:
                events.append(b"\n".join(self._data) if len(self._data) > 1 else self._data[0])
                self._data.clear()
                self._size = 0
            elif line == b"data":
                self._data.append(b"")
        return events
