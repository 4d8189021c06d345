"""The running event loop → its one pool of connections, shared by every direct model."""

import asyncio
from contextvars import ContextVar
from typing import Any, ClassVar, TypedDict
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary, WeakSet

import aiohttp
from yarl import URL

from retinue import __version__

# Seconds.
_CONNECT = 10.0
_KEEP_ALIVE = 30.0
_CONNECTIONS = 1000


reused: ContextVar[bool] = ContextVar("reused", default=False)
"""Whether another request had used the connection before that the current task got last."""


class _Connector(aiohttp.TCPConnector):
    """Tells of each connection whether it is a used one; aiohttp's tracing would at a price."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[object] = WeakSet()

    async def connect(self, *request: Any, **more: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*request, **more)
        protocol = connection.protocol
        known = protocol in self._used
        reused.set(known)
        if not known:
            self._used.add(protocol)
        return connection


class _Proxy(TypedDict):
    proxy: URL | None


class Pool:
    """A session that is open while anyone holds it. `hold` and `release` come in pairs."""

    _of_loop: ClassVar["WeakKeyDictionary[asyncio.AbstractEventLoop, Pool]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._holders = 0
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[tuple[str, str], _Proxy] = {}

    @classmethod
    def here(cls) -> "Pool":
        """The running loop's pool."""
        loop = asyncio.get_running_loop()
        pool = cls._of_loop.get(loop)
        if pool is None:
            pool = cls._of_loop[loop] = cls()
        return pool

    def hold(self) -> None:
        """Keep the session open."""
        self._holders += 1

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, opened at its first use."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE, ttl_dns_cache=60
                ),
                timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Answers are unpacked here, where they can be kept from growing without bound.
                auto_decompress=False,
                headers={
                    "User-Agent": f"retinue/{__version__}",
                    "Accept": "text/event-stream, application/json",
                    "Accept-Encoding": "identity",
                    "Content-Type": "application/json",
                },
            )
        return self._session

    def proxy(self, url: str) -> "_Proxy":
        """What the environment says (`HTTPS_PROXY`, `NO_PROXY`, …), read once for each host.

        aiohttp would ask it anew in a thread for every request, which costs more than the rest.
        """
        parts = urlsplit(url)
        place = parts.scheme, parts.netloc.rpartition("@")[2]
        if place not in self._proxies:
            self._proxies[place] = _proxy(*place)
        return self._proxies[place]

    async def release(self) -> None:
        """Close the session when nobody holds it any more."""
        self._holders -= 1
        if not self._holders and self._session is not None:
            session, self._session = self._session, None
            await session.close()


def _proxy(scheme: str, host: str) -> _Proxy:
    named = None if proxy_bypass(host) else getproxies().get(scheme)
    if named is None:
        return {"proxy": None}
    return {"proxy": URL(named if "://" in named else f"http://{named}")}
