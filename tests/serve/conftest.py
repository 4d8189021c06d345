"""A real server on a loopback port, in a thread of the test's process."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from serving import Running, Stage, running

from databases import KINDS, empty
from retinue.store.address import Address


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """An empty store, in each database that there is."""
    return empty(request, tmp_path, migrated=True)


@pytest.fixture(scope="session")
def stage() -> Iterator[Running]:
    """One server for all tests that need no options of their own."""
    with running(Stage()) as server:
        yield server


@pytest.fixture
def serving(stage: Running) -> Iterator[Callable[..., Running]]:
    """Serve a runtime: `serving(runtime)`; with options, on a server that stops with the test."""
    with ExitStack() as stack:

        def serve(runtime, **options) -> Running:
            if options:
                return stack.enter_context(running(runtime, **options))
            stage.runtime.plays = runtime
            return stage

        yield serve


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the product's own loggers write."""
    logger = logging.getLogger("retinue")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
