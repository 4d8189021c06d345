"""What one caller may use: how often it asks, tokens and dollars, and what it is told of them."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from serving import QUESTION, LoopRuntime, eventually

from retinue.agent import CallerLimits
from retinue.errors import ModelError
from retinue.quotas import QuotaError
from retinue.run.events import ModelFinished, TextDelta, Usage
from retinue.serve.access import RequestRecord
from retinue.serve.admission import Access
from retinue.serve.identity import Identity
from retinue.serve.limits import Limits
from retinue.serve.meter import Meter, duration
from retinue.serve.shared_counts import SharedCounts
from retinue.serve.tally import Tally
from retinue.serve.wire.errors import RefusedError
from retinue.serve.wire.orders import Order
from retinue.store.address import Address
from retinue.testing import ScriptedModel, agent, says

CHAT = "/v1/chat/completions"
BODY = {"model": "tester", "messages": QUESTION}
DATABRICKS = {"DATABRICKS_APP_NAME": "x", "DATABRICKS_APP_PORT": "1"}
ADA, BOB = {"x-forwarded-user": "ada"}, {"x-forwarded-user": "bob"}
DAWN = 1_770_000_000.0
"""A Monday, 02:40:00 UTC."""


def answers(text: str = "hi", *, tokens: int = 10, usd: float | None = None):
    """A model's answer that takes so much."""
    usage = Usage(input_tokens=tokens - 1, output_tokens=1, cost_usd=usd)
    return [TextDelta(text), ModelFinished("stop", usage)]


@pytest.fixture
def limited(serving):
    """A client of a server with these limits, whose model gives these answers."""

    def serve(*script, agents=(), **limits) -> httpx.Client:
        runtime = LoopRuntime(ScriptedModel(*script or [says("hi")] * 9), agents=agents)
        access = Access(runtime.agents.values(), DATABRICKS)
        return serving(runtime, access=access, limits=Limits(**limits)).http

    return serve


def ask(http: httpx.Client, who, **more) -> httpx.Response:
    return http.post(CHAT, json={**BODY, **more}, headers=who)


def left(answer: httpx.Response, what: str = "requests") -> tuple[int, str, str]:
    prefix = "x-ratelimit-{}-" + what
    headers = [answer.headers[prefix.format(n)] for n in ("limit", "remaining")]
    assert answer.headers[prefix.format("reset")].endswith("s")
    return answer.status_code, *headers


def test_a_caller_may_ask_so_often_and_is_told_what_is_left(limited):
    http = limited(rate="2 per 2 hours")
    assert [left(ask(http, ADA)) for _ in range(2)] == [(200, "2", "1"), (200, "2", "0")]
    refused = ask(http, ADA)
    assert left(refused) == (429, "2", "0")
    assert refused.json()["error"] == {
        "message": "At most 2 requests per 2 hours are answered.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert 0 < int(refused.headers["retry-after"]) <= 7200
    assert left(ask(http, BOB)) == (200, "2", "1")
    assert left(ask(http, BOB, stream=True)) == (200, "2", "0")


def test_what_carries_no_run_is_not_counted(limited):
    http = limited(rate="2/hour")
    for _ in range(5):
        assert "x-ratelimit-limit-requests" not in http.get("/v1/models", headers=ADA).headers
    assert left(ask(http, ADA)) == (200, "2", "1")


def test_tokens_are_charged_when_a_run_is_over_streamed_or_not(limited):
    http = limited(*[answers(tokens=40)] * 9, tokens="100/day")
    assert left(ask(http, ADA), "tokens") == (200, "100", "100")
    assert left(ask(http, ADA, stream=True), "tokens") == (200, "100", "60")
    # The run that goes over it isn't cut.
    third = ask(http, ADA)
    assert left(third, "tokens") == (200, "100", "20")
    assert third.json()["choices"][0]["finish_reason"] == "stop"
    refused = ask(http, ADA)
    assert left(refused, "tokens") == (429, "100", "0")
    assert refused.json()["error"] == {
        "message": "You have used up what you may use, which is 100 tokens per day.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["x-should-retry"] == "false"
    assert ask(http, BOB).status_code == 200


def test_dollars_are_charged_too_and_have_no_headers(limited):
    http = limited(*[answers(usd=0.30)] * 9, usd="0.50/month", rate="100/hour")
    assert [ask(http, ADA).status_code for _ in range(3)] == [200, 200, 429]
    refused = ask(http, ADA)
    assert refused.json()["error"]["code"] == "insufficient_quota"
    assert "which is $0.50 per month" in refused.json()["error"]["message"]
    assert [name for name in refused.headers if name.startswith("x-ratelimit")] == [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ]


def test_a_run_in_the_background_is_charged_to_who_asked(serving, tmp_path):
    runtime = LoopRuntime(ScriptedModel(*[answers(tokens=100)] * 9))
    server = serving(
        runtime,
        access=Access(runtime.agents.values(), DATABRICKS),
        limits=Limits(tokens="100/day"),
        store=Address(file=tmp_path / "state.db"),
    )
    with server.http as http:
        body = {"model": "tester", "input": "hi", "background": True}
        begun = http.post("/v1/responses", json=body, headers=ADA)
        assert begun.status_code == 200
        path = f"/v1/responses/{begun.json()['id']}"
        eventually(lambda: http.get(path, headers=ADA).json()["status"] == "completed", 20)
        eventually(lambda: ask(http, ADA).status_code == 429, 20)
        assert ask(http, BOB).status_code == 200


def test_who_fails_has_asked_and_used_nothing(limited):
    fails = [ModelError("bad_request", "no")]
    http = limited(*[fails] * 9, tokens="100/day", rate="9/hour")
    assert left(ask(http, ADA))[2] == "8"
    failed = ask(http, ADA)
    assert (failed.status_code, left(failed)[2], left(failed, "tokens")[2]) == (400, "7", "100")


def test_the_project_says_what_holds_and_the_command_line_is_over_it(limited):
    told = replace(agent("tester"), caller_limits=CallerLimits(rate="1/hour", tokens="5/day"))
    http = limited(agents=[told], rate="7/hour")
    answer = ask(http, ADA)
    assert (left(answer)[1], left(answer, "tokens")[1]) == ("7", "5")


def test_without_limits_nothing_is_said_of_them(limited):
    answer = ask(limited(), ADA)
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


def record(subject: str = "ada", limits: Limits | None = None) -> RequestRecord:
    return RequestRecord("req_1", identity=Identity(user_id=subject, limits=limits))


async def test_a_keys_own_limits_come_first_one_by_one():
    usual = Limits(rate="1/day", tokens="100/day")
    async with Meter(usual, SharedCounts(Tally()), lambda: DAWN) as meter:
        one = record("key", Limits(rate="2/minute"))
        await meter.admit(one)
        assert dict(one.headers) == {
            b"x-ratelimit-limit-requests": b"2",
            b"x-ratelimit-remaining-requests": b"1",
            b"x-ratelimit-reset-requests": b"1m0s",
            b"x-ratelimit-limit-tokens": b"100",
            b"x-ratelimit-remaining-tokens": b"100",
            b"x-ratelimit-reset-tokens": b"21h20m0s",
        }


@pytest.mark.parametrize("limits", [None, Limits(tokens="100/day")])
def test_whoever_takes_up_a_run_in_the_background_knows_its_callers_limits(limits):
    order = Order(agent="a", body="{}", style="plain", session=None, key="key_1", limits=limits)
    assert Order.loaded(order.dumped()).identity == Identity(key="key_1", limits=limits)


@pytest.mark.parametrize("usage", [Usage(10**30), Usage(1, cost_usd=1e300)])
async def test_what_a_provider_makes_up_is_counted_as_far_as_databases_count(usage):
    tally = Tally()
    counts = SharedCounts(tally, clock=lambda: DAWN)
    async with Meter(Limits(tokens="5/day", usd="5/day"), counts, lambda: DAWN) as meter:
        one = record()
        one.usage = usage
        for _ in range(900):
            meter.charge(one)
        assert max(charge.amount for charge in tally.charges) < 2**63
        with pytest.raises(RefusedError):
            await meter.admit(one)


async def test_a_new_window_is_a_new_start():
    now = DAWN + 59.5
    async with Meter(Limits(rate="1/minute"), SharedCounts(Tally()), lambda: now) as meter:
        await meter.admit(record())
        with pytest.raises(RefusedError) as refused:
            await meter.admit(record())
        assert refused.value.answer.headers["retry-after"] == "1"
        now += 0.5
        await meter.admit(record())


async def test_more_or_fewer_counts_from_where_it_was():
    """A limit that was changed while callers are counted."""
    counts = SharedCounts(Tally())
    async with Meter(Limits(rate="3/day"), counts, lambda: DAWN) as meter:
        for _ in range(3):
            await meter.admit(record())
        with pytest.raises(RefusedError):
            await meter.admit(record())
    async with Meter(Limits(rate="6/day"), counts, lambda: DAWN) as meter:
        await meter.admit(record())


async def test_what_counters_hear_of_a_caller_tells_nobody_who_it_is():
    tally = Tally()
    async with Meter(Limits(rate="3/day"), SharedCounts(tally), lambda: DAWN) as meter:
        await meter.admit(record("ada@example.com"))
        await meter.admit(record("\ud800"))
    assert all("ada" not in charge.name for charge in tally.charges)
    assert all(len(charge.name) < 128 for charge in tally.charges)


async def test_many_at_once_are_let_in_as_often_as_one_after_the_other():
    async with Meter(Limits(rate="10/day"), SharedCounts(Tally()), lambda: DAWN) as meter:
        asked = [meter.admit(record()) for _ in range(25)]
        done = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(one, RefusedError) for one in done] == [False] * 10 + [True] * 15


@pytest.mark.parametrize(
    "seconds, text",
    [(1, "1s"), (59, "59s"), (60, "1m0s"), (360, "6m0s"), (3600, "1h0m0s"), (90_061, "25h1m1s")],
)
def test_how_long_as_openai_writes_it(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("limits", [{"rate": "often"}, {"tokens": "1.5/day"}, {"usd": "much/day"}])
def test_limits_that_are_none(limits):
    with pytest.raises(QuotaError, match="is not"):
        Limits(**limits)
