"""What a verb was told of the project's store → its address, and what is read from it, in lines."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retinue.cli.options import checked, compile_project
from retinue.errors import RequestError, StoreError, UsageError
from retinue.project import Project
from retinue.store.address import Address
from retinue.store.log_query import Which

if TYPE_CHECKING:
    from retinue.agent import Agent
    from retinue.store.log_book import LogBook

StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="The store (default: the one that is served)."),
]
SessionOption = Annotated[
    str | None, typer.Option("--session", metavar="NAME", help="Those of a session.")
]
UserOption = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Those of a user.")]
OfAgentOption = Annotated[
    str | None, typer.Option("--agent", metavar="NAME", help="Those of an agent.")
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="From a time on, such as 2h, 7d or 2026-01-31T12:00:00Z."
    ),
]

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LATE = 60.0
_LOOK = 1.0
_MOST = 10_000


def store_of(project: Project, variables: list[str] | None, given: str | None) -> Address:
    """Where the project's state is. Raises StoreError where nothing is kept."""
    return agents_store_of(checked(compile_project(project, None, variables)), project, given)


def agents_store_of(agents: "Iterable[Agent]", project: Project, given: str | None) -> Address:
    """As `store_of`, for agents that are compiled already."""
    # Off the start-up path: it brings in the server.
    from retinue.serve.factory import agents_store  # noqa: PLC0415

    address = agents_store(agents, project, given)
    if address is None:
        raise StoreError("this project keeps nothing: set `store` in retinue.yaml, or use --store")
    return address


def wanted(session: str | None, user: str | None, agent: str | None, since: str | None) -> Which:
    """Which rows the options mean. Raises UsageError."""
    return Which(session=session, user=user, agent=agent, since=_since(since))


def seconds_in(text: str) -> int | None:
    """Seconds of a time such as 2h or 7d; None for what is none."""
    found = _SPAN.fullmatch(text)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def _since(text: str | None) -> float | None:
    if text and (ago := seconds_in(text)) is not None:
        return max(0.0, time.time() - ago)
    from retinue.serve.wire.logs import moment  # noqa: PLC0415

    try:
        return moment(text, "--since")
    except RequestError as error:
        raise UsageError(str(error)) from None


async def book_of(address: Address) -> "LogBook":
    """The log that is kept there."""
    # It brings in SQLAlchemy.
    from retinue.store.database import Database  # noqa: PLC0415
    from retinue.store.log_book import LogBook  # noqa: PLC0415

    return LogBook(Database(address))


async def following(
    book: "LogBook", which: Which, most: int
) -> AsyncGenerator[Mapping[str, Any], None]:
    """The last rows, at most `most`, then what comes: a row may come some seconds late."""
    seen: dict[str, float] = {}
    begun = time.time()
    for row in reversed(await last(book, which, most)):
        seen[row["id"]] = row["created_at"]
        yield row
    while True:
        await asyncio.sleep(_LOOK)
        recent = time.time() - _LATE
        coming = replace(which, since=max(which.since or 0.0, recent, begun))
        for row in reversed(await last(book, coming, _MOST)):
            if row["id"] not in seen:
                seen[row["id"]] = row["created_at"]
                yield row
        seen = {name: at for name, at in seen.items() if at >= recent}


async def last(book: "LogBook", which: Which, most: int) -> list[Mapping[str, Any]]:
    """The newest rows first, and none where nothing was ever kept."""
    if not book.database.exists:
        return []
    return await book.page(which, after=None, limit=most)


def line(row: Mapping[str, Any]) -> str:
    """A row for people, its time in UTC."""
    when = datetime.fromtimestamp(row["created_at"], UTC).isoformat(sep=" ", timespec="seconds")
    dollars = "" if row["cost_usd"] is None else f"  ${row['cost_usd']:.4f}"
    more = {
        "error": row["error"],
        "user": row["user"],
        "session": row["session"],
        "request_id": row["request_id"],
    }
    told = "  ".join(f"{name}={value}" for name, value in more.items() if value)
    return (
        f"{when.removesuffix('+00:00')}Z  {row['agent']}  {row['status']}  {row['ms']:.0f} ms  "
        f"{row['input_tokens']}+{row['output_tokens']} tokens{dollars}  {told}"
    )
