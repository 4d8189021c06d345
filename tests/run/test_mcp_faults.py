"""Every fault we know of, in a server over each transport: it costs its call and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from run.flawed import FINE, Fault, address, command, left_over, serving, survived
from run.servers import flawed_http, flawed_stdio
from run.servers.flawed_answers import ANSWERS, INITIALIZE_FAULTS, LIST_FAULTS

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


@pytest.fixture
def fault(tmp_path: Path) -> Fault:
    made = Fault(tmp_path / "control")
    made.lift()
    return made


def _cases(*sets: tuple[str, object]) -> Iterator[object]:
    for phase, faults in sets:
        for name in faults:
            yield pytest.param(phase, name, id=f"{phase}/{name}")


STDIO = [
    *_cases(("call", ANSWERS), ("call", flawed_stdio.DEEDS), ("call", flawed_stdio.LASTING)),
    *_cases(("list", LIST_FAULTS), ("initialize", INITIALIZE_FAULTS)),
]
STDIO_MORE = [
    *_cases(("start", flawed_stdio.DEEDS), ("end", flawed_stdio.DEEDS)),
    *_cases(("list", ANSWERS), ("list", flawed_stdio.DEEDS)),
    *_cases(("initialize", ANSWERS), ("initialize", flawed_stdio.DEEDS)),
]
HTTP = [
    *_cases(("call", flawed_http.DEEDS)),
    *_cases(("list", LIST_FAULTS), ("initialize", INITIALIZE_FAULTS)),
]
HTTP_MORE = [
    *_cases(("call", ANSWERS), ("list", ANSWERS), ("list", flawed_http.DEEDS)),
    *_cases(("initialize", ANSWERS), ("initialize", flawed_http.DEEDS)),
    *_cases(("discover", flawed_http.DEEDS), ("stream", flawed_http.DEEDS)),
]
ENDPOINTS = (
    "endpoint elsewhere", "endpoint nowhere", "endpoint of a file", "endpoint empty", "no endpoint",
)  # fmt: skip
STREAMS = ("stream ends", "stream breaks", "stream is silent")
SSE = [*_cases(("stream", ENDPOINTS), ("call", STREAMS))]
SSE_MORE = [
    *_cases(("call", ANSWERS), ("call", flawed_http.DEEDS), ("stream", flawed_http.DEEDS)),
    *_cases(("initialize", ANSWERS), ("initialize", flawed_http.DEEDS)),
    *_cases(("list", LIST_FAULTS), ("list", STREAMS), ("initialize", STREAMS)),
]
# Nothing is wrong with what the client gets.
HARMLESS = {"late", "events odd but right", "events of other names", "twice", "id before", "slow",
            "prints", "crlf", "two on a line", "stderr flood", "stderr line"}  # fmt: skip


async def _over_stdio(fault: Fault, phase: str, name: str) -> None:
    came = await survived(command(fault.path), fault, phase, name)
    if phase == "call" and name in HARMLESS:
        assert came == FINE
    assert left_over(str(fault.path)) == []


async def _over_http(fault: Fault, path: str, phase: str, name: str) -> None:
    async with serving(fault.path) as url:
        came = await survived(address(url + path), fault, phase, name)
    if phase == "call" and name in HARMLESS and path == "/mcp":
        assert came == FINE


@pytest.mark.parametrize(("phase", "name"), STDIO)
async def test_over_stdio(fault: Fault, phase: str, name: str) -> None:
    await _over_stdio(fault, phase, name)


@pytest.mark.parametrize(("phase", "name"), HTTP)
async def test_over_http(fault: Fault, phase: str, name: str) -> None:
    await _over_http(fault, "/mcp", phase, name)


@pytest.mark.parametrize(("phase", "name"), SSE)
async def test_over_sse(fault: Fault, phase: str, name: str) -> None:
    await _over_http(fault, "/sse", phase, name)


@pytest.mark.faults
@pytest.mark.parametrize(("phase", "name"), STDIO_MORE)
async def test_more_over_stdio(fault: Fault, phase: str, name: str) -> None:
    await _over_stdio(fault, phase, name)


@pytest.mark.faults
@pytest.mark.parametrize(("phase", "name"), HTTP_MORE)
async def test_more_over_http(fault: Fault, phase: str, name: str) -> None:
    await _over_http(fault, "/mcp", phase, name)


@pytest.mark.faults
@pytest.mark.parametrize(("phase", "name"), SSE_MORE)
async def test_more_over_sse(fault: Fault, phase: str, name: str) -> None:
    await _over_http(fault, "/sse", phase, name)
