"""Bytes of a file → its text: UTF-8, no byte order mark, no characters that YAML forbids."""

import re

from retinue.compile.report import Report, split_lines
from retinue.diagnostics import Location

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SAVE = "save the file as UTF-8"
# What YAML 1.2 forbids (https://yaml.org/spec/1.2.2/#51-character-set), and the separators that
# libyaml takes for line breaks while editors don't: the two would count lines differently.
_DISALLOWED = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def decode(file: str, data: bytes, report: Report) -> str | None:
    """The text, or None with the reason in `report`."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        report.error(Location(file), "the file is UTF-16, not UTF-8", "not-utf8", _SAVE)
        return None
    try:
        return data.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        start = error.start
        bad = error.object[start]
    before = split_lines(data[:start].removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace"))
    report.error(
        Location(file, len(before), len(before[-1]) + 1),
        f"the file is not UTF-8: byte 0x{bad:02x} has no meaning here",
        "not-utf8",
        _SAVE,
    )
    return None


def decode_text(file: str, data: bytes, report: Report) -> str | None:
    """As `decode`, for a text that is sent on as it stands: a NUL character is refused too."""
    text = decode(file, data, report)
    before, nul, _ = (text or "").partition("\0")
    if not nul:
        return text
    lines = split_lines(before)
    place = Location(file, len(lines), len(lines[-1]) + 1)
    report.error(place, "the character U+0000 is not allowed", "control-character", "remove it")
    return None


def blanked(text: str) -> str:
    """`text` with a space for every character that YAML forbids: places stay the same."""
    return _DISALLOWED.sub(" ", text)


def has_forbidden(file: str, text: str, report: Report) -> bool:
    """Whether `text` has a character that YAML forbids; the first one is reported."""
    if not _DISALLOWED.search(text):
        return False
    for number, line in enumerate(split_lines(text), 1):
        if found := _DISALLOWED.search(line):
            report.error(
                Location(file, number, found.start() + 1),
                f"the character U+{ord(found[0]):04X} is not allowed",
                "control-character",
                f"remove it, or write it as \\u{ord(found[0]):04x} in double quotes",
            )
            break
    return True
