"""What an image, a sound or a file in a request becomes, and which are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.errors import RequestError
from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, TextPart
from retinue.serve.wire.content import audio_part, file_part, image_part, message_of

PIXEL = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="


def image(url, detail=None):
    return image_part(url, detail, param="here.url", detail_param="here.detail")


@pytest.mark.parametrize(
    "url",
    [
        PIXEL,
        "DATA:image/jpeg;charset=x;BASE64,/9j/",
        "https://example.com/a.png?b=c#d",
        "https://1.1.1.1/a.png",
        "https://[2606:4700::1111]:8443/a.png",
        "https://xn--bcher-kva.example./a",
    ],
)
def test_an_image_is_passed_on_as_it_was_written(url):
    assert image(url, "low") == ImagePart(url, "low")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "http://example.com/a.png",
        "file:///etc/passwd",
        "ftp://example.com/a",
        "https://",
        "https:///a.png",
        "https://localhost/a",
        "https://LOCALHOST./a",
        "https://db/a",
        "https://metadata.google.internal/a",
        "https://printer.local/a",
        "https://127.0.0.1/a",
        "https://127.1/a",
        "https://2130706433/a",
        "https://0x7f000001/a",
        "https://0177.0.0.1/a",
        "https://example.0x7f/a",
        "https://10.1.2.3/a",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/a",
        "https://[fd00::1]/a",
        "https://[::ffff:127.0.0.1]/a",
        "https://user:pass@example.com/a",
        "https://example.com:port/a",
        "https://[::1/a",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://exämple.com/",
        "https://example.com/" + "a" * 9000,
        "data:,hello",
        "data:image/png,plain",
        "data:image/png;base64,",
        "data:image/png;base64,%%%%",
        "data:image/png;base64,abc",
        "data:image/png;base64,ab\ncd",
        PDF,
    ],
)
def test_what_is_no_public_image_is_refused(url):
    with pytest.raises(RequestError) as caught:
        image(url)
    assert caught.value.param == "here.url"
    assert len(str(caught.value)) < 200


def test_an_unknown_detail_is_refused():
    with pytest.raises(RequestError) as caught:
        image(PIXEL, "microscopic")
    assert caught.value.param == "here.detail"


@given(st.text())
def test_any_text_is_an_image_or_a_request_error(url):
    for text in (url, f"https://{url}", f"data:{url}"):
        try:
            assert image(text).url == text
        except RequestError as error:
            assert error.param == "here.url"


def test_sound():
    given = {"param": "here.data", "format_param": "here.format"}
    assert audio_part("UklGRg==", "wav", **given) == AudioPart("UklGRg==", "wav")
    for data, sound, param in (("UklGRg", "wav", "here.data"), ("UklGRg==", "ogg", "here.format")):
        with pytest.raises(RequestError) as caught:
            audio_part(data, sound, **given)
        assert caught.value.param == param


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (PDF, None, FilePart(PDF)),
        (PDF, "report.pdf", FilePart(PDF, "report.pdf")),
        (PDF, "../../etc/pass\x00wd", FilePart(PDF, "passwd")),
        (PDF, "C:\\temp\\a.pdf", FilePart(PDF, "a.pdf")),
        ("JVBERi0=", "a.pdf", FilePart(PDF, "a.pdf")),
    ],
)
def test_a_file_has_its_kind_and_a_bare_name(data, name, expected):
    assert file_part(data, name, param="here") == expected


@pytest.mark.parametrize(
    ("data", "name"), [("JVBERi0=", None), ("JVBERi0=", "a.nothing"), ("", "a.pdf"), ("?", "a.pdf")]
)
def test_a_file_of_no_kind_is_refused(data, name):
    with pytest.raises(RequestError) as caught:
        file_part(data, name, param="here")
    assert caught.value.param == "here"


def test_text_alone_needs_no_parts():
    words = [TextPart("a"), TextPart("b")]
    assert message_of("user", words, name="Ann") == Message("user", "a\nb", name="Ann")
    mixed = [TextPart("a"), ImagePart(PIXEL), TextPart("b")]
    assert message_of("user", mixed) == Message("user", "a\nb", parts=tuple(mixed))
