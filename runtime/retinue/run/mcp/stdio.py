"""A command → a link: its process, its three pipes, and its end with all that it started."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import (
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    jsonrpc_message_adapter,
)

from retinue.agent import Stdio
from retinue.run.mcp.faults import LinkError, clip
from retinue.run.mcp.last_words import LastWords
from retinue.run.mcp.processes import (
    GRACE,
    MARK,
    close_pipes,
    exited,
    how_it_ended,
    leave_nothing,
    new_mark,
    stop,
)
from retinue.run.mcp.secrets import Secrets
from retinue.run.references import resolved

log = logging.getLogger(__name__)

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]

# Beside mcp's own HOME, LOGNAME, PATH, SHELL, TERM and USER: nothing here can be a secret.
_INHERITED = ("LANG", "LC_ALL", "TMPDIR", "TZ")
_LONGEST_LINE = 32 * 2**20
# Bytes that are no message, in a row: a log that never ends would keep us busy for ever.
_MOST_JUNK = 8 * 2**20


class StdioLink:
    """One process, which is killed at the end with whatever it started.

    `lost` is called when the server goes away by itself.
    """

    def __init__(
        self, name: str, command: Stdio, secrets: Secrets, lost: Callable[[], None]
    ) -> None:
        self._name = name
        self._command = command
        self._secrets = secrets
        self._lost = lost
        self._fault: LinkError | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._words = LastWords()
        self._mark = new_mark()
        self._pumps: tuple[asyncio.Task[None], ...] = ()

    def fault(self) -> LinkError | None:
        return self._fault

    async def __aenter__(self) -> tuple[Incoming, Outgoing]:
        process = self._process = await self._spawn()
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        if stdin is None or stdout is None or stderr is None:
            raise TypeError("a process without pipes")
        into, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, out_of = anyio.create_memory_object_stream[SessionMessage](0)
        self._pumps = (
            asyncio.create_task(self._read(stdout, into), name=f"stdout of {self._name}"),
            asyncio.create_task(self._write(stdin, out_of), name=f"stdin of {self._name}"),
            asyncio.create_task(self._hear(stderr), name=f"stderr of {self._name}"),
            asyncio.create_task(self._watch(process), name=f"exit of {self._name}"),
        )
        return incoming, outgoing

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None:
            return
        try:
            await self._note_death(process)
            # A server that never got ready has earned no time to tidy up.
            await stop(process, GRACE if exc_type is None else 0.0)
        finally:
            leave_nothing(process, self._mark)
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            close_pipes(process)

    async def _spawn(self) -> asyncio.subprocess.Process:
        command = self._command
        arguments = [resolved(argument, self._secrets) for argument in command.args]
        declared = {name: resolved(value, self._secrets) for name, value in command.env}
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        try:
            return await asyncio.create_subprocess_exec(
                command.command,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=get_default_environment() | kept | declared | {MARK: self._mark},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise LinkError(f"its command '{command.command}' was not found") from None
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else ""
            detail = f": {reason}" if reason else ""
            raise LinkError(f"its command '{command.command}' can't be started{detail}") from None

    def _redacted(self, text: str) -> str:
        return clip(self._secrets.redacted(text))

    async def _read(
        self,
        stdout: asyncio.StreamReader,
        into: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        try:
            async with into:
                junk = 0
                async for line in _lines(stdout):
                    message = _message(line)
                    if message is not None:
                        junk = 0
                        await into.send(SessionMessage(message))
                        continue
                    junk += len(line) + 1
                    if junk > _MOST_JUNK:
                        self._fault = LinkError(
                            "it writes what is not MCP to its output, endlessly"
                        )
                        return
                    if line.strip():
                        log.debug("'%s' wrote junk: %s", self._name, self._redacted(_text(line)))
        except LinkError as fault:
            self._fault = fault
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # The session is leaving; a server that can't write could not exit either.
            await _drain(stdout)
        finally:
            self._lost()

    async def _write(
        self,
        stdin: asyncio.StreamWriter,
        out_of: MemoryObjectReceiveStream[SessionMessage],
    ) -> None:
        try:
            async with out_of:
                async for item in out_of:
                    text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                    stdin.write(text.encode() + b"\n")
                    await stdin.drain()
        except ConnectionError:
            # One that is about to exit is left to the watch, which knows more.
            if self._process and not await exited(self._process, 0.5):
                self._fault = LinkError("it closed its input")
                self._lost()

    async def _hear(self, stderr: asyncio.StreamReader) -> None:
        with suppress(LinkError):
            async for line in _lines(stderr):
                said = self._redacted(_text(line))
                if said:
                    self._words.hear(said)
                    log.debug("'%s' says: %s", self._name, said)
        await _drain(stderr)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """End the reading when the process is gone, though something it started holds the pipe."""
        reader = self._pumps[0]
        while not reader.done():
            if process.returncode is not None:
                await asyncio.wait({reader}, timeout=0.3)
                reader.cancel()
                return
            await asyncio.sleep(0.25)

    async def _note_death(self, process: asyncio.subprocess.Process) -> None:
        """Tell a server that left by itself from one that is about to be stopped."""
        reader, _, hearer, _ = self._pumps
        if self._fault is not None or not (reader.done() or process.returncode is not None):
            return
        if not await exited(process, 0.5):
            self._fault = LinkError("it closed its output")
            return
        await asyncio.wait({hearer}, timeout=0.2)
        code = process.returncode or 0
        # One that was killed had no time to say why: its last line is about something else.
        said = str(self._words) if code > 0 else self._words.complaint
        ended = how_it_ended(code)
        self._fault = LinkError(f"{ended}: {said}" if said else ended)


async def _lines(pipe: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines without their ends. Raises LinkError for one that is longer than any answer."""
    rest: list[bytes] = []
    size = 0
    while chunk := await pipe.read(2**16):
        *whole, tail = chunk.split(b"\n")
        for line in whole:
            yield b"".join((*rest, line))
            rest, size = [], 0
        rest.append(tail)
        size += len(tail)
        if size > _LONGEST_LINE:
            raise LinkError(f"it wrote a line of more than {_LONGEST_LINE // 2**20} MiB")
    if size:
        yield b"".join(rest)


def _text(line: bytes) -> str:
    return line.decode(errors="replace")


def _message(line: bytes) -> JSONRPCMessage | None:
    """The message on a line; None where it holds none. Bytes that aren't UTF-8 are replaced."""
    try:
        return jsonrpc_message_adapter.validate_json(_text(line), by_name=False)
    except ValueError:
        return _unreadable_answer(line)


def _unreadable_answer(line: bytes) -> JSONRPCError | None:
    """An answer that isn't valid JSON-RPC still ends its call, instead of letting it wait."""
    try:
        answer = json.loads(_text(line))
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or "method" in answer or "id" not in answer:
        return None
    error = ErrorData(code=PARSE_ERROR, message="the answer is not valid JSON-RPC")
    with suppress(ValueError):
        return JSONRPCError(jsonrpc="2.0", id=answer["id"], error=error)
    return None


async def _drain(pipe: asyncio.StreamReader) -> None:
    while await pipe.read(2**16):
        pass
