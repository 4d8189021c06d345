"""Names that a server on loopback answers to where nothing checks its callers."""

import pytest
from serving import LoopRuntime, running

from retinue.agent import Auth
from retinue.serve.admission import VARIABLE, Access
from retinue.testing import ScriptedModel, agent


@pytest.fixture(scope="module")
def server():
    with running(LoopRuntime(ScriptedModel()), reach="local") as one:
        yield one


OWN = (
    "localhost",
    "LOCALHOST:8000",
    "app.localhost",
    "127.0.0.1:8000",
    "[::1]:8000",
    "[::1]",
    "192.168.1.7",
    "agents:8000",
    "host.docker.internal:8000",
    "mac.local.",
)
OTHERS = (
    "example.com",
    "example.com:8000",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "127.0.0.1.nip.io:80",
    "xlocalhost.com.",
    "evil.com:127.0.0.1",
)


@pytest.mark.parametrize("host", OWN)
def test_names_of_this_machine(server, host):
    with server.http as http:
        assert http.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", OTHERS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/health"])
def test_a_public_name_is_refused(server, host, path):
    body = {"messages": [{"role": "user", "content": "hi"}]}
    with server.http as http:
        answer = http.post(path, json=body, headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "unknown_host")
    assert answer.headers["x-request-id"]


def test_who_asks_for_a_key_or_is_reached_from_elsewhere_answers_to_any_name(serving):
    runtime = LoopRuntime(ScriptedModel())
    keyed = Access([agent("tester", auth=Auth(mode="api_key"))], {VARIABLE: "some-key"})
    key = {"host": "example.com", "authorization": "Bearer some-key"}
    for server, headers in (
        (serving(runtime, reach="local", access=keyed), key),
        (serving(runtime), {"host": "example.com"}),
    ):
        with server.http as http:
            assert http.get("/v1/models", headers=headers).status_code == 200
