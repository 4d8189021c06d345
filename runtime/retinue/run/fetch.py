"""A URL that a caller names → what is there, from a public address on a host that is allowed.

The connection goes to the very address that was looked at, whatever the name stands for a moment
later; each redirect is looked at anew. No proxy is asked, and nothing of ours is sent along.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from socket import AddressFamily
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from retinue import __version__
from retinue.errors import RequestError
from retinue.run.fetchable import NOT_FETCHED, Fetched, allows, is_address, is_public

_SECONDS = 20.0
_CONNECT = 5.0
_REDIRECTS = 3
_AT_ONCE = 16
_PIECE = 64 * 1024
_LONGEST_NAME = 255
_HTTPS = 443
_MOVED = (301, 302, 303, 307, 308)
_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")
_VAGUE = ("", "application/octet-stream", "binary/octet-stream")


class _Checked(AbstractResolver):
    """Names → addresses that may be connected to; a name that stands for another one has none."""

    def __init__(self, resolver: AbstractResolver, may: Callable[[str], bool]) -> None:
        self._resolver = resolver
        self._may = may

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not found or not all(self._may(one["host"]) for one in found):
            raise _InsideError
        return found

    async def close(self) -> None:
        await self._resolver.close()


class _InsideError(Exception):
    """The name stands for an address that isn't public."""


class Fetcher:
    """Fetches files for callers, a few at a time. `may` looks at addresses; `resolver` finds them.

    `tls` is what certificates are checked by, where the system's own are not meant.
    """

    def __init__(
        self,
        *,
        may: Callable[[str], bool] = is_public,
        resolver: Callable[[], AbstractResolver] = aiohttp.ThreadedResolver,
        tls: ssl.SSLContext | None = None,
        port: int = _HTTPS,
    ) -> None:
        self._may = may
        self._resolver = resolver
        self._tls = tls
        self._port = port
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, url: str, hosts: Sequence[str], most: int) -> Fetched:
        """At most `most` bytes, from one of those hosts, in 20 seconds.

        Raises RequestError, which names the host alone: the rest of a URL may be a secret.
        """
        try:
            async with asyncio.timeout(_SECONDS), self._turns:
                return await self._fetch(URL(url), hosts, most)
        except TimeoutError:
            raise _failed(f"it did not come within {_SECONDS:g} seconds") from None
        except _InsideError:
            raise _failed("its host is not on a public address") from None
        except aiohttp.ClientConnectorDNSError:
            raise _failed("its host has no address") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text may hold the URL.
            raise _failed(f"the transfer failed ({type(error).__name__})") from None

    async def _fetch(self, url: URL, hosts: Sequence[str], most: int) -> Fetched:
        connector = aiohttp.TCPConnector(
            resolver=_Checked(self._resolver(), self._may),
            use_dns_cache=False,
            ssl=self._tls or True,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_SECONDS, connect=_CONNECT),
            auto_decompress=False,
            headers={"User-Agent": f"retinue/{__version__}", "Accept-Encoding": "identity"},
        ) as session:
            for _ in range(1 + _REDIRECTS):
                self._check(url, hosts)
                async with session.get(url, allow_redirects=False) as answer:
                    if answer.status in _MOVED:
                        url = url.join(URL(answer.headers.get("location", "")))
                        continue
                    return await _read(answer, url, most)
        raise _failed(f"it was redirected more than {_REDIRECTS} times")

    def _check(self, url: URL, hosts: Sequence[str]) -> None:
        host = url.host or ""
        if url.scheme != "https" or url.port != self._port or url.user or url.password:
            raise _failed("it leads to what is no plain https: URL")
        if not allows(hosts, host):
            raise _failed(f"it leads to '{host[:_LONGEST_NAME]}', which is not allowed")
        # A resolver isn't asked for these.
        if is_address(host) and not self._may(host):
            raise _InsideError


async def _read(answer: aiohttp.ClientResponse, url: URL, most: int) -> Fetched:
    if answer.status != 200:
        raise _failed(f"its host answered {answer.status}")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise _failed("its host sent it packed")
    content = bytearray()
    async for piece in answer.content.iter_chunked(_PIECE):
        content += piece
        if max(len(content), answer.content_length or 0) > most:
            raise RequestError(
                f"The file is larger than the {most:,} bytes that are left for it.",
                code="file_too_large",
                status=413,
            )
    name = PurePosixPath(unquote(url.path)).name[-_LONGEST_NAME:]
    said = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said in _VAGUE or not _TYPE.fullmatch(said):
        said = MimeTypes().guess_type(name)[0] or ""
    return Fetched(name or "file", said, bytes(content))


def _failed(why: str) -> RequestError:
    return RequestError(f"The file can't be fetched: {why}.", code=NOT_FETCHED)
