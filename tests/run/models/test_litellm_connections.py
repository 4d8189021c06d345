"""The adapter's connections: hung up in time, never endless, never led elsewhere, no stray keys."""

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import pytest

from retinue.errors import ModelError
from retinue.route import Deployment
from retinue.run.events import ModelFinished, TextDelta
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.models.wire import LONGEST_BODY
from retinue.run.ports import ModelRequest
from retinue.run.references import environment
from run.models.fake_providers import Provider, Said, refuses_with, writes
from run.models.fake_providers.anthropic import ANTHROPIC
from run.models.fake_providers.openai import DATABRICKS
from run.models.fake_upstream import Upstream, upstream
from run.models.test_litellm_providers import HELLO, PROVIDERS, all_of, asked

# Seconds, on a busy machine. Idle, a provider sees the caller go within some milliseconds.
SOON = 2.0
PHASES = ["nothing yet", "after the head", "midway"]


class Stall:
    """Plays an answer up to the phase, and waits for the client to leave."""

    def __init__(self, provider: Provider, phase: str) -> None:
        frames = provider.frames(Said("Hello there."))
        midway = provider.head + b"".join(frames[: len(frames) - 3])
        pieces = {"nothing yet": b"", "after the head": provider.head, "midway": midway}
        self._piece = pieces[phase]
        self.arrived, self.left = asyncio.Event(), asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._piece)
        self.arrived.set()
        while await reader.read(100):
            pass
        self.left.set()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_cancelled_call_is_hung_up(name: str, phase: str) -> None:
    stall = Stall(PROVIDERS[name], phase)
    async with asked(PROVIDERS[name], stall) as (model, _):
        task = asyncio.create_task(all_of(model))
        await stall.arrived.wait()
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await asyncio.wait_for(stall.left.wait(), SOON)


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_closed_stream_is_hung_up(name: str) -> None:
    stall = Stall(PROVIDERS[name], "midway")
    async with asked(PROVIDERS[name], stall) as (model, _):
        async with aclosing(model.stream(HELLO)) as stream:  # type: ignore[type-var]
            assert isinstance(await anext(stream), TextDelta)
        await asyncio.wait_for(stall.left.wait(), SOON)


@pytest.mark.parametrize("name", ["anthropic", "databricks"])
async def test_a_line_without_end_is_stopped(name: str) -> None:
    provider = PROVIDERS[name]
    sent = 0

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(provider.head + b"data: ")
        while not writer.is_closing():
            writer.write(b"x" * 1_000_000)
            sent += 1_000_000
            await writer.drain()

    async with asked(provider, play) as (model, _):
        with pytest.raises(ModelError, match=r"grew over|more than") as caught:
            await all_of(model)
    assert caught.value.kind == "unavailable"
    assert sent < LONGEST_BODY + 20_000_000


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_redirect_is_not_followed(name: str) -> None:
    async with upstream(writes(b"")) as elsewhere:
        play = refuses_with(307, b"{}", location=f"{elsewhere.url}/stolen")
        async with asked(PROVIDERS[name], play) as (model, _):
            with pytest.raises(ModelError, match="redirect"):
                await all_of(model)
        assert elsewhere.requests == []


async def test_an_answer_that_ends_at_once_after_its_reason_is_cut() -> None:
    """Anthropic's own end is an event of its own."""
    frames = ANTHROPIC.frames(Said("Hello."))
    async with asked(ANTHROPIC, writes(ANTHROPIC.head, *frames[:-1])) as (model, _):
        with pytest.raises(ModelError) as caught:
            await all_of(model)
    assert caught.value.kind == "truncated"


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    for name in ("HOST", "TOKEN", "API_KEY", "API_BASE", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"DATABRICKS_{name}", raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return monkeypatch


def there(workspace: pytest.MonkeyPatch, fake: Upstream) -> str:
    host = fake.url.removesuffix("/v1")
    workspace.setenv("DATABRICKS_HOST", host)
    workspace.setenv("DATABRICKS_TOKEN", "dapi-app")
    return host


def opened(**fields: Any) -> LiteLLMModel:
    return LiteLLMModel(Deployment(model=DATABRICKS.model, **fields), environment())


async def test_a_gateways_address_gets_the_workspaces_token(
    workspace: pytest.MonkeyPatch,
) -> None:
    async with upstream(DATABRICKS.plays(Said("hi"))) as fake:
        model = opened(api_base=f"{there(workspace, fake)}/ai-gateway/mlflow/v1")
        await all_of(model)
        await model.aclose()
        head, _ = fake.requests[0]
    assert head.startswith("POST /ai-gateway/mlflow/v1/chat/completions ")
    assert "authorization: bearer dapi-app" in head.lower()


async def test_the_callers_token_goes_to_the_workspace(workspace: pytest.MonkeyPatch) -> None:
    async with upstream(DATABRICKS.plays(Said("hi"))) as fake:
        there(workspace, fake)
        model = opened(auth="user")
        await all_of(model, ModelRequest(messages=HELLO.messages, user_token="dapi-caller"))
        with pytest.raises(ModelError, match="token is missing") as caught:
            await all_of(model)
        await model.aclose()
        heads = [head for head, _ in fake.requests]
    assert caught.value.kind == "auth"
    assert len(heads) == 1
    assert "authorization: bearer dapi-caller" in heads[0].lower()


@pytest.mark.parametrize("auth", ["app", "user"])
async def test_no_token_leaves_the_workspace(workspace: pytest.MonkeyPatch, auth: Any) -> None:
    async with upstream(writes(b"")) as own, upstream(writes(b"")) as foreign:
        there(workspace, own)
        model = opened(api_base=foreign.url, auth=auth)
        with pytest.raises(ModelError, match="api_key") as caught:
            await all_of(model, ModelRequest(messages=HELLO.messages, user_token="dapi-caller"))
        assert caught.value.kind == "auth"
        assert foreign.requests == own.requests == []


async def test_an_apps_own_secret_stays_at_home(workspace: pytest.MonkeyPatch) -> None:
    """An App has a client's id and secret in its environment; a route's key makes them needless."""
    workspace.setenv("DATABRICKS_CLIENT_ID", "client")
    workspace.setenv("DATABRICKS_CLIENT_SECRET", "hush")
    async with asked(DATABRICKS, DATABRICKS.plays(Said("hi"))) as (model, fake):
        events = await all_of(model)
        heads = [head for head, _ in fake.requests]
    assert isinstance(events[-1], ModelFinished)
    assert len(heads) == 1
    assert heads[0].startswith("POST /serving-endpoints/chat/completions")


async def test_all_who_wait_for_litellm_wait_for_one_thread() -> None:
    models = [LiteLLMModel(Deployment(model="openai/m"), environment({})) for _ in range(20)]
    before = threading.active_count()
    waiting = [asyncio.create_task(model.warm()) for model in models]
    for _ in range(3):
        await asyncio.sleep(0)
    assert threading.active_count() <= before + 1
    waiting[0].cancel()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1:] == [None] * 19
