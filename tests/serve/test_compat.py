"""The routes of older agent servers: sessions that are remembered, and nobody else's."""

import json

import pytest
from serving import LoopRuntime, eventually

from retinue.agent import Auth
from retinue.errors import UsageError
from retinue.run.runtime import Runtime
from retinue.serve.admission import Access
from retinue.serve.compat_settings import allowed_apis, refuse_unchecked, store_url
from retinue.serve.control import Control
from retinue.serve.overload import Capacity, House
from retinue.store.address import Address
from retinue.testing import ScriptedModel, agent, says


@pytest.fixture
def model():
    return ScriptedModel(*[says(f"answer {n}") for n in range(1, 6)])


@pytest.fixture
def kept(tmp_path):
    return Address(file=tmp_path / "state.db")


@pytest.fixture
def server(serving, model, kept):
    runtime = Runtime([agent("tester")], models={"scripted": lambda _route, _lookup: model})
    return serving(runtime, store=kept, compat="on")


def said(model) -> list[str]:
    return [m.content for m in model.requests[-1].messages if m.role != "system"]


def test_a_session_is_remembered_and_can_begin_anew(server, model):
    with server.http as http:
        first = http.post("/chat", json={"message": "one"}).json()
        assert (first["response"], first["agent"]) == ("answer 1", "tester")
        again = {"message": "two", "session_id": first["session_id"]}
        assert http.post("/chat", json=again).json()["response"] == "answer 2"
        assert said(model) == ["one", "answer 1", "two"]
        anew = {"AGENT_REINITIALIZE": "true"}
        assert http.post("/chat", json=again, headers=anew).json()["response"] == "answer 3"
        assert said(model) == ["two"]
        told = http.post("/agent/initialize", json={"session_id": first["session_id"]})
        assert told.json() == {"status": "initialized", "session_id": first["session_id"]}
        http.post("/chat", json=again)
        assert said(model) == ["two"]


def test_the_log_has_the_sessions_own_name(server, log):
    with server.http as http:
        http.post("/chat", json={"message": "one", "session_id": "thread-7"})
    eventually(lambda: "session=thread-7" in log.text, 10)


def test_a_stream_is_frames_of_data_alone(server):
    with server.http as http:
        answer = http.post("/chat/stream", json={"message": "one", "session_id": "s"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.splitlines() if line and not line.startswith(":")]
    assert lines[-1] == "data: [DONE]"
    frames = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(f["content"] for f in frames if f["type"] == "text") == "answer 1"
    assert frames[-1] == {"type": "end", "session_id": "s", "status": "completed"}


def test_a_file_comes_with_its_question(server, model):
    form = {"message": "What is in it?", "session_id": "s"}
    upload = {"file": ("sales.csv", b"loaves,42", "text/csv")}
    with server.http as http:
        answer = http.post("/chat/with-files", data=form, files=upload)
        assert answer.json()["response"] == "answer 1", answer.text
        assert "loaves,42" in said(model)[-1] and "What is in it?" in said(model)[-1]
        streamed = http.post("/chat/stream/with-files", data=form, files=upload)
        assert streamed.text.endswith("data: [DONE]\n\n")
        assert http.post("/chat/with-files", data=form).status_code == 415


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"message": ""}, 400),
        ({"message": 1}, 400),
        ({"message": "x", "session_id": "\n"}, 400),
        ({"message": "x", "agent": "none"}, 404),
    ],
)
def test_what_is_wrong_is_told_in_openais_form(server, body, status):
    for path in ("/chat", "/chat/stream"):
        answer = server.http.post(path, json=body)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_sessions_of_one_name_are_each_callers_own(serving, model, kept):
    agents = [agent("tester", auth=Auth(mode="api_key"))]
    runtime = Runtime(agents, models={"scripted": lambda _route, _lookup: model})
    access = Access(agents, {"RETINUE_API_KEYS": "first-key-of-two second-key-of-two"})
    server = serving(runtime, store=kept, access=access, compat="restart")
    question = {"message": "one", "session_id": "ours"}
    with server.http as http:
        assert http.post("/chat", json=question).status_code == 401
        for key in ("first-key-of-two", "second-key-of-two"):
            assert http.post("/chat", json=question, headers={"x-api-key": key}).is_success
            assert said(model) == ["one"]
            for path in ("/restart", "/kill"):
                assert http.post(path, headers={"x-api-key": key}).status_code == 403


def test_without_a_store_a_question_stands_alone(serving, model):
    runtime = Runtime([agent("tester")], models={"scripted": lambda _route, _lookup: model})
    with serving(runtime, compat="on").http as http:
        for _ in range(2):
            answer = http.post("/chat", json={"message": "one", "session_id": "s"})
            assert answer.json()["session_id"] == "s"
            assert said(model) == ["one"]


def test_what_is_not_switched_on_is_not_there(serving, server):
    with server.http as http:
        assert http.post("/restart").status_code == 404
        assert http.get("/prompts").json() == http.get("/v1/prompts").json()
    with serving(LoopRuntime(ScriptedModel())).http as http:
        assert http.post("/chat", json={"message": "one"}).status_code == 404


def test_a_restart_serves_the_files_anew(serving):
    async def reload() -> list[str]:
        return ["tester"]

    control = Control(House(Capacity()), reload)
    options = {"control": control, "compat": "restart", "reach": "local"}
    with serving(LoopRuntime(ScriptedModel()), **options).http as http:
        assert http.post("/restart").json() == {"status": "restarted", "agents": ["tester"]}


def test_a_place_in_the_house_is_given_back(serving, model):
    runtime = Runtime([agent("tester")], models={"scripted": lambda _route, _lookup: model})
    capacity = Capacity(max_concurrency=1)
    with serving(runtime, compat="on", capacity=capacity).http as http:
        for _ in range(3):
            assert http.post("/chat", json={"message": "one"}).is_success
        assert http.get("/status").json()["runs"] == 0


def test_the_settings_of_older_servers():
    assert set(allowed_apis("chat,health")) == {"chat", "responses", "invocations", "files"}
    assert "models" in allowed_apis("agent logs")
    with pytest.raises(UsageError, match="there is no mode 'all'"):
        allowed_apis("all")
    refuse_unchecked({"FORCE_AUTH": "0"}, ["sales"])
    refuse_unchecked({"FORCE_AUTH": "True"}, [])
    with pytest.raises(UsageError, match="who calls sales"):
        refuse_unchecked({"FORCE_AUTH": "True"}, ["sales"])
    parts = {"HOST": "db", "NAME": "logs", "USER": "me", "PASSWORD": "p@ss/word"}
    env = {f"LOGGING_DB_{key}": value for key, value in parts.items()}
    assert store_url(env) is None
    url = store_url({**env, "DB_LOGGING_ENABLED": "true"})
    assert url == "postgresql://me:p%40ss%2Fword@db:5432/logs"
    with pytest.raises(UsageError, match="LOGGING_DB_HOST is not"):
        store_url({"DB_LOGGING_ENABLED": "true"})
