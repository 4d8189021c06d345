"""Long results in pages, and images: a run's own view of a toolbox."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from retinue.agent import Stdio, ToolServer
from retinue.run.events import ToolResult
from retinue.run.mcp import Connection
from retinue.run.messages import ToolCall
from retinue.run.references import environment
from retinue.run.run_toolbox import READ_ON, RunToolbox
from retinue.run.toolbox import AgentToolbox
from retinue.testing import run_context

MODERN = Path(__file__).parent / "servers" / "modern.py"
COMMAND = Stdio(command=sys.executable, args=(str(MODERN),))


@asynccontextmanager
async def connected(max_result: int = 1000) -> AsyncIterator[AgentToolbox]:
    server = ToolServer(name="s", transport=COMMAND, max_result=max_result)
    connection = Connection(server, environment({}))
    try:
        await connection.start()
        yield AgentToolbox([connection])
    finally:
        await connection.aclose()


async def called(toolbox: RunToolbox, name: str, arguments: str) -> ToolResult:
    return await toolbox.call(ToolCall("c", name, arguments), run_context())


def names(toolbox: RunToolbox) -> list[str]:
    return [tool.name for tool in toolbox.tools]


async def test_a_long_result_is_read_in_pages() -> None:
    async with connected() as whole:
        toolbox, other = RunToolbox(whole, lambda: True), RunToolbox(whole, lambda: True)
        assert READ_ON.name not in names(toolbox)
        first = await called(toolbox, "s__huge", '{"size": 2500}')
        assert first.text.startswith("a" * 1000 + "\n[This was page 1 of 3 of r1: 2,500")
        assert first.server == "s"
        assert names(toolbox)[-1] == READ_ON.name
        pages = [
            await called(toolbox, READ_ON.name, f'{{"result": "r1", "page": {n}}}')
            for n in (1, 2, 3, 4)
        ]
        assert pages[0].text == first.text
        assert {page.server for page in pages} == {"s"}
        whole_text = "".join(page.text.partition("\n[")[0] for page in pages[:3])
        assert whole_text == "a" * 1250 + "z" * 1250
        assert pages[2].text.endswith("[This was page 3, the last, of r1.]")
        assert pages[3].text == "[r1 has 3 pages.]"

        # A handle is good in its own run alone.
        assert READ_ON.name not in names(other)
        stolen = await called(other, READ_ON.name, '{"result": "r1", "page": 2}')
        assert stolen.is_error
        assert "There is no tool" in stolen.text


async def test_wrong_handles_and_pages() -> None:
    async with connected() as whole:
        toolbox = RunToolbox(whole, lambda: True)
        await called(toolbox, "s__huge", '{"size": 2500}')
        unknown = await called(toolbox, READ_ON.name, '{"result": "r2", "page": 1}')
        assert unknown == ToolResult("There is no result 'r2'; kept: r1.", is_error=True)
        for wrong in ('{"result": "r1"}', '{"result": "r1", "page": 0}', "{", '{"page": "x"}'):
            assert (await called(toolbox, READ_ON.name, wrong)).is_error


async def test_what_a_run_keeps_is_bounded() -> None:
    async with connected() as whole:
        toolbox = RunToolbox(whole, lambda: True)
        huge = [called(toolbox, "s__huge", '{"size": 1900000}') for _ in range(6)]
        assert all(len(result.text) < 1200 for result in await asyncio.gather(*huge))
        gone = await called(toolbox, READ_ON.name, '{"result": "r1", "page": 2}')
        assert gone.text == "There is no result 'r1'; kept: r3, r4, r5, r6."
        last = await called(toolbox, READ_ON.name, '{"result": "r6", "page": 1900}')
        assert last.text.startswith("zzz")


async def test_images_reach_models_that_take_them() -> None:
    async with connected() as whole:
        seeing = await called(RunToolbox(whole, lambda: True), "s__picture", "{}")
        blind = await called(RunToolbox(whole, lambda: False), "s__picture", "{}")
    assert seeing.images
    assert seeing.text == "[image: image/png, 8 bytes]"
    assert not blind.images
    assert blind.text.endswith("[The images can't be shown: the model takes none.]")
