"""Redis, a database or nothing, as the environment says → what all processes count in."""

import asyncio
import importlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from retinue.errors import ConfigurationError
from retinue.serve.tally import Charge
from retinue.store.address import Address

log = logging.getLogger("retinue.serve")

_SCHEMES = ("redis", "rediss", "redis+unix", "redis+cluster", "redis+sentinel")
_YES = ("1", "true", "yes", "on")
_PREFIX = "retinue:"
_GRACE = 60
# A statement that is this late has done its work, but nobody waits for it any more.
_STATEMENT = 2.0


class CountersError(ConfigurationError):
    """What is said of Redis can't be read."""


class Counters(Protocol):
    """Sums by name that many processes add to."""

    async def add(self, charges: Sequence[Charge]) -> Sequence[int]:
        """The sums after these charges, in their order; each name comes once."""

    async def forget(self, before: float) -> None:
        """Delete what was counted until before that time, in Unix seconds."""

    async def aclose(self) -> None:
        """Close what is open."""


@dataclass(frozen=True, slots=True)
class CountersAt:
    """Where they are, by the name that the log has for it. `open` raises whatever drivers do;
    `patience` is how long a request waits for them, in seconds.
    """

    name: str
    open: Callable[[], Awaitable[Counters]]
    patience: float = 0.25


def counters_for(env: Mapping[str, str], store: Address | None) -> CountersAt | None:
    """Redis where the environment names one, else the store; None where there is neither.

    Raises CountersError.
    """
    url = redis_url(env)
    if url and find_spec("redis") is None:
        how = "pip install 'retinue[redis]'"
        log.warning("limits aren't counted in Redis, as its client is missing: %s", how)
    elif url:
        return CountersAt("Redis", partial(_redis, url))
    return CountersAt(str(store), partial(_stored, store)) if store else None


def redis_url(env: Mapping[str, str]) -> str | None:
    """REDIS_URL, or what REDIS_HOST and those beside it come to. Raises CountersError."""
    url, host = env.get("REDIS_URL", "").strip(), env.get("REDIS_HOST", "").strip()
    if url:
        _check(url, "REDIS_URL", "write redis://HOST:PORT/DATABASE, or rediss:// for TLS")
        return url
    if not host:
        return None
    user = quote(env.get("REDIS_USERNAME", ""), safe="")
    password = quote(env.get("REDIS_PASSWORD", ""), safe="")
    login = f"{user}:{password}@" if user or password else ""
    scheme = "rediss" if env.get("REDIS_SSL", "").strip().lower() in _YES else "redis"
    port, database = env.get("REDIS_PORT", "").strip() or "6379", env.get("REDIS_DB", "").strip()
    host = f"[{host}]" if ":" in host else host
    built = f"{scheme}://{login}{host}:{port}/{database or '0'}"
    _check(built, "REDIS_HOST", "write a host's name, and numbers as REDIS_PORT and REDIS_DB")
    return built


def _check(url: str, name: str, how: str) -> None:
    """The URL isn't shown: it may hold a password."""
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in _SCHEMES or not (parts.hostname or parts.path)
        # There may be several hosts, each with its port.
        wrong = wrong or ("," not in parts.netloc and parts.port == 0)
    except ValueError:
        wrong = True
    if wrong:
        raise CountersError(f"{name} is no address of a Redis: {how}")


class RedisCounters:
    """Those of a Redis, a Redis Cluster or one behind Sentinels."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def add(self, charges: Sequence[Charge]) -> Sequence[int]:
        """One round trip, or one for each of a cluster's servers that is concerned."""
        async with self._client.pipeline(transaction=False) as pipe:
            for name, amount, until in charges:
                pipe.incrby(_PREFIX + name, amount)
                pipe.expireat(_PREFIX + name, math.ceil(until) + _GRACE)
            found = await pipe.execute()
        return [int(total) for total in found[::2]]

    async def forget(self, before: float) -> None:
        """Redis does that itself."""

    async def aclose(self) -> None:
        await self._client.aclose()


async def _redis(url: str) -> Counters:
    # A tenth of a second to load, which nobody pays who has no Redis.
    storages = await asyncio.to_thread(importlib.import_module, "limits.storage")
    redis = await asyncio.to_thread(importlib.import_module, "redis.asyncio")
    # A connection that was closed meanwhile is opened anew at once, and once.
    again = redis.retry.Retry(importlib.import_module("redis.backoff").NoBackoff(), 1)
    storage = storages.storage_from_string(
        f"async+{url}",
        implementation="redispy",
        socket_connect_timeout=_STATEMENT,
        socket_timeout=_STATEMENT,
        retry=again,
    )
    return RedisCounters(storage.bridge.get_connection())


async def _stored(store: Address) -> Counters:
    # SQLAlchemy takes a quarter of a second to load.
    await asyncio.to_thread(importlib.import_module, "retinue.store.counters")
    from retinue.store.counters import StoredCounters  # noqa: PLC0415
    from retinue.store.database import Database  # noqa: PLC0415

    return StoredCounters(Database(store, checked=False))
