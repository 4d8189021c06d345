r"""tests/compile/broken/codes/CODE.txt → the files of a small project with one mistake.

A case is plain text. It may begin with the command, `$ retinue validate …`; then come the files:

    -- agents/sales.yaml --        what follows is the file's text
    -- skills/a/x -> ../../x --    a link
    -- skills/a/{n}.md x 2001 --   that many files; {n} counts from 1, {n+1} in the text from 2
    -- prompts/a.md pipe --        a named pipe

`{x*2000}` in a text stands for 2,000 times x, `\t` and `\xNN` for a tab and a byte.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "tests" / "compile" / "broken" / "codes"

_HEADER = re.compile(
    r"^-- (?P<path>\S+?)(?: -> (?P<link>\S+)| x (?P<times>\d+)| (?P<pipe>pipe))? --\n", re.MULTILINE
)
_REPEAT = re.compile(r"\{(.)\*(\d+)\}")
_BYTE = re.compile(rb"\\x([0-9a-f]{2})")
_COMMAND = "$ retinue validate"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as the case writes it: `link` is where a link leads, `times` how many there are."""

    path: str
    text: str
    link: str | None = None
    times: int | None = None
    pipe: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One example: `command` is what is run in the project that the entries make."""

    name: str
    command: str
    entries: tuple[Entry, ...]

    @property
    def target(self) -> str | None:
        """What the command says after `--target`."""
        words = self.command.split()
        return words[words.index("--target") + 1] if "--target" in words else None

    def write(self, root: Path) -> None:
        """Make the project in the empty folder `root`."""
        (root / "agents").mkdir()
        for entry in self.entries:
            for number in range(1, (entry.times or 1) + 1):
                _write(root / entry.path.replace("{n}", str(number)), entry, number)


def cases() -> list[Case]:
    """All of them, by name."""
    return [read(path) for path in sorted(FOLDER.glob("*.txt"))]


def read(path: Path) -> Case:
    """The case in a file."""
    head, *pieces = re.split(r"^(?=-- )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return Case(path.stem, head.strip() or _COMMAND, tuple(_entries(pieces)))


def _entries(pieces: list[str]) -> Iterator[Entry]:
    for piece in pieces:
        header = _HEADER.match(piece)
        if header is None:
            raise ValueError(f"not a header: {piece.splitlines()[0]}")
        times = header["times"]
        yield Entry(
            header["path"],
            piece[header.end() :],
            header["link"],
            int(times) if times else None,
            bool(header["pipe"]),
        )


def _write(place: Path, entry: Entry, number: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if entry.link:
        place.symlink_to(entry.link)
    elif entry.pipe:
        os.mkfifo(place)
    else:
        place.write_bytes(_content(entry.text.replace("{n+1}", str(number + 1))))


def expanded(text: str) -> str:
    """A case's text with its repeats and tabs written out."""
    return _REPEAT.sub(lambda m: m[1] * int(m[2]), text).replace("\\t", "\t")


def _content(text: str) -> bytes:
    return _BYTE.sub(lambda m: bytes([int(m[1], 16)]), expanded(text).encode())
