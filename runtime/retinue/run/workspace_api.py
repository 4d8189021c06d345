"""A path of a workspace's REST API → its status and JSON, asked for once and kept.

Reads only. Source of the paths: https://docs.databricks.com/api/workspace/introduction
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
import orjson

from retinue.run.workspace import Workspace

_LARGEST = 4 * 2**20
_TIMEOUT = aiohttp.ClientTimeout(total=20, connect=10)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the workspace said: `status` is 0 where nothing could be reached, or made sense."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)


class WorkspaceApi:
    """`async with WorkspaceApi(workspace)`. Answers are kept as long as it is open.

    `headers` sign its requests instead of this process's own.
    """

    def __init__(self, workspace: Workspace, *, headers: Mapping[str, str] | None = None) -> None:
        self._workspace = workspace
        self._headers = headers
        self._asked: dict[str, asyncio.Task[Answer]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        if self._session:
            await self._session.close()

    async def get(self, path: str) -> Answer:
        """The answer to `path`, which starts with a slash and may have a query.

        Raises MissingReferenceError where there is no token.
        """
        if path not in self._asked:
            self._asked[path] = asyncio.create_task(self._get(path))
        return await asyncio.shield(self._asked[path])

    async def _get(self, path: str) -> Answer:
        if self._session is None:
            raise RuntimeError("open it with `async with`")
        headers = self._headers or await self._workspace.headers()
        url = self._workspace.url + path
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                raw = await _beginning(response)
                body = orjson.loads(raw) if raw else {}
                return Answer(response.status, body if isinstance(body, dict) else {})
        except orjson.JSONDecodeError:
            return Answer(response.status if response.status >= 300 else 0)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Answer(0)


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The body, or as much of it as is taken."""
    found = bytearray()
    async for piece in response.content.iter_any():
        found += piece
        if len(found) > _LARGEST:
            break
    return bytes(found[:_LARGEST])
