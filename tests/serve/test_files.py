"""Files over HTTP: with openai's own client, and with what no client sends."""

import io
import resource
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import openai
import pytest
from serving import LoopRuntime, eventually

from retinue.agent import Auth
from retinue.serve.admission import Access
from retinue.store.address import Address
from retinue.testing import ScriptedModel, agent

TEXT = ("notes.txt", b"The bakehouse sold 42 loaves.")


@pytest.fixture
def kept(tmp_path) -> Address:
    return Address(file=tmp_path / "state.db", files=str(tmp_path / "files"))


@pytest.fixture
def server(serving, kept):
    return serving(LoopRuntime(ScriptedModel()), store=kept)


def blobs(kept: Address) -> list[Path]:
    folder = Path(kept.files)
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_file_is_stored_listed_read_and_deleted(server, kept):
    with server.client as client:
        made = client.files.create(file=TEXT, purpose="user_data")
        assert (made.bytes, made.filename, made.purpose) == (29, "notes.txt", "user_data")
        assert made.id.startswith("file-") and made.expires_at is None
        assert client.files.retrieve(made.id) == made
        assert client.files.content(made.id).read() == TEXT[1]
        assert [file.id for file in client.files.list()] == [made.id]
        assert client.files.delete(made.id).deleted
        assert list(client.files.list()) == []
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(made.id)
        with pytest.raises(openai.NotFoundError):
            client.files.delete(made.id)
    assert blobs(kept) == []


def test_a_list_goes_on_where_its_last_page_ended(server):
    with server.client as client:
        made = [client.files.create(file=TEXT, purpose="user_data").id for _ in range(3)]
        other = client.files.create(file=TEXT, purpose="assistants").id
        page = client.files.list(limit=2, order="asc")
        assert ([file.id for file in page.data], page.has_more) == (made[:2], True)
        assert [file.id for file in client.files.list(limit=1)] == [other, *reversed(made)]
        found = client.files.list(purpose="assistants")
        assert [file.id for file in found] == [other]
        for wrong in ({"limit": "0"}, {"limit": "x"}, {"order": "up"}, {"after": "file-none"}):
            assert server.http.get("/v1/files", params=wrong).status_code in (400, 404)


def test_a_file_can_go_by_itself(server):
    with server.client as client:
        hour = {"anchor": "created_at", "seconds": 3600}
        made = client.files.create(file=TEXT, purpose="user_data", expires_after=hour)
        assert made.expires_at == made.created_at + 3600
        for wrong in ({"anchor": "created_at", "seconds": 1}, {"anchor": "x", "seconds": 3600}):
            with pytest.raises(openai.BadRequestError):
                client.files.create(file=TEXT, purpose="user_data", expires_after=wrong)


def test_a_file_is_nobody_elses(serving, kept):
    env = {"RETINUE_API_KEYS": "first-key-of-two second-key-of-two"}
    agents = [agent("tester", auth=Auth(mode="api_key"))]
    runtime = LoopRuntime(ScriptedModel(), agents=agents)
    server = serving(runtime, store=kept, access=Access(agents, env))

    def client(key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)

    with client("first-key-of-two") as mine, client("second-key-of-two") as theirs:
        file_id = mine.files.create(file=TEXT, purpose="user_data").id
        assert list(theirs.files.list()) == []
        for ask in (theirs.files.retrieve, theirs.files.content, theirs.files.delete):
            with pytest.raises(openai.NotFoundError, match="There is no file"):
                ask(file_id)
        with pytest.raises(openai.NotFoundError):
            theirs.files.list(after=file_id)
        assert mine.files.retrieve(file_id).id == file_id
    assert server.http.get(f"/v1/files/{file_id}").status_code == 401


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/cron.txt", "cron.txt"),
        ("C:\\windows\\win.txt", "win.txt"),
        ("a\x01b.txt", "ab.txt"),
        ("räum\u202e.txt", "räum.txt"),
        ("n" * 3000 + ".txt", "n" * 251 + ".txt"),
    ],
)
def test_a_name_is_no_path(server, kept, name, shown):
    with server.http as http:
        form = _form(name.encode(), b"text", purpose="user_data")
        answer = http.post("/v1/files", content=form, headers=_FORM)
        assert answer.status_code == 200, answer.text
        assert answer.json()["filename"] == shown
        content = http.get(f"/v1/files/{answer.json()['id']}/content")
    assert content.headers["content-disposition"].startswith("attachment;")
    assert "\n" not in content.headers["content-disposition"]
    assert [path.name for path in blobs(kept)] == [answer.json()["id"]]


@pytest.mark.parametrize(
    ("upload", "purpose", "code"),
    [
        (("run.exe", b"MZ"), "user_data", "unsupported_file_type"),
        (("none", b"text"), "user_data", "unsupported_file_type"),
        (("a.pdf", b"MZ this is a program"), "user_data", "unsupported_file_type"),
        (("a.txt", b"\0\0\0binary"), "user_data", "unsupported_file_type"),
        (("a.png", b"<svg onload=alert(1)>"), "vision", "unsupported_file_type"),
        (("a.txt", b""), "user_data", "invalid_value"),
        (("a.txt", b"text"), "fine-tune", "invalid_value"),
        (("a.txt", b"text"), None, "missing_required_parameter"),
    ],
)
def test_what_is_not_taken_leaves_nothing(server, kept, upload, purpose, code):
    name, content = upload
    form = _form(name.encode(), content, **({"purpose": purpose} if purpose else {}))
    answer = server.http.post("/v1/files", content=form, headers=_FORM)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert blobs(kept) == []
    assert server.http.get("/v1/files").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"content-type": "application/json"}, 415),
        (b"x", {"content-type": "multipart/form-data"}, 415),
        (b"x", {"content-type": "multipart/form-data; boundary=" + "b" * 300}, 415),
        (b"no form", {"content-type": "multipart/form-data; boundary=b"}, 400),
        (b'--b\r\ncontent-disposition: form-data; name="file"', None, 400),
        (b"--b--\r\n", None, 400),
    ],
)
def test_a_body_that_is_no_form(server, kept, body, headers, status):
    answer = server.http.post("/v1/files", content=body, headers=headers or _FORM)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert blobs(kept) == []


def test_pages_of_other_sites_store_and_delete_nothing(server):
    form = _form(b"a.txt", b"text", purpose="user_data")
    for site in ("cross-site", "same-site"):
        headers = {**_FORM, "sec-fetch-site": site}
        assert server.http.post("/v1/files", content=form, headers=headers).status_code == 403
        assert server.http.delete("/v1/files/file-1", headers=headers).status_code == 403


def test_an_upload_that_is_cut_leaves_nothing(server, kept):
    host, port = server.url.removeprefix("http://").split(":")
    form = _form(b"a.txt", b"x" * 100_000, purpose="user_data")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        head = (
            f"POST /v1/files HTTP/1.1\r\nhost: {host}\r\ncontent-type: {_FORM['content-type']}\r\n"
        )
        line.sendall(f"{head}content-length: {len(form)}\r\n\r\n".encode() + form[:50_000])
        eventually(lambda: blobs(kept) != [], within=10)
    eventually(lambda: blobs(kept) == [], within=10)


def test_a_gigabyte_is_refused_before_it_is_sent(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        head = (
            f"POST /v1/files HTTP/1.1\r\nhost: {host}\r\ncontent-type: {_FORM['content-type']}\r\n"
        )
        line.sendall(f"{head}content-length: {2**30}\r\n\r\n".encode())
        assert b" 413 " in line.recv(4096)


def test_an_endless_stream_is_refused_flat_in_memory(server, kept):
    def endless():
        yield _form(b"a.txt", b"", purpose="user_data").rpartition(b"\r\n--b--")[0]
        for _ in range(256):
            yield b"x" * 2**20

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The line may be closed while the client still sends.
    with suppress(httpx.TransportError):
        assert server.http.post("/v1/files", content=endless(), headers=_FORM).status_code == 413
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    assert blobs(kept) == []


def test_without_a_place_a_client_is_told_the_key(serving, tmp_path):
    away = Address(url=f"postgresql://nobody@/none?host={tmp_path}")
    server = serving(LoopRuntime(ScriptedModel()), store=away)
    with server.client as client, pytest.raises(openai.BadRequestError, match=r"store: \{files"):
        client.files.create(file=TEXT, purpose="user_data")
    server = serving(LoopRuntime(ScriptedModel()))
    with server.client as client, pytest.raises(openai.BadRequestError, match="set `store`"):
        client.files.list()


_FORM = {"content-type": "multipart/form-data; boundary=b"}


def _form(name: bytes, content: bytes, **fields: str) -> bytes:
    body = io.BytesIO()
    for field, value in fields.items():
        body.write(f'--b\r\ncontent-disposition: form-data; name="{field}"\r\n\r\n'.encode())
        body.write(value.encode() + b"\r\n")
    escaped = name.replace(b"\\", b"\\\\")
    body.write(b'--b\r\ncontent-disposition: form-data; name="file"; filename="' + escaped)
    body.write(b'"\r\n\r\n' + content + b"\r\n--b--\r\n")
    return body.getvalue()
