"""A tool server → whether it can be reached, and whether its tools are those the file names."""

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from retinue.agent import ToolServer
from retinue.cli.online.finding import Finding
from retinue.diagnostics import Severity, did_you_mean
from retinue.run.mcp import Connection
from retinue.run.ports import Lookup

_MOST_NAMED = 12


def bare(server: ToolServer) -> ToolServer:
    """The server as it is reached, with all its tools: equal where only their choice differs."""
    return replace(
        server,
        include=(),
        exclude=(),
        rename=(),
        descriptions=(),
        require_approval=(),
        pin="warn",
        required=False,
        resources=False,
        prompts=False,
    )


async def listed(server: ToolServer, lookup: Lookup) -> list[str] | Finding:
    """The names of all its tools, or why there are none."""
    connection = Connection(bare(server), lookup)
    try:
        await connection.start()
        if connection.state != "up":
            why = connection.problem or "it did not get ready"
            return Finding("online-server", f"the tool server can't be reached: {why}")
        return [tool.name for tool in connection.tools]
    finally:
        await connection.aclose()


def check_tools(server: ToolServer, names: list[str]) -> Iterator[Finding]:
    """Globs and names of the file that none of the server's tools has."""
    for glob in (*server.include, *server.require_approval):
        if not _matches(glob, names):
            yield _none(glob, names, "error")
    for glob in server.exclude:
        if not _matches(glob, names):
            yield _none(glob, names, "warning")
    for tool, new in server.rename:
        if tool not in names:
            missing = _none(tool, names, "error")
            yield replace(missing, value=new)
    for tool, text in server.descriptions:
        if tool not in names:
            yield replace(_none(tool, names, "error"), value=text)
    left = [n for n in names if not server.include or _matches_one(n, server.include)]
    if names and not [n for n in left if not _matches_one(n, server.exclude)]:
        yield Finding("online-tools", "the filters leave none of the server's tools")


def _matches(glob: str, names: list[str]) -> bool:
    return any(fnmatchcase(name, glob) for name in names)


def _matches_one(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _none(glob: str, names: list[str], severity: Severity) -> Finding:
    some = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    hint = did_you_mean(glob, names) or (f"it has: {some}" if names else "it has no tools")
    return Finding(
        "online-tools",
        f"'{glob[:80]}' matches none of the server's tools",
        hint,
        severity,
        glob,
    )
