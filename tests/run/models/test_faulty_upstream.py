"""An upstream's faults through the server and either adapter: a right answer, or one clean error.

In time, too. All of them are asked at once, streamed and not; each test then looks at one outcome.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from retinue.route import Timeouts
from retinue.run.references import environment
from retinue.run.runtime import Runtime
from retinue.testing import agent, route
from run.models.broken_upstreams import CUT, REFUSED
from run.models.fake_upstream import Many, Play, listening
from run.models.odd_upstreams import ENDS, RIGHT, TOOLS
from run.models.upstream_plays import TEXT
from serve.serving import running

SECRET = "sk-secret"
# What never comes to an end is waited for in vain, so not for long; a busy machine may take long
# over what does. Nothing may hang.
BRIEF = Timeouts(total=3.5, first_token=3.0, idle=3.0)
AMPLE = Timeouts(total=25.0, first_token=20.0, idle=20.0)
LATEST = 30.0
AT_ONCE = 16
LASTING = ("silent", "dripping", "endless")
STATM = Path("/proc/self/statm")

ALL: dict[str, Play] = {
    **RIGHT,
    **TOOLS,
    **CUT,
    **{name: play for name, (play, _) in REFUSED.items()},
    **{name: play for name, (play, _, _) in ENDS.items()},
}


class Faulty(Many):
    """An upstream whose first path segment names the fault."""

    def played(self, path: list[str], *, again: bool) -> tuple[str, Play]:
        play = ALL[path[0]]
        return path[0], getattr(play, "then", play) if again else play


@dataclass
class Outcome:
    """What a caller got. `finish` and `error` are the frames or objects that say how it ended."""

    status: int
    text: str
    finishes: list[str]
    errors: list[dict[str, Any]]
    raw: str
    seconds: float
    after: int = 0
    left: int = 0


def agents(url: str, adapter: str) -> list[Any]:
    return [
        agent(
            f"a{index}",
            # The plain one is an ordinary agent, which asks again where a kept connection is gone.
            model=route(
                "openai/m", api_base=f"{url}/{quote(name)}/v1", api_key=SECRET,
                retries=2 if name == "plain" else 0, adapter=adapter,
                timeout=BRIEF if name in CUT and name.startswith(LASTING) else AMPLE,
            ),
        )
        for index, name in enumerate(ALL)
    ]  # fmt: skip


async def ask(client: httpx.AsyncClient, name: str, *, stream: bool) -> Outcome:
    start = time.monotonic()
    body = {"model": name, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    answer = await client.post("/v1/chat/completions", json=body)
    seconds = time.monotonic() - start
    if stream and answer.status_code == 200:
        return streamed(answer, seconds)
    told = answer.json()
    if "error" in told:
        return Outcome(answer.status_code, "", [], [told["error"]], answer.text, seconds)
    (choice,) = told["choices"]
    text, finish = choice["message"]["content"] or "", choice["finish_reason"]
    return Outcome(answer.status_code, text, [finish], [], answer.text, seconds)


def streamed(answer: httpx.Response, seconds: float) -> Outcome:
    *events, done, end = [event for event in answer.text.split("\n\n") if not event.startswith(":")]
    assert (done, end) == ("data: [DONE]", "")
    frames = [json.loads(event.removeprefix("data: ")) for event in events]
    choices = [choice for frame in frames for choice in frame.get("choices", ())]
    return Outcome(
        200,
        "".join(choice["delta"].get("content") or "" for choice in choices),
        [choice["finish_reason"] for choice in choices if choice["finish_reason"]],
        [frame["error"] for frame in frames if "error" in frame],
        answer.text,
        seconds,
    )


class Peak:
    """The most memory in use above what was in use at the start."""

    megabytes = 0.0

    @staticmethod
    def _now() -> float:
        if sys.platform != "linux":
            return 0.0
        return int(STATM.read_text().split()[1]) * resource.getpagesize() / 2**20

    async def watch(self) -> None:
        start = self._now()
        while True:
            self.megabytes = max(self.megabytes, self._now() - start)
            await asyncio.sleep(0.02)


peak = Peak()


async def everything(adapter: str) -> dict[tuple[str, bool], Outcome]:
    names = list(ALL)
    plain = f"a{names.index('plain')}"
    gate = asyncio.Semaphore(AT_ONCE)
    async with listening(Faulty(RIGHT["plain"])) as fake:
        runtime = Runtime(agents(fake.url, adapter), lookup=environment({}))
        with running(runtime) as server:
            client = httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False)

            async def one(name: str, *, stream: bool) -> Outcome:
                async with gate:
                    outcome = await ask(client, f"a{names.index(name)}", stream=stream)
                    outcome.after = (await ask(client, plain, stream=stream)).status
                    return outcome

            async with client:
                pairs = [(name, stream) for name in names for stream in (False, True)]
                await ask(client, plain, stream=False)
                watching = asyncio.create_task(peak.watch())
                found = await asyncio.gather(*(one(name, stream=stream) for name, stream in pairs))
                for _ in range(200):
                    if not +fake.playing:
                        break
                    await asyncio.sleep(0.01)
        outcomes = dict(zip(pairs, found, strict=True))
        for name, stream in pairs:
            outcomes[name, stream].left = fake.playing[name]
        watching.cancel()
        return outcomes


@pytest.fixture(scope="module", params=["direct", "litellm"])
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, bool], Outcome]]:
    yield asyncio.run(everything(request.param))


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
Outcomes = dict[tuple[str, bool], Outcome]


def check(outcome: Outcome) -> None:
    """What holds for every answer."""
    assert len(outcome.finishes) + len(outcome.errors) == 1, outcome.raw
    assert SECRET not in outcome.raw
    assert outcome.seconds < LATEST
    assert outcome.after == 200
    assert outcome.left == 0
    for error in outcome.errors:
        assert error.keys() == {"message", "type", "param", "code"}


@both
@pytest.mark.parametrize("name", [*RIGHT, *TOOLS])
def test_what_is_odd_and_right(outcomes: Outcomes, name: str, stream: bool) -> None:
    outcome = outcomes[name, stream]
    check(outcome)
    assert (outcome.status, outcome.text, outcome.finishes) == (200, TEXT, ["stop"]), outcome.raw


@both
@pytest.mark.parametrize("name", CUT)
def test_what_is_no_answer(outcomes: Outcomes, name: str, stream: bool) -> None:
    outcome = outcomes[name, stream]
    check(outcome)
    (error,) = outcome.errors
    assert outcome.status in ((200, 400, 502, 503, 504) if stream else (400, 502, 503, 504))
    # A stream has the error in a frame only where some of the answer had gone out.
    assert (outcome.status == 200) == bool(outcome.text), outcome.raw
    assert error["code"].startswith("model_")


@both
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(outcomes: Outcomes, name: str, stream: bool) -> None:
    outcome = outcomes[name, stream]
    check(outcome)
    assert outcome.status == REFUSED[name][1], outcome.raw


@both
@pytest.mark.parametrize("name", ENDS)
def test_how_it_ended_is_passed_on(outcomes: Outcomes, name: str, stream: bool) -> None:
    outcome = outcomes[name, stream]
    check(outcome)
    assert (outcome.finishes, outcome.text) == ([ENDS[name][1]], ENDS[name][2])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_stays_flat(outcomes: Outcomes) -> None:
    """By how many megabytes the whole process grew at its worst, with all of it going on."""
    assert len(outcomes) >= 204
    assert peak.megabytes < 250
