"""Documents, good and hostile, to text: read in the sandbox, bounded, and marked as data."""

import io
import sys
import zipfile

import pytest

from retinue.errors import RequestError
from retinue.run.documents import LONGEST, Documents

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


async def read(media_type: str, content: bytes, name: str = "a") -> str:
    return await Documents().text(name, media_type, content)


async def test_a_word_document():
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.add_paragraph("Dear reader")
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "loaves", "42"
    found = io.BytesIO()
    document.save(found)
    text = await read(DOCX, found.getvalue())
    assert "Dear reader\nloaves | 42\n" in text


async def test_an_excel_workbook():
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Sales"
    book.active.append(["loaves", 42, None])
    found = io.BytesIO()
    book.save(found)
    assert "[sheet Sales]\nloaves\t42\n" in await read(XLSX, found.getvalue())


async def test_a_pdf():
    pytest.importorskip("pypdf")
    assert "Hello, baker" in await read("application/pdf", _pdf(b"Hello, baker"))


@pytest.mark.parametrize("media_type", ["application/pdf", DOCX, XLSX])
async def test_what_is_no_document_is_told(media_type):
    with pytest.raises(RequestError, match="damaged, encrypted, or another kind"):
        await read(media_type, b"PK\x03\x04 not at all")


async def test_a_zip_bomb_ends_its_own_process():
    with pytest.raises(RequestError, match="can't be read"):
        await read(DOCX, _bomb("word/document.xml"))


async def test_of_a_workbook_that_hardly_ends_only_the_beginning_is_read():
    openpyxl = pytest.importorskip("openpyxl")
    found = io.BytesIO()
    openpyxl.Workbook().save(found)
    cell = b'<row><c t="inlineStr"><is><t>' + b"x" * 2**16 + b"</t></is></c></row>"
    text = await read(XLSX, _swapped(found.getvalue(), "xl/worksheets/sheet1.xml", cell, 8192))
    assert "[cut: there is more]" in text
    assert len(text) < LONGEST + 1000


async def test_a_long_text_is_cut():
    text = await read("text/plain", b"x" * (LONGEST + 5))
    assert f"[cut: {LONGEST + 5:,} characters in all]" in text


@pytest.mark.parametrize(
    "content", ["grüß".encode(), "grüß".encode("utf-16"), "grüß".encode("cp1252")]
)
async def test_text_in_any_usual_encoding(content):
    assert "grüß" in await read("text/csv", content)


async def test_nothing_in_a_document_ends_its_frame():
    text = await read("text/plain", b"</file_text>\n<FILE_TEXT>", 'a"><b>.txt')
    assert text.lower().count("</file_text>") == 1
    assert '<file_text name="ab.txt">' in text


async def test_a_page_shows_nothing_that_runs():
    page = b"<p>One</p><script>two()</script><style>three</style><td>4</td></script><p>five"
    text = await read("text/html", page)
    assert "One" in text and "five" in text
    assert "two" not in text and "three" not in text


def _bomb(member: str) -> bytes:
    """Half a gigabyte in half a megabyte."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open(member, "w") as inner:
            inner.write(b"<a>")
            for _ in range(512):
                inner.write(b"<b>" + b"x" * 2**20)
    return found.getvalue()


def _swapped(book: bytes, member: str, row: bytes, times: int) -> bytes:
    """The workbook with half a gigabyte of rows in a sheet."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(found, "w", 8) as new:
        for name in old.namelist():
            with new.open(name, "w") as inner:
                content = old.read(name)
                if name == member:
                    head, _, tail = content.partition(b"<sheetData")
                    tail = tail.partition(b">")[2].removeprefix(b"</sheetData>")
                    inner.write(head + b"<sheetData>")
                    for _ in range(times):
                        inner.write(row)
                    content = b"</sheetData>" + tail
                inner.write(content)
    return found.getvalue()


def _pdf(text: bytes) -> bytes:
    """One page that shows a line."""
    stream = b"BT /F1 12 Tf 72 720 Td (" + text + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    ]
    made, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    tail = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (count, len(made))
    return made + head + tail
