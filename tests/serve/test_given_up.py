"""Who hangs up, or whose run fails, has used what came until then; and who waits has it counted."""

import pytest
from serving import QUESTION, LoopRuntime, eventually

from retinue.errors import ModelError
from retinue.run.events import ReasoningDelta, TextDelta, Usage
from retinue.serve.admission import Access
from retinue.serve.limits import Limits
from retinue.serve.overload import Capacity
from retinue.serve.request_log import LogSettings
from retinue.testing import ScriptedModel, calls, says

CHAT = "/v1/chat/completions"
BODY = {"model": "tester", "messages": QUESTION}
DATABRICKS = {"DATABRICKS_APP_NAME": "x", "DATABRICKS_APP_PORT": "1"}
ADA, BOB = {"x-forwarded-user": "ada"}, {"x-forwarded-user": "bob"}
LONG = TextDelta("word " * 200)


@pytest.fixture
def limited(serving, address, tmp_path):
    """A client of a server whose callers have 200 tokens a day; its model gives these answers."""

    def serve(*script, functions=(), background=32):
        runtime = LoopRuntime(ScriptedModel(*script), functions)
        return serving(
            runtime,
            access=Access(runtime.agents.values(), DATABRICKS),
            limits=Limits(tokens="200/day"),
            store=address,
            log=LogSettings(tmp_path / "spool"),
            capacity=Capacity(background=background),
        ).http

    return serve


def refused(http, who) -> bool:
    """The run that may begin is given up before anything came."""
    with http.stream("POST", CHAT, json={**BODY, "stream": True}, headers=who) as answer:
        return answer.status_code == 429


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, BODY),
        ("/v1/responses", {"model": "tester", "input": "hi"}),
        ("/invocations", {"input": [{"role": "user", "content": "hi"}]}),
    ],
)
def test_who_hangs_up_before_the_end_has_used_what_came(limited, path, body):
    http = limited([LONG, 30])
    with http.stream("POST", path, json={**body, "stream": True}, headers=ADA) as answer:
        next(chunk for chunk in answer.iter_text() if "word" in chunk)
    eventually(lambda: refused(http, ADA), 20)
    assert not refused(http, BOB)
    (row,) = http.get("/v1/logs?order=asc&limit=1", headers=ADA).json()["data"]
    assert row["status"] == 499
    assert row["output_tokens"] == 254


def test_who_hangs_up_on_an_agents_thoughts_has_used_them(limited):
    http = limited([ReasoningDelta("word " * 200), LONG, 30])
    with http.stream("POST", CHAT, json={**BODY, "stream": True}, headers=ADA) as answer:
        next(chunk for chunk in answer.iter_text() if "word" in chunk)
    eventually(lambda: refused(http, ADA), 20)


def test_a_run_that_fails_has_used_what_its_first_answers_took(limited):
    def look() -> str:
        """Look."""
        return "ok"

    took = calls(("look", {}), usage=Usage(150, 60))
    http = limited(took, [ModelError("bad_request", "no")], functions=[look])
    assert http.post(CHAT, json=BODY, headers=ADA).status_code == 400
    assert http.post(CHAT, json=BODY, headers=ADA).status_code == 429


def test_a_run_in_the_background_that_is_cancelled_has_used_what_came(limited):
    http = limited([LONG, 30])
    body = {"model": "tester", "input": "hi", "background": True, "stream": True}
    with http.stream("POST", "/v1/responses", json=body, headers=ADA) as answer:
        text = ""
        for chunk in answer.iter_text():
            text += chunk
            if "word" in text:
                break
    name = "resp_" + text.partition('"resp_')[2].partition('"')[0]
    assert http.post(f"/v1/responses/{name}/cancel", headers=ADA).status_code == 200
    eventually(lambda: refused(http, ADA), 20)
    assert not refused(http, BOB)


def test_what_waits_its_turn_in_the_background_is_not_begun_on_a_budget_used_up(limited):
    http = limited([0.5, *says("long", usage=Usage(150, 60))], background=1)
    body = {"model": "tester", "input": "hi", "background": True}
    names = [http.post("/v1/responses", json=body, headers=ADA).json()["id"] for _ in range(3)]
    other = http.post("/v1/responses", json=body, headers=BOB).json()["id"]

    def status(name, who):
        return http.get(f"/v1/responses/{name}", headers=who).json()

    eventually(lambda: status(other, BOB)["status"] == "completed", 30)
    assert status(names[0], ADA)["status"] == "completed"
    for name in names[1:]:
        told = status(name, ADA)
        assert told["status"] == "failed"
        assert "200 tokens per day" in told["error"]["message"]
