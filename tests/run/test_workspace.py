"""Tokens of a workspace: asked for once, renewed ahead of time, sent nowhere else."""

import asyncio
from pathlib import Path

import pytest

from retinue.errors import MissingReferenceError
from retinue.run.references import environment
from retinue.run.workspace import Workspace
from run.fake_workspace import CLIENT, FakeWorkspace, workspace

pytestmark = pytest.mark.usefixtures("in_an_app")

HOUR = 3600


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def renewed(opened: Workspace, fake: FakeWorkspace, tokens: int) -> dict[str, str]:
    """The headers, once the fake has given so many tokens and they have arrived."""
    for _ in range(400):
        headers = await opened.headers()
        if fake.tokens >= tokens and headers["Authorization"].endswith(f"-{tokens}"):
            return headers
        await asyncio.sleep(0.025)
    raise AssertionError(f"no token after {fake.tokens}")


@pytest.mark.parametrize("metadata", [True, False])
async def test_an_apps_service_principal_gets_a_token(metadata: bool) -> None:
    async with workspace(metadata=metadata) as fake:
        opened = Workspace(fake.url)
        assert await opened.headers() == {"Authorization": "Bearer token-1"}
        assert (opened.url, opened.host) == (fake.url, "127.0.0.1")


async def test_many_callers_ask_for_one_token_and_no_one_else_waits() -> None:
    async with workspace() as fake:
        fake.delay = 0.3
        opened = Workspace(fake.url)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        beside = asyncio.create_task(others())
        found = await asyncio.gather(*(opened.headers() for _ in range(200)))
        beside.cancel()
        assert {headers["Authorization"] for headers in found} == {"Bearer token-1"}
        assert fake.tokens == 1
        assert turns > 5


async def test_a_caller_who_leaves_takes_nobodys_token_along() -> None:
    async with workspace() as fake:
        fake.delay = 0.2
        opened = Workspace(fake.url)
        leaving, staying = (asyncio.create_task(opened.headers()) for _ in range(2))
        await asyncio.sleep(0.05)
        leaving.cancel()
        assert await staying == {"Authorization": "Bearer token-1"}
        assert fake.tokens == 1


async def test_a_token_is_renewed_ahead_of_its_expiry_while_the_old_one_serves() -> None:
    clock = Clock()
    async with workspace() as fake:
        opened = Workspace(fake.url, clock=clock)
        await opened.headers()
        clock.now += 0.79 * HOUR
        assert (await opened.headers())["Authorization"] == "Bearer token-1"
        assert fake.tokens == 1
        clock.now += 0.02 * HOUR
        assert (await opened.headers())["Authorization"] == "Bearer token-1"
        await renewed(opened, fake, 2)
        assert fake.tokens == 2


async def test_a_token_that_can_not_be_renewed_serves_until_it_is_dead() -> None:
    clock = Clock()
    async with workspace() as fake:
        opened = Workspace(fake.url, clock=clock)
        await opened.headers()
        fake.refuses = True
        clock.now += 0.9 * HOUR
        for _ in range(3):
            assert (await opened.headers())["Authorization"] == "Bearer token-1"
            await asyncio.sleep(0.05)
        clock.now += 0.1 * HOUR
        with pytest.raises(MissingReferenceError):
            await opened.headers()
        fake.refuses = False
        clock.now += 6
        assert (await opened.headers())["Authorization"] == "Bearer token-2"


async def test_a_refusal_says_how_to_log_in_and_is_tried_again_later() -> None:
    clock = Clock()
    async with workspace() as fake:
        fake.refuses = True
        opened = Workspace(fake.url, clock=clock)
        for _ in range(3):
            with pytest.raises(MissingReferenceError, match="databricks auth login") as caught:
                await opened.headers()
            assert CLIENT[1] not in str(caught.value)
        fake.refuses = False
        with pytest.raises(MissingReferenceError):
            await opened.headers()
        clock.now += 6
        assert (await opened.headers())["Authorization"] == "Bearer token-1"


async def test_a_token_that_never_comes_is_given_up() -> None:
    clock = Clock()
    async with workspace() as fake:
        fake.delay = 3.5
        opened = Workspace(fake.url, patience=2.0, clock=clock)
        with pytest.raises(MissingReferenceError, match="within 2 s"):
            await opened.headers()
        fake.delay = 0.0
        clock.now += 6
        assert (await opened.headers())["Authorization"].startswith("Bearer token-")


async def test_a_workspace_is_found_once_for_all(in_an_app: pytest.MonkeyPatch) -> None:
    async with workspace() as fake:
        in_an_app.setenv("DATABRICKS_HOST", fake.url)
        first, second = await asyncio.gather(*(Workspace.find(environment()) for _ in range(2)))
        assert first is second
        assert fake.tokens == 1


async def test_a_profile_gives_host_and_token(
    in_an_app: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with workspace() as fake:
        profiles = (
            f"[DEFAULT]\nhost = http://elsewhere\n[mine]\nhost = {fake.url}\ntoken = dapi-x\n"
        )
        (tmp_path / "profiles").write_text(profiles)
        for name in ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"):
            in_an_app.delenv(name)
        in_an_app.setenv("DATABRICKS_CONFIG_PROFILE", "mine")
        opened = await Workspace.find(environment({}))
        assert opened.url == fake.url
        assert await opened.headers() == {"Authorization": "Bearer dapi-x"}
        assert fake.tokens == 0


async def test_a_host_may_come_without_a_scheme(in_an_app: pytest.MonkeyPatch) -> None:
    in_an_app.setenv("DATABRICKS_TOKEN", "dapi-x")
    for name in ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"):
        in_an_app.delenv(name)
    opened = Workspace("127.0.0.1:9/")
    await opened.headers()
    assert opened.url == "https://127.0.0.1:9"


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("{url}", True),
        ("{url}/serving-endpoints/x", True),
        ("http://127.0.0.1:{port}?a=b", True),
        ("HTTP://127.0.0.1:{port}/", True),
        ("https://127.0.0.1:{port}/", False),
        ("http://127.0.0.1/", False),
        ("http://localhost:{port}/", False),
        ("http://127.0.0.1.evil.example:{port}/", False),
        ("http://evil.example/?{url}", False),
        ("http://127.0.0.1:{port}@evil.example/", False),
        ("http://evil.example\\@127.0.0.1:{port}/", False),
        ("http://user@127.0.0.1:{port}/", False),
        ("//127.0.0.1:{port}/", False),
        ("http://127.0.0.1:port/", False),
        ("http://[::1/", False),
        ("", False),
    ],
)
async def test_a_token_goes_to_its_workspace_alone(
    in_an_app: pytest.MonkeyPatch, url: str, stays: bool
) -> None:
    in_an_app.setenv("DATABRICKS_TOKEN", "dapi-x")
    for name in ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"):
        in_an_app.delenv(name)
    async with workspace() as fake:
        opened = Workspace(fake.url)
        await opened.headers()
        port = fake.url.rpartition(":")[2]
        assert opened.signs(url.format(url=fake.url, port=port)) is stays


def test_a_workspace_not_found_yet_signs_nothing() -> None:
    assert not Workspace(None).signs("")
    assert not Workspace(None).signs("https://h")


async def test_a_token_that_was_refused_is_renewed_once() -> None:
    async with workspace() as fake:
        clock = Clock()
        opened = Workspace(fake.url, clock=clock)
        first = await opened.headers()
        # All who were refused wait for the same new token.
        assert all(await asyncio.gather(*(opened.renewed(first) for _ in range(20))))
        second = await opened.headers()
        assert second == {"Authorization": "Bearer token-2"}
        # It is refused too: this identity may not be let in at all.
        assert not await opened.renewed(second)
        assert fake.tokens == 2
        clock.now += 31
        assert await opened.renewed(second)
        assert fake.tokens == 3
