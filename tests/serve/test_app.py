"""Every path but the chat's answers; wrong requests, ids, limits; and what is written down."""

import json

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemas import conforms
from serving import QUESTION, LoopRuntime, eventually
from test_chat_request import json_values, request_like
from test_chat_request_wrong import WRONG

from retinue import __version__
from retinue.serve import app_for
from retinue.serve.overload import Capacity
from retinue.testing import ScriptedModel, says

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture
def server(serving):
    return serving(LoopRuntime({"sales": ScriptedModel(), "support": ScriptedModel()}))


@pytest.fixture
def http(server):
    with server.http as client:
        yield client


def error_of(response: httpx.Response, status: int) -> dict:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    conforms(response.json(), "ErrorResponse")
    return response.json()["error"]


def still_serves(http) -> bool:
    return http.post(CHAT, json={"messages": QUESTION}).status_code == 200


def test_models(server, http):
    conforms(http.get("/v1/models").json(), "ListModelsResponse")
    with server.client as client:
        assert [m.id for m in client.models.list()] == ["sales", "support"]
        assert client.models.retrieve("support").id == "support"
        assert client.models.retrieve("apps/support").id == "support"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("nobody")
    conforms(http.get("/v1/models/sales").json(), "Model")
    assert http.get("/v1/models").json() == http.get("/models").json()


@pytest.mark.parametrize("path", ["/health", "/api/v1/health", "/v1/health"])
def test_health(http, path):
    told = http.get(path).json()
    assert told["status"] == "healthy"
    assert told["version"] == __version__
    assert set(told["agents"]) == {"sales", "support"}


def test_the_root_says_what_this_is(http):
    told = http.get("/").json()
    assert told["agents"] == ["sales", "support"]
    more = {"chat/completions", "responses", "conversations", "files"}
    assert {*(f"POST /v1/{path}" for path in more), "POST /mcp"} <= set(told["endpoints"])


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/v1/models/sales"])
def test_head_is_get_without_a_body(http, path):
    head, get = http.head(path), http.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/chat", "/v1/embeddings"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path(http, method, path):
    assert error_of(http.request(method, path), 404)["code"] == "unknown_path"


def test_a_model_without_a_name_is_not_the_default_one(http):
    assert error_of(http.get("/v1/models/"), 404)["code"] == "unknown_path"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("DELETE", CHAT, "POST"),
        ("OPTIONS", CHAT, "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("PUT", "/v1/responses/resp_1", "DELETE, GET, HEAD"),
    ],
)
def test_a_wrong_method(http, method, path, allowed):
    response = http.request(method, path)
    assert error_of(response, 405)["code"] == "method_not_allowed"
    assert response.headers["allow"] == allowed
    assert f"takes {allowed}, not" in response.json()["error"]["message"]


@pytest.mark.parametrize("fields", [w[0] for w in WRONG[:6]], ids=[w[1] for w in WRONG[:6]])
def test_a_wrong_body(http, fields):
    raw = json.dumps({"messages": QUESTION, **fields})
    error_of(http.post(CHAT, content=raw, headers=JSON), 400)
    assert still_serves(http)


def test_a_body_that_is_not_json(http):
    assert error_of(http.post(CHAT, content=b"{", headers=JSON), 400)["code"] == "invalid_json"
    assert still_serves(http)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_does_not_claim_to_be_json(http, kind):
    response = http.post(
        CHAT, content=json.dumps({"messages": QUESTION}), headers={"content-type": kind}
    )
    error_of(response, 415)


def test_json_with_a_charset_is_json(http):
    body = json.dumps({"messages": QUESTION})
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert http.post(CHAT, content=body, headers=headers).status_code == 200


def test_a_compressed_body(http):
    error_of(http.post(CHAT, content=b"x", headers={**JSON, "content-encoding": "gzip"}), 415)


def test_a_page_of_another_site(http):
    body = {"messages": QUESTION}
    error_of(http.post(CHAT, json=body, headers={"sec-fetch-site": "cross-site"}), 403)
    same = http.post(CHAT, json=body, headers={"sec-fetch-site": "same-origin"})
    assert same.status_code == 200
    assert not any(name.startswith("access-control") for name in same.headers)


def test_a_body_that_is_too_large(serving):
    with serving(LoopRuntime(ScriptedModel()), capacity=Capacity(max_body=1000)).http as http:
        large = json.dumps({"messages": [{"role": "user", "content": "x" * 1000}]}).encode()
        whole = http.post(CHAT, content=large, headers=JSON)
        chunked = http.post(CHAT, content=iter([large[:600], large[600:]]), headers=JSON)
        assert error_of(whole, 413)["code"] == "request_too_large"
        assert error_of(chunked, 413)["code"] == "request_too_large"
        assert still_serves(http)


def test_a_large_body_within_the_limit(http):
    question = [{"role": "user", "content": "x" * 3_000_000}]
    assert http.post(CHAT, json={"messages": question}).status_code == 200


def test_a_body_in_pieces(http):
    raw = json.dumps({"messages": QUESTION}).encode()
    pieces = (raw[i : i + 5] for i in range(0, len(raw), 5))
    assert http.post(CHAT, content=pieces, headers=JSON).status_code == 200


def test_request_ids(http):
    made = [http.get("/health").headers["x-request-id"] for _ in range(3)]
    assert len(set(made)) == 3
    for path in ("/health", "/nowhere", CHAT):
        given = http.get(path, headers={"x-request-id": "trace-1:a.b_c"})
        assert given.headers["x-request-id"] == "trace-1:a.b_c"
    for unfit in ("x" * 129, "a b", "é"):
        answer = http.get("/health", headers={"x-request-id": unfit.encode()})
        assert answer.headers["x-request-id"].startswith("req_")


def test_one_line_is_written_per_request(server, log):
    def lines() -> list[str]:
        told = [r.getMessage() for r in log.records if r.name == "retinue.access"]
        return [line for line in told if "request_id=mine" in line]

    with httpx.Client(base_url=server.url, headers={"x-request-id": "mine"}) as http:
        http.post(CHAT, json={"messages": QUESTION, "model": "support"})
        http.post(CHAT, json={"messages": [], "model": "support"})
        http.get("/health%0A%1B?q=secret")
    # The line is written when the answer has gone out, which the client may see first.
    eventually(lambda: len(lines()) == 3, 30)
    one, two, three = lines()
    assert "method=POST path=/v1/chat/completions status=200 ms=" in one
    assert "agent=support input_tokens=10 output_tokens=1 request_id=mine" in one
    assert "status=400" in two
    assert "error=invalid_value" in two
    assert "path=/health%0A%1B status=404" in three
    assert "secret" not in three


def test_the_openapi_document_tells_of_every_route(http):
    document = http.get("/openapi.json").json()
    assert next(iter(document["paths"])) == CHAT
    assert set(document["paths"]) == {
        CHAT,
        "/v1/responses",
        "/responses",
        "/invocations",
        "/v1/responses/{response_id}",
        "/v1/responses/{response_id}/cancel",
        "/v1/responses/{response_id}/input_items",
        "/v1/conversations",
        "/v1/conversations/{conversation_id}",
        "/v1/conversations/{conversation_id}/items",
        "/v1/conversations/{conversation_id}/items/{item_id}",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/agents",
        "/health",
        "/health/live",
        "/health/ready",
        "/healthcheck",
        "/agent/info",
        "/status",
        "/metrics",
        "/v1/prompts",
        "/v1/admin/keys",
        "/v1/admin/keys/{key_id}",
        "/v1/admin/reload",
        "/v1/admin/drain",
        "/",
    }
    chat = document["paths"][CHAT]["post"]
    ref = chat["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    request = document["components"]["schemas"][ref.rpartition("/")[2]]
    assert request["required"] == ["messages"]
    assert "temperature" in request["properties"]
    refs = set(json.dumps(document).split('"#/components/schemas/')[1:])
    assert {r.split('"')[0] for r in refs} <= set(document["components"]["schemas"])


async def test_the_runtime_lives_as_long_as_the_app():
    runtime = LoopRuntime(ScriptedModel(says("x")))
    app = app_for(runtime)
    assert not runtime.open
    async with app.router.lifespan_context(app):
        assert runtime.open
    assert not runtime.open


def test_an_app_without_agents_is_refused():
    with pytest.raises(ValueError, match="no agents"):
        app_for(LoopRuntime({}))


async def test_the_chat_route_works_below_a_mount_too():
    from starlette.applications import Starlette
    from starlette.routing import Mount

    outer = Starlette(routes=[Mount("/agents", app_for(LoopRuntime(ScriptedModel(says("hi")))))])
    transport = httpx.ASGITransport(outer)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        answer = await client.post("/agents/v1/chat/completions", json={"messages": QUESTION})
    assert answer.json()["choices"][0]["message"]["content"] == "hi"


bodies = st.binary(max_size=100) | (json_values | request_like).map(
    lambda v: json.dumps(v).encode()
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(bodies, min_size=3, max_size=3))
async def test_no_body_makes_the_server_fail(raw_bodies):
    app = app_for(LoopRuntime(ScriptedModel(says("hi"))))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        for raw in raw_bodies:
            answer = await client.post(CHAT, content=raw, headers=JSON)
            assert answer.status_code < 500, raw
            if answer.status_code != 200:
                assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
