"""A document's path → its text as JSON in a file. The program of a process in a sandbox.

Nothing of Retinue is imported: the sandbox shows it this file and the installed packages alone.
"""

import json
import mimetypes
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

_MOST_COLUMNS = 500
_SKIPPED = ("script", "style", "template", "noscript", "svg")
_BLOCKS = ("p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "section")


def pdf(path: Path) -> Iterator[str]:
    """Page after page."""
    from pypdf import PdfReader  # noqa: PLC0415 - each kind loads its own library

    for number, page in enumerate(PdfReader(path).pages, 1):
        yield f"[page {number}]\n{page.extract_text()}\n"


def docx(path: Path) -> Iterator[str]:
    """Paragraphs and tables, in order."""
    from docx import Document  # noqa: PLC0415
    from docx.table import Table  # noqa: PLC0415

    for block in Document(str(path)).iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                yield " | ".join(cell.text for cell in row.cells) + "\n"
        else:
            yield f"{block.text}\n"


def xlsx(path: Path) -> Iterator[str]:
    """Sheet after sheet, a line for each row that isn't empty."""
    # It would read /etc/mime.types, which the sandbox hides.
    mimetypes.knownfiles.clear()
    from openpyxl import load_workbook  # noqa: PLC0415

    # By its content: its path has no ending to go by.
    book = load_workbook(path.open("rb"), read_only=True, data_only=True)
    for sheet in book.worksheets:
        yield f"[sheet {sheet.title}]\n"
        # What a sheet says of its own size need not be true.
        sheet.reset_dimensions()
        for row in sheet.iter_rows(values_only=True, max_col=_MOST_COLUMNS):
            cells = ["" if value is None else str(value) for value in row]
            if any(cells):
                yield "\t".join(cells).rstrip("\t") + "\n"


class _Html(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, _attributes: Any) -> None:
        self._skipped += tag in _SKIPPED
        if tag in _BLOCKS:
            self.pieces.append("\n")
        elif tag in ("td", "th"):
            self.pieces.append("\t")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipped = max(0, self._skipped - 1)

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.pieces.append(data)


def html(path: Path) -> Iterator[str]:
    """What a reader would see, a line for each block that isn't empty."""
    parser = _Html()
    parser.feed(path.read_text(encoding="utf-8", errors="replace"))
    parser.close()
    for line in "".join(parser.pieces).splitlines():
        if shown := " ".join(line.split(" ")).strip():
            yield f"{shown}\n"


_READERS = {"pdf": pdf, "docx": docx, "xlsx": xlsx, "html": html}


def main(kind: str, document: str, told: str, most: int) -> None:
    """Up to `most` characters; what is over isn't even read."""
    pieces, size = [], 0
    for piece in _READERS[kind](Path(document)):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            break
    text = "".join(pieces)
    cut = f"{text[:most]}\n[cut: there is more]" if size > most else text
    Path(told).write_text(json.dumps(cut), encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
