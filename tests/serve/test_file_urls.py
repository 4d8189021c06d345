"""Files by URL as parts of a request: fetched from hosts that the agent allows, else refused."""

import base64

import openai
import pytest

from retinue.agent import Serving
from retinue.errors import RequestError
from retinue.run.fetchable import NOT_FETCHED, Fetched
from retinue.run.messages import FilePart, ImagePart
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel, agent, says

PNG = b"\x89PNG\r\n\x1a\n"
SITE = {
    "https://files.example/a.csv": Fetched("a.csv", "text/csv", b"Loaves: 42"),
    "https://files.example/a.pdf": Fetched("a.pdf", "application/pdf", b"%PDF-1.4 x"),
    "https://files.example/a.png": Fetched("a.png", "image/png", PNG),
    "https://files.example/a.svg": Fetched("a.svg", "image/svg+xml", b"<svg/>"),
    "https://files.example/a.exe": Fetched("a.exe", "application/x-msdownload", b"MZ"),
}


@pytest.fixture
def model():
    return ScriptedModel(says("ok"), says("ok"))


@pytest.fixture
def site():
    return dict(SITE)


@pytest.fixture
def client(serving, model, site):
    agents = [agent("tester", serving=Serving(file_urls=("files.example",)))]
    runtime = Runtime(agents, models={"scripted": lambda _route, _lookup: model})

    async def fetch(url, hosts, most):
        assert (hosts, most <= 32 * 1024 * 1024) == (("files.example",), True)
        if url not in site:
            raise RequestError("gone", code=NOT_FETCHED)
        return site[url]

    runtime.attachments.fetch = fetch
    with serving(runtime).client as client:
        yield client


def at(url: str, **more) -> dict:
    return {"type": "input_file", "file_url": url, **more}


def question(*parts: dict) -> dict:
    return {"role": "user", "content": [{"type": "input_text", "text": "Look."}, *parts]}


def ask(client, *messages):
    return client.responses.create(model="tester", input=list(messages), store=False)


def sent(model):
    return model.requests[-1].messages[-1]


def test_a_file_becomes_text_or_goes_as_it_is(client, model):
    ask(client, question(at("https://files.example/a.csv", filename="sales.csv")))
    assert 'name="sales.csv"' in sent(model).content and "Loaves: 42" in sent(model).content
    ask(client, question(at("https://files.example/a.pdf"), at("https://files.example/a.png")))
    encoded = [base64.b64encode(data).decode() for data in (b"%PDF-1.4 x", PNG)]
    assert sent(model).parts[1:] == (
        FilePart(f"data:application/pdf;base64,{encoded[0]}", "a.pdf"),
        ImagePart(f"data:image/png;base64,{encoded[1]}"),
    )


def test_an_image_is_fetched_where_that_is_allowed_and_else_left_to_the_model(client, model):
    for url in ("https://files.example/a.png", "https://elsewhere.example/a.png"):
        ask(client, question({"type": "input_image", "image_url": url, "detail": "low"}))
    first, second = (request.messages[-1].parts[1] for request in model.requests)
    data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert first == ImagePart(data, "low")
    assert second == ImagePart("https://elsewhere.example/a.png", "low")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (at("https://elsewhere.example/a.csv"), "serve: {file_urls: […]}"),
        (at("https://files.example/a.exe"), "of no kind"),
        (at("https://files.example/a.svg"), "of no kind"),
        (at("https://files.example/gone"), "gone"),
        ({"type": "input_image", "image_url": "https://files.example/a.csv"}, "no image"),
        (at("https://10.0.0.1/a.csv"), "public"),
        (at("http://files.example/a.csv"), "https"),
        (at("https://me:secret@files.example/a.csv"), "name or password"),
    ],
)
def test_what_may_not_be_fetched_is_told(client, model, part, said):
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, question(part))
    assert said in raised.value.message
    assert "secret" not in raised.value.message
    assert model.requests == []


def test_ten_are_fetched_for_a_request_and_no_more(client, model):
    part = at("https://files.example/a.csv")
    ask(client, question(*[part] * 10))
    with pytest.raises(openai.BadRequestError, match="At most 10"):
        ask(client, question(*[part] * 11))
    assert len(model.requests) == 1


def test_what_is_gone_since_an_earlier_question_is_only_told_of(client, model, site):
    before = question(at("https://files.example/a.csv"))
    site.clear()
    later = [before, {"role": "assistant", "content": "42."}, {"role": "user", "content": "Sure?"}]
    ask(client, *later)
    assert "can't be fetched any more" in model.requests[-1].messages[-3].content
    with pytest.raises(openai.BadRequestError, match="gone"):
        ask(client, before)
