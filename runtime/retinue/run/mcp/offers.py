"""A server's resources and prompts → tools that list and read them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from mcp import Client
from mcp.types import (
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)

from retinue.agent import ToolServer
from retinue.run.ports import Tool
from retinue.values import JsonValue

Arguments = dict[str, JsonValue]

_CURSOR: Mapping[str, JsonValue] = {
    "cursor": {"type": "string", "description": "From the end of a list that goes on."}
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool of ours over a server's own lists, in place of one of the server's."""

    tool: Tool
    run: Callable[[Client, Arguments], Awaitable[CallToolResult]]


def offers(client: Client, server: ToolServer) -> tuple[Offer, ...]:
    """Those that the agent's file asks for and the server has something for."""
    has = client.server_capabilities
    resources = RESOURCES if server.resources and has.resources else ()
    return (*resources, *(PROMPTS if server.prompts and has.prompts else ()))


def _tool(name: str, description: str, properties: Mapping[str, JsonValue], *required: str) -> Tool:
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
    return Tool(name, description, schema, reads=True)


async def _list_resources(client: Client, arguments: Arguments) -> CallToolResult:
    cursor = _text(arguments, "cursor")
    page = await client.list_resources(cursor=cursor, cache_mode="bypass")
    lines = [_line(r.uri, r.name, r.description, r.mime_type) for r in page.resources]
    if cursor is None and client.server_capabilities.resources:
        templates = await client.list_resource_templates(cache_mode="bypass")
        lines += [
            _line(t.uri_template, t.name, t.description, t.mime_type)
            for t in templates.resource_templates
        ]
    return _lines(lines, page.next_cursor)


async def _read_resource(client: Client, arguments: Arguments) -> CallToolResult:
    read = await client.read_resource(str(arguments["uri"]), cache_mode="bypass")
    return CallToolResult(content=[_shown(part) for part in read.contents])


def _shown(part: TextResourceContents | BlobResourceContents) -> ContentBlock:
    kind = part.mime_type or ""
    if isinstance(part, BlobResourceContents) and kind.startswith("image/"):
        return ImageContent(type="image", data=part.blob, mime_type=kind)
    return EmbeddedResource(type="resource", resource=part)


async def _list_prompts(client: Client, arguments: Arguments) -> CallToolResult:
    page = await client.list_prompts(cursor=_text(arguments, "cursor"), cache_mode="bypass")
    lines = [
        _line(
            p.name, p.description, *(f"{a.name}{'*' * bool(a.required)}" for a in p.arguments or ())
        )
        for p in page.prompts
    ]
    return _lines(lines, page.next_cursor)


async def _get_prompt(client: Client, arguments: Arguments) -> CallToolResult:
    given = arguments.get("arguments")
    values = {k: str(v) for k, v in given.items()} if isinstance(given, dict) else {}
    found = await client.get_prompt(str(arguments["name"]), values)
    return CallToolResult(content=[message.content for message in found.messages])


def _text(arguments: Arguments, name: str) -> str | None:
    value = arguments.get(name)
    return value if isinstance(value, str) else None


def _line(*parts: Any) -> str:
    return orjson.dumps([str(part) for part in parts if part]).decode()


def _lines(lines: list[str], cursor: str | None) -> CallToolResult:
    more = [f"There are more, with the cursor {cursor}"] if cursor else []
    text = "\n".join([*lines, *more])
    return CallToolResult(content=[TextContent(type="text", text=text)])


_URI: JsonValue = {"type": "string", "description": "As list_resources gives it."}
_NAME: JsonValue = {"type": "string", "description": "As list_prompts gives it."}
_GIVEN: JsonValue = {"type": "object", "additionalProperties": {"type": "string"}}

RESOURCES = (
    Offer(
        _tool("list_resources", "List the server's resources: URI, name, type.", _CURSOR),
        _list_resources,
    ),
    Offer(
        _tool("read_resource", "Read one of the server's resources.", {"uri": _URI}, "uri"),
        _read_resource,
    ),
)
PROMPTS = (
    Offer(
        _tool(
            "list_prompts",
            "List the server's prompts: name, description, arguments (* where required).",
            _CURSOR,
        ),
        _list_prompts,
    ),
    Offer(
        _tool(
            "get_prompt",
            "Get the text of one of the server's prompts.",
            {"name": _NAME, "arguments": _GIVEN},
            "name",
        ),
        _get_prompt,
    ),
)
