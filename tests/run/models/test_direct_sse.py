"""An event stream means the same, wherever it is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.errors import ModelError
from retinue.run.models.direct.sse import EventStream

PIECES = [
    "data: ",
    "data:",
    "data",
    "a",
    "{é}",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    ": x",
    "id: 1",
    " ",
    "\ufeff",
]


def events(*pieces: bytes) -> list[bytes]:
    stream = EventStream(1000)
    found = [event for piece in pieces for event in stream.take(piece)]
    return found + stream.end()


def by_the_book(text: str) -> list[bytes]:
    """The standard's own steps, line by line; the stream's end counts as a blank line."""
    found, data = [], []
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for line in [*text.split("\n"), ""]:
        name, _, value = line.partition(":")
        if not line and data:
            found.append("\n".join(data).encode())
            data = []
        elif name == "data":
            data.append(value.removeprefix(" "))
    return found


@given(st.lists(st.sampled_from(PIECES), max_size=30), st.lists(st.integers(0, 60), max_size=6))
def test_a_cut_changes_nothing(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    raw = text.encode()
    places = sorted({0, len(raw), *(min(cut, len(raw)) for cut in cuts)})
    parts = [raw[a:b] for a, b in pairwise(places)]
    assert events(*parts) == by_the_book(text)


def test_a_byte_at_a_time() -> None:
    raw = b"\xef\xbb\xbfdata: {\xc3\xa9}\r\n\r\nevent: x\rdata:b\r\rdata: c"
    assert events(*[bytes([byte]) for byte in raw]) == [b"{\xc3\xa9}", b"b", b"c"]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 300, b"data: " + b"x" * 300 + b"\n"])
def test_an_event_that_never_ends(piece: bytes) -> None:
    with pytest.raises(ModelError, match="more than 1,000 bytes"):
        events(*[piece] * 10)
