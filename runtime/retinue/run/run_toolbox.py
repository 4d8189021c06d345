"""An agent's toolbox → that of one run: long results in pages, images for models that see them."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from retinue.agent import ToolServer
from retinue.errors import ToolError
from retinue.run.context import RunContext
from retinue.run.events import ToolResult
from retinue.run.messages import ToolCall
from retinue.run.ports import Tool
from retinue.run.toolbox import AgentToolbox, checked_arguments

# Characters of results that one run keeps for the model to read on.
MOST_KEPT = 8_000_000

READ_ON = Tool(
    "read_result_page",
    "Read another page of a tool's result that was too long to be given at once.",
    {
        "type": "object",
        "properties": {
            "result": {"type": "string", "description": "The result's handle, such as r1."},
            "page": {"type": "integer", "minimum": 1, "description": "The page, counting from 1."},
        },
        "required": ["result", "page"],
        "additionalProperties": False,
    },
)
"""Offered from the first long result on."""


class RunToolbox:
    """One run's view of its agent's toolbox. Handles of results are good in this run alone.

    `sees` tells whether the model takes images; it is asked when there is one.
    """

    def __init__(self, toolbox: AgentToolbox, sees: Callable[[], bool]) -> None:
        self._toolbox = toolbox
        self._sees = sees
        # By handle: a long result and the server that it came from.
        self._kept: OrderedDict[str, tuple[str, ToolServer]] = OrderedDict()
        self._count = 0

    @property
    def tools(self) -> tuple[Tool, ...]:
        return (*self._toolbox.tools, READ_ON) if self._count else self._toolbox.tools

    @property
    def notices(self) -> tuple[str, ...]:
        return self._toolbox.notices

    def needs_approval(self, call: ToolCall) -> bool:
        """As the agent's toolbox says; more of a result needs none."""
        return self._toolbox.needs_approval(call)

    async def call(self, call: ToolCall, context: RunContext) -> ToolResult:
        if self._count and call.name == READ_ON.name:
            return self._page(call)
        server = self._toolbox.server_of(call.name)
        result = await self._toolbox.call(call, context)
        if server is None:
            return result
        if result.images and not self._sees():
            note = "[The images can't be shown: the model takes none.]"
            result = replace(result, images=(), text=f"{result.text}\n{note}")
        if len(result.text) > server.max_result:
            result = replace(result, text=self._head(result.text, server))
        return replace(result, server=server.name)

    def _head(self, text: str, server: ToolServer) -> str:
        self._count += 1
        handle = f"r{self._count}"
        self._kept[handle] = text, server
        while len(self._kept) > 1 and sum(len(kept) for kept, _ in self._kept.values()) > MOST_KEPT:
            self._kept.popitem(last=False)
        return _paged(handle, 1, text, server.max_result)

    def _page(self, call: ToolCall) -> ToolResult:
        try:
            wanted = checked_arguments(READ_ON, call.arguments)
        except ToolError as error:
            return ToolResult(str(error), is_error=True)
        handle, page = str(wanted["result"]), wanted["page"]
        if handle not in self._kept or not isinstance(page, int):
            known = ", ".join(self._kept)
            return ToolResult(f"There is no result '{handle[:40]}'; kept: {known}.", is_error=True)
        text, server = self._kept[handle]
        return ToolResult(_paged(handle, page, text, server.max_result), server=server.name)


def _paged(handle: str, page: int, text: str, size: int) -> str:
    """A page, and how to get the next."""
    pages = -(-len(text) // size)
    if page > pages:
        return f"[{handle} has {pages} pages.]"
    part = text[(page - 1) * size : page * size]
    if page == pages:
        return f"{part}\n[This was page {page}, the last, of {handle}.]"
    return (
        f"{part}\n[This was page {page} of {pages} of {handle}: {len(text):,} characters. "
        f"{READ_ON.name} reads the others.]"
    )
