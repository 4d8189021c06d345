"""Faults with retries and fallbacks on: still a right answer, or one clean error, in time."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from retinue.agent import Limits
from retinue.route import Timeouts
from retinue.run.models.litellm import import_litellm
from retinue.run.references import environment
from retinue.run.runtime import Runtime
from retinue.testing import agent, route
from run.models.changing_upstreams import CASES, CUT, OK, RIGHT, Case
from run.models.fake_upstream import Many, Play, listening
from run.models.test_faulty_upstream import AMPLE, AT_ONCE, LATEST, SECRET, Outcome, ask
from run.models.upstream_plays import TEXT
from serve.serving import running

# What never comes to an end is waited for in vain, so not for long.
BRIEF = Timeouts(total=6.0, first_token=3.0, idle=3.0)
RUN = 8.0
# A stream's head goes out after ten seconds: an error is a frame from then on.
HEAD = 9.9
LASTING = {
    "continue for ever", "tls to plain http", "fallback after silence", "both hang", "both drip",
}  # fmt: skip


class Changing(Many):
    """The path is `/NAME/whole|streamed/own|fallback/…`; `calls` counts those to a route's own."""

    def __init__(self, play: Play) -> None:
        super().__init__(play)
        self.calls: Counter[tuple[str, str]] = Counter()

    def played(self, path: list[str], *, again: bool) -> tuple[str, Play]:
        name, how, which = path[:3]
        case = CASES[name]
        if again or which != "own":
            return name, self.play if again else case.fallback or self.play
        self.calls[name, how] += 1
        return name, case.plays[min(self.calls[name, how], len(case.plays)) - 1]


def agents(url: str, adapter: str) -> Iterator[Any]:
    for index, (name, case) in enumerate(CASES.items()):
        for how in ("whole", "streamed"):
            times = BRIEF if name in LASTING else AMPLE
            given = {"api_key": SECRET, "timeout": times, "adapter": adapter}
            there = f"{url}/{quote(name)}/{how}"
            base = case.base.replace("https", there.replace("http", "https", 1), 1)
            fallbacks = ()
            if case.fallback:
                other = route("openai/other", api_base=f"{there}/fallback", **given, retries=0)
                fallbacks = (other,)
            own = route(
                "openai/m", api_base=base or f"{there}/own", retries=2, fallbacks=fallbacks, **given
            )
            yield agent(
                f"{how}{index}",
                model=own,
                limits=Limits(timeout=RUN if name in LASTING else LATEST),
            )


class Asked:
    """All outcomes, by the case's name and `whole` or `streamed`, and how many calls there were."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self.calls: Counter[tuple[str, str]] = Counter()


async def everything(adapter: str) -> Asked:
    gate, asked = asyncio.Semaphore(AT_ONCE), Asked()
    if adapter == "litellm":
        # Its import takes seconds, which belong to no call.
        import_litellm()
    async with listening(Changing(OK)) as fake:
        runtime = Runtime(list(agents(fake.url, adapter)), lookup=environment({}))
        with running(runtime) as server:
            client = httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False)

            async def one(index: int, name: str, how: str) -> None:
                async with gate:
                    asked.outcomes[name, how] = await ask(
                        client, f"{how}{index}", stream=how == "streamed"
                    )

            async with client:
                await asyncio.gather(
                    *(one(i, name, how) for i, name in enumerate(CASES) for how in HOWS)
                )
                for _ in range(200):
                    if not +fake.playing:
                        break
                    await asyncio.sleep(0.01)
        asked.calls = fake.calls
        for (name, _), outcome in asked.outcomes.items():
            outcome.left = fake.playing[name]
    return asked


HOWS = ("whole", "streamed")


@pytest.fixture(scope="module", params=["direct", "litellm"])
def asked(request: pytest.FixtureRequest) -> Asked:
    return asyncio.run(everything(request.param))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", CASES)
def test_it_ends_as_it_should(asked: Asked, name: str, how: str) -> None:
    case, outcome = CASES[name], asked.outcomes[name, how]
    assert len(outcome.finishes) + len(outcome.errors) == 1, outcome.raw
    assert SECRET not in outcome.raw
    assert outcome.left == 0
    assert outcome.seconds < LATEST
    assert ended(outcome) in expected(case, how, outcome.seconds), outcome.raw
    if case.calls is not None:
        assert asked.calls[name, how] == case.calls


def expected(case: Case, how: str, seconds: float) -> set[int]:
    ends = {case.ends} if isinstance(case.ends, int) else set(case.ends)
    if how == "streamed" and seconds > HEAD:
        return ends | {CUT}
    # Where the head hasn't gone out an answer that was cut is a status of its own.
    return ends | {502} if CUT in ends and how == "whole" else ends


def ended(outcome: Outcome) -> int:
    if outcome.errors:
        return CUT if outcome.status == 200 else outcome.status
    assert (outcome.text, outcome.finishes) == (TEXT, ["stop"]), outcome.raw
    return RIGHT
