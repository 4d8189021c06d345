"""Rows of the log of requests → JSON, and what a query asks of them → which rows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from retinue.errors import RequestError

MOST = 100
_USUAL = 20
_LATEST = 253_402_300_799.0
"""The end of the year 9999, in Unix seconds."""


def moment(text: str | None, param: str) -> float | None:
    """Unix seconds of a time in ISO 8601, in UTC where it names no other, or in Unix seconds.

    Raises RequestError.
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            # A plus sign in a URL is a space.
            when = datetime.fromisoformat(text.strip().replace(" ", "+"))
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            seconds = -1.0
    if not 0 <= seconds <= _LATEST:
        raise RequestError(
            f"'{param}' must be a time, such as 2026-01-31T12:00:00Z or 1769860800.", param=param
        )
    return seconds


def how_many(text: str | None) -> int:
    """A page's length. Raises RequestError."""
    if text is None:
        return _USUAL
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MOST):
        raise RequestError(f"'limit' must be a number from 1 to {MOST}.", param="limit")
    return int(text)


def log_list(rows: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """A page of at most `limit`; there may be one row more, which tells that others follow."""
    data = [log_object(row) for row in rows[:limit]]
    return _listed(data, "id", more=len(rows) > limit)


def user_list(rows: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """As `log_list`, of what each user's requests come to."""
    data = [{"object": "log.stats", "user": row["user"], **_sums(row)} for row in rows[:limit]]
    return _listed(data, "user", more=len(rows) > limit)


def stats_object(every: Mapping[str, Any], agents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all come to, and those of each agent."""
    each = [{"agent": row["agent"], **_sums(row)} for row in agents]
    return {"object": "log.stats", **_sums(every), "agents": each}


def log_object(row: Mapping[str, Any]) -> dict[str, Any]:
    """One request."""
    told = {"object": "log", **row, "tools": orjson.loads(row["tools"] or "[]")}
    if row.get("messages"):
        told["messages"] = orjson.loads(row["messages"])
    return told


def _sums(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "requests": int(row["requests"]),
        "errors": int(row["errors"]),
        "input_tokens": int(row["input_tokens"]),
        "output_tokens": int(row["output_tokens"]),
        "cost_usd": round(float(row["cost_usd"]), 6),
        "mean_ms": round(float(row["mean_ms"]), 1),
        "max_ms": round(float(row["max_ms"]), 1),
    }


def _listed(data: list[dict[str, Any]], key: str, *, more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0][key] if data else None,
        "last_id": data[-1][key] if data else None,
        "has_more": more,
    }
