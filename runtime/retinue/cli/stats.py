"""`retinue stats`: the log of requests in the project's store → what they come to."""

import asyncio
import json
from typing import Annotated, Any

import typer

from retinue.cli.options import (
    Output,
    OutputOption,
    ProjectOption,
    VariableOption,
    open_project,
)
from retinue.cli.stored import (
    OfAgentOption,
    SessionOption,
    SinceOption,
    StoreOption,
    UserOption,
    book_of,
    store_of,
    wanted,
)
from retinue.diagnostics import printable
from retinue.errors import StoreError
from retinue.store.address import Address
from retinue.store.log_query import Which

_MOST = 1000


def command(
    ctx: typer.Context,
    users: Annotated[bool, typer.Option("--users", help="By user instead of by agent.")] = False,
    session: SessionOption = None,
    user: UserOption = None,
    agent: OfAgentOption = None,
    since: SinceOption = None,
    output: OutputOption = Output.TEXT,
    store: StoreOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Sum up the requests in the log of the project's store: how many, tokens, cost and time."""
    which = wanted(session, user, agent, since)
    address = store_of(open_project(ctx, project), variables, store)
    told = asyncio.run(_asked(address, which, users=users))
    if output is Output.JSON:
        typer.echo(json.dumps(told, indent=2))
        return
    rows = told["data"] if users else [*told["agents"], {**told, "agent": "all"}]
    name = "user" if users else "agent"
    for row in rows:
        typer.echo(printable(_line(row[name] or "-", row)))


command.__name__ = "stats"


async def _asked(address: Address, which: Which, *, users: bool) -> dict[str, Any]:
    # Off the start-up path: it comes with the server.
    from retinue.serve.wire.logs import stats_object, user_list  # noqa: PLC0415

    book = await book_of(address)
    try:
        if not book.database.exists:
            raise StoreError(f"nothing is kept yet in {address}")
        if users:
            return user_list(await book.totals_by_user(which, after=None, limit=_MOST), _MOST)
        return stats_object(*await book.totals(which))
    finally:
        await book.database.aclose()


def _line(name: str, row: dict[str, Any]) -> str:
    return (
        f"{name}: {row['requests']} requests, {row['errors']} failed, {row['input_tokens']}+"
        f"{row['output_tokens']} tokens, ${row['cost_usd']:.4f}, {row['mean_ms']:.0f} ms on average"
    )
