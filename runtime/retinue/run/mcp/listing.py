"""What a server lists → the tools an agent may call; a bad one costs itself and no other."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, Self

import orjson
from mcp import Client, MCPError
from mcp.shared.message import SessionMessage
from mcp.types import METHOD_NOT_FOUND, JSONRPCResponse

from retinue.agent import ToolServer
from retinue.run.mcp.faults import clip
from retinue.run.mcp.link import Link, Streams
from retinue.run.ports import Tool
from retinue.run.schema import invalid

log = logging.getLogger(__name__)

_MOST_PAGES = 100
_MOST_TOOLS = 2000
_MOST_BYTES = 8_000_000
_KEPT = ("name", "title", "description")
_HINTS = ("readOnlyHint", "idempotentHint")


async def list_tools(client: Client, server: str) -> tuple[list[Tool], frozenset[str]]:
    """Every tool, over all pages, in the server's order; a name listed twice counts once. Then the
    names of those that, as the server says, change nothing or can be called twice.

    Of a list without end, the first 2,000 tools or 8 MB.
    """
    tools: dict[str, Tool] = {}
    repeatable: set[str] = set()
    size = 0
    async for tool, repeats in _listed(client):
        size += len(tool.name) + len(tool.description) + len(orjson.dumps(tool.parameters))
        if len(tools) == _MOST_TOOLS or size > _MOST_BYTES:
            log.warning("'%s' lists too many tools; the first %d are used", server, len(tools))
            break
        if tools.setdefault(tool.name, tool) is tool and repeats:
            repeatable.add(tool.name)
    return list(tools.values()), frozenset(repeatable)


async def _listed(client: Client) -> AsyncIterator[tuple[Tool, bool]]:
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        try:
            page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        except MCPError as error:
            # Of one that says it has tools, this is a fault on the way, such as a 404.
            if error.code == METHOD_NOT_FOUND and client.server_capabilities.tools is None:
                return
            raise
        for tool in page.tools:
            hints = tool.annotations
            repeats = bool(hints and (hints.read_only_hint or hints.idempotent_hint))
            shown = Tool(
                tool.name,
                tool.description or tool.title or "",
                tool.input_schema,
                reads=bool(hints and hints.read_only_hint),
            )
            yield shown, repeats
        cursor = page.next_cursor
        if cursor is None or cursor in seen:
            return
        seen.add(cursor)


def selected(tools: list[Tool], server: ToolServer) -> tuple[Tool, ...]:
    """The tools that `include` and `exclude` leave; a filter that matches none is logged."""
    names = [tool.name for tool in tools]
    wanted = {
        "include": server.include,
        "exclude": server.exclude,
        "require_approval": server.require_approval,
        "rename": [name for name, _ in server.rename],
        "descriptions": [name for name, _ in server.descriptions],
    }
    for which, globs in wanted.items():
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in names):
                log.warning(
                    "mcp_servers.%s.tools.%s: '%s' matches no tool; the server has: %s",
                    server.name,
                    which,
                    glob,
                    clip(", ".join(names), 2000) or "none",
                )
    return tuple(tool for tool in tools if _chosen(tool.name, server))


def described(tools: Iterable[Tool], server: ToolServer) -> tuple[Tool, ...]:
    """The tools with the descriptions that the agent's file gives them."""
    given = dict(server.descriptions)
    return tuple(replace(t, description=given.get(t.name, t.description)) for t in tools)


def _chosen(name: str, server: ToolServer) -> bool:
    wanted = not server.include or any(fnmatchcase(name, glob) for glob in server.include)
    return wanted and not any(fnmatchcase(name, glob) for glob in server.exclude)


class Tolerant:
    """A link whose listings are mended before mcp validates them, for it refuses them whole."""

    def __init__(self, link: Link, server: str) -> None:
        self._link = link
        self._server = server

    async def __aenter__(self) -> Streams:
        read, write = await self._link.__aenter__()
        return _Mended(read, self._server), write

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._link.__aexit__(exc_type, exc, traceback)


class _Mended:
    """mcp's ReadStream, passing everything through but listings."""

    def __init__(self, stream: Any, server: str) -> None:
        self._stream = stream
        self._server = server

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        return await self._mend(await self._stream.receive())

    async def _mend(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        if isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCResponse):
            listed = item.message.result.get("tools")
            if isinstance(listed, list):
                item.message.result["tools"] = await mended(listed, self._server)
        return item

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return await self._mend(await self._stream.__anext__())

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        ended: bool | None = await self._stream.__aexit__(exc_type, exc, traceback)
        return ended


async def mended(listed: list[Any], server: str) -> list[dict[str, Any]]:
    """The listed tools that can be used, as raw MCP objects; the others are logged and left out.

    Output schemas are left out too: mcp would withhold an answer that doesn't fit its own
    server's promise, and the model is better served with the answer.
    """
    kept: list[dict[str, Any]] = []
    for number, raw in enumerate(listed[: _MOST_TOOLS + 1]):
        # In a thread, one by one: a large schema takes long, and nobody else shall wait for it.
        problem = await asyncio.to_thread(_problem, raw)
        if problem is None:
            kept.append(_plain(raw))
        else:
            name = raw.get("name") if isinstance(raw, Mapping) else None
            shown = clip(name, 80) if isinstance(name, str) and name else f"number {number + 1}"
            log.warning("'%s': the tool '%s' is left out: %s", server, shown, problem)
    return kept


def _problem(raw: Any) -> str | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str) or not raw["name"]:
        return "it has no name"
    execution = raw.get("execution")
    if isinstance(execution, dict) and execution.get("taskSupport") == "required":
        return "it can only be called as a task, which is not supported"
    schema = raw.get("inputSchema", {})
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return "its inputSchema is not that of an object"
    problem = invalid(schema)
    return f"its inputSchema {clip(problem)}" if problem else None


def _plain(raw: dict[str, Any]) -> dict[str, Any]:
    """Only what is used, so that an oddity elsewhere (icons, annotations) costs nothing."""
    tool = {key: raw[key] for key in _KEPT if key in raw}
    hints = raw.get("annotations")
    if isinstance(hints, dict):
        tool["annotations"] = {hint: hints.get(hint) is True for hint in _HINTS}
    tool["inputSchema"] = {"type": "object", **(raw.get("inputSchema") or {})}
    for key in ("title", "description"):
        if not isinstance(tool.get(key, ""), str):
            del tool[key]
    return tool
