"""A real server on a loopback port, in a thread of the test's process."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from serving import Running, Stage, running


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
