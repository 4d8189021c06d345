"""Real tool servers under our connections: `make test-servers`, or with the names of some of them.

    python tests/real_servers/try_all.py everything time

Each has an environment of its own, made once for its pinned requirements and kept in `.servers/`.
A server is connected to, used, killed, and has to be back; then nothing of it may be left.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retinue.agent import Http, Stdio, ToolServer
from retinue.errors import ToolError
from retinue.run.mcp import Connection
from retinue.run.references import environment

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".servers"
sys.path.insert(0, str(HERE.parent))

from run.flawed import left_over  # noqa: E402
from run.launching import free_port  # noqa: E402

Uses = list[tuple[str, dict[str, Any], str]]
"""Tools to call, with what has to stand in their answers."""


@dataclass(frozen=True)
class Real:
    """A server: where it is, how it is started in a folder, and what to ask of it there.

    An argument `PORT`, and the variable, is the port for HTTP; `!` begins what a failed call says.
    """

    pins: str
    command: Callable[[Path], list[str]]
    uses: Callable[[Path], Uses]
    env: Callable[[Path], dict[str, str]] = lambda _: {}
    transport: str = "stdio"
    fields: dict[str, Any] = field(default_factory=dict)


def _everything(_: Path) -> Uses:
    return [
        ("echo", {"message": "hi"}, "Echo: hi"),
        ("get-sum", {"a": 20, "b": 22}, "42"),
        ("get-tiny-image", {}, "[image: image/png"),
        ("get-structured-content", {"location": "New York"}, "temperature"),
        ("list_resources", {}, "demo://"),
        ("list_prompts", {}, "simple"),
        ("echo", {"message": 7}, "!"),
    ]


def _files(folder: Path) -> Uses:
    note = str(folder / "note.txt")
    return [
        ("write_file", {"path": note, "content": "remember"}, "wrote"),
        ("read_text_file", {"path": note}, "remember"),
        ("read_text_file", {"path": "/etc/passwd"}, "denied"),
    ]


def _git(folder: Path) -> Uses:
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return [("git_status", {"repo_path": str(folder)}, "branch")]


def _node(package: str, *args: str) -> Callable[[Path], list[str]]:
    def command(folder: Path) -> list[str]:
        script = (
            _node_place() / "node_modules" / "@modelcontextprotocol" / package / "dist/index.js"
        )
        return ["node", str(script), *(str(folder) if arg == "FOLDER" else arg for arg in args)]

    return command


def _python(pins: str, script: str, *args: str) -> Callable[[Path], list[str]]:
    def command(folder: Path) -> list[str]:
        given = [arg.replace("FOLDER", str(folder)) for arg in args]
        return [str(_python_place(pins) / "bin" / script), *given]

    return command


_ENTITY = {"name": "Ada", "entityType": "person", "observations": ["writes programs"]}
_OFFERS = {"resources": True, "prompts": True}
SERVERS = {
    "everything": Real("node", _node("server-everything", "stdio"), _everything, fields=_OFFERS),
    "everything-http": Real(
        "node",
        _node("server-everything", "streamableHttp"),
        _everything,
        transport="mcp",
        fields=_OFFERS,
    ),
    "everything-sse": Real(
        "node", _node("server-everything", "sse"), _everything, transport="sse", fields=_OFFERS
    ),
    "filesystem": Real("node", _node("server-filesystem", "FOLDER"), _files),
    "memory": Real(
        "node",
        _node("server-memory"),
        lambda _: [("create_entities", {"entities": [_ENTITY]}, ""), ("read_graph", {}, "Ada")],
        env=lambda folder: {"MEMORY_FILE_PATH": str(folder / "memory.jsonl")},
    ),
    "sequential-thinking": Real("node", _node("server-sequential-thinking"), lambda _: []),
    "time": Real(
        "time",
        _python("time", "mcp-server-time"),
        lambda _: [
            ("get_current_time", {"timezone": "UTC"}, "UTC"),
            ("get_current_time", {"timezone": "Nowhere/None"}, "!"),
        ],
    ),
    "git": Real("git", _python("git", "mcp-server-git"), _git),
    "fetch": Real(
        "fetch",
        _python("fetch", "mcp-server-fetch"),
        lambda _: [("fetch", {"url": "http://127.0.0.1:9/"}, "!")],
    ),
    "duckdb": Real(
        "duckdb",
        _python("duckdb", "mcp-server-motherduck", "--db-path", ":memory:", "--read-write"),
        lambda _: [("execute_query", {"sql": "select 6 * 7 as answer"}, "42")],
    ),
    "duckdb-http": Real(
        "duckdb",
        _python(
            "duckdb",
            "mcp-server-motherduck",
            *("--db-path", ":memory:", "--read-write", "--transport", "http", "--port", "PORT"),
        ),
        lambda _: [("execute_query", {"sql": "select 6 * 7 as answer"}, "42")],
        transport="mcp",
    ),
    "sqlite": Real(
        "sqlite",
        _python("sqlite", "mcp-server-sqlite", "--db-path", "FOLDER/a.db"),
        lambda _: [("read_query", {"query": "select 6 * 7 as answer"}, "42")],
    ),
}


def _place(name: str, pins: Path) -> Path:
    return CACHE / f"{name}-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"


def _python_place(name: str) -> Path:
    pins = HERE / "requirements" / f"{name}.txt"
    place = _place(name, pins)
    if not place.exists():
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "--quiet", "--no-config", "--clear", str(place)], check=True)
        install = [uv, "pip", "install", "--quiet", "--no-config", "--require-hashes"]
        python = str(place / "bin" / "python")
        try:
            subprocess.run([*install, "-r", str(pins), "--python", python], check=True)
        except BaseException:
            shutil.rmtree(place)
            raise
    return place


def _node_place() -> Path:
    place = _place("node", HERE / "node" / "package-lock.json")
    if not place.exists():
        making = place.with_suffix(".making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "node" / file, making)
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run([*install, "--prefix", str(making)], check=True)
        making.rename(place)
    return place


@asynccontextmanager
async def reached(real: Real, folder: Path) -> AsyncIterator[ToolServer]:
    """The server as an agent's file would have it; over HTTP it is started here."""
    command, *args = real.command(folder)
    env = {**real.env(folder), "REAL_SERVER": str(folder)}
    fields: dict[str, Any] = {"name": "real", "timeout": 20.0, "connect_timeout": 60.0}
    fields |= real.fields
    if real.transport == "stdio":
        stdio = Stdio(command=command, args=tuple(args), env=tuple(env.items()))
        yield ToolServer(transport=stdio, **fields)
        return
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        command,
        *(str(port) if arg == "PORT" else arg for arg in args),
        env={**os.environ, **env, "PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _listening(port)
        yield ToolServer(transport=Http(url=f"http://127.0.0.1:{port}/{real.transport}"), **fields)
    finally:
        process.kill()
        await process.wait()


async def _listening(port: int) -> None:
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("the server did not start")


async def tried(name: str, real: Real) -> None:
    """Use it, kill it, use it again. Raises AssertionError."""
    with tempfile.TemporaryDirectory() as there:
        folder = _real(there)
        uses = real.uses(folder)
        async with reached(real, folder) as server:
            connection = Connection(server, environment({}))
            try:
                await connection.start()
                assert connection.state == "up", connection.problem
                took = await _used(connection, uses)
                if real.transport == "stdio":
                    for pid in left_over(str(folder)):
                        os.kill(pid, signal.SIGKILL)
                    await asyncio.sleep(0.5)
                    await _used(connection, uses)
                print(
                    f"ok    {name:20} MCP {connection.protocol}  {len(connection.tools):2} tools  "
                    f"ready in {connection.latency or 0:.2f} s  "
                    f"calls {1000 * took / max(1, len(uses)):.0f} ms",
                    flush=True,
                )
            finally:
                await connection.aclose()
        assert not left_over(str(folder)), "a process is left"


def _real(folder: str) -> Path:
    """Servers compare it with paths whose links they have followed."""
    return Path(folder).resolve()


async def _used(connection: Connection, uses: Uses) -> float:
    began = time.perf_counter()
    for tool, arguments, wanted in uses:
        try:
            result = await connection.call(tool, arguments)
            text = f"!{result.text}" if result.is_error else result.text
        except ToolError as error:
            text = f"!{error}"
        assert wanted in text, f"{tool}: {text[:500]}"
    return time.perf_counter() - began


def main(names: list[str]) -> int:
    if unknown := set(names) - SERVERS.keys():
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(SERVERS)}")
        return 2
    has_node = bool(shutil.which("node") and shutil.which("npm"))
    failed = []
    for name in names or SERVERS:
        if SERVERS[name].pins == "node" and not has_node:
            print(f"left out, as there is no node here: {name}")
            continue
        try:
            asyncio.run(tried(name, SERVERS[name]))
        except (AssertionError, subprocess.SubprocessError) as error:
            print(f"FAIL  {name}: {error}", flush=True)
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
