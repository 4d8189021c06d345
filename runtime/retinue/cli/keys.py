"""`retinue keys`: API keys in the project's store, made, listed and revoked."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from retinue.cli.options import (
    Output,
    OutputOption,
    ProjectOption,
    VariableOption,
    checked,
    compile_project,
    open_project,
)
from retinue.cli.stored import StoreOption, agents_store_of, seconds_in, store_of
from retinue.diagnostics import printable
from retinue.errors import RequestError, UsageError
from retinue.store.address import Address

if TYPE_CHECKING:
    from retinue.store.api_key import ApiKey
    from retinue.store.key_book import KeyBook

T = TypeVar("T")

_PAGE = 1000
# What the routes call a field → what the command line does.
_OPTIONS = {
    "agents": "--agent",
    "expires_in": "--expires, in seconds,",
    "limits.rate": "--rate",
    "limits.tokens": "--tokens",
    "limits.usd": "--usd",
}

app = typer.Typer(no_args_is_help=True)


class KeyScope(StrEnum):
    """What a key may do."""

    CHAT = "chat"
    LOGS = "logs"
    ADMIN = "admin"


@app.callback()
def command() -> None:
    """Make, list and revoke API keys in the project's store."""


@app.command("create")
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whom or what the key is for.")],
    scope: Annotated[
        list[KeyScope] | None,
        typer.Option(
            "--scope",
            help="chat: ask agents; logs: read the whole log; admin: operate the server, and the "
            "others (default: chat); repeatable.",
        ),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            "--agent", metavar="NAME", help="An agent that it is for (default: all); repeatable."
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="TIME", help="How long it is good, such as 12h or 90d."),
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", help="How often it may ask, such as 60/minute.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option("--tokens", help="Tokens that it may use, such as 1000000/day.")
    ] = None,
    usd: Annotated[
        str | None, typer.Option("--usd", help="Dollars that it may cost, such as 5.00/day.")
    ] = None,
    output: OutputOption = Output.TEXT,
    store: StoreOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Make a key, and print it: it is shown this once, and only its digest is kept.

    Servers that share the store take it at once.
    """
    opened = open_project(ctx, project)
    agents = checked(compile_project(opened, None, variables))
    address = agents_store_of(agents, opened, store)
    # Off the start-up path: these bring in pydantic's models.
    from retinue.serve.wire.keys import CreateKeyRequest, key_object  # noqa: PLC0415

    limits = {"rate": rate, "tokens": tokens, "usd": usd}
    given = {
        "name": name,
        "scopes": sorted({one.value for one in scope or ()}) or None,
        "agents": agent or None,
        "expires_in": _life(expires),
        "limits": limits,
    }
    try:
        text, key = CreateKeyRequest.read(json.dumps(given).encode()).made(
            [one.name for one in agents]
        )
    except RequestError as error:
        raise UsageError(_in_options(error)) from None
    asyncio.run(_asked(address, lambda book: book.add(key)))
    told = key_object(key, text)
    if output is Output.JSON:
        typer.echo(json.dumps(told))
        return
    typer.echo(printable(_line(told)), err=True)
    typer.echo("This is the key; it can't be shown again:", err=True)
    typer.echo(text)


@app.command("list")
def list_(
    ctx: typer.Context,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that are revoked or expired.")
    ] = False,
    output: OutputOption = Output.TEXT,
    store: StoreOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """List the keys that are good, the newest first: what they are for, never the keys."""
    address = store_of(open_project(ctx, project), variables, store)
    from retinue.serve.wire.keys import key_object  # noqa: PLC0415 - as above

    for told in map(key_object, asyncio.run(_asked(address, _every))):
        if every or told["status"] == "active":
            typer.echo(json.dumps(told) if output is Output.JSON else printable(_line(told)))


@app.command("revoke")
def revoke(
    ctx: typer.Context,
    word: Annotated[str, typer.Argument(metavar="ID|NAME", help="Which key.")],
    output: OutputOption = Output.TEXT,
    store: StoreOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Revoke a key for good: within seconds no server that shares the store takes it."""
    address = store_of(open_project(ctx, project), variables, store)
    from retinue.serve.wire.keys import key_object  # noqa: PLC0415 - as above

    async def revoked(book: "KeyBook") -> "ApiKey | None":
        return await book.revoke(word) if book.database.exists else None

    key = asyncio.run(_asked(address, revoked))
    if key is None:
        raise UsageError(f"there is no key '{word}' that isn't revoked: see `retinue keys list`")
    told = key_object(key)
    typer.echo(json.dumps(told) if output is Output.JSON else printable(_line(told)))


async def _asked(address: Address, what: Callable[["KeyBook"], Awaitable[T]]) -> T:
    # It brings in SQLAlchemy.
    from retinue.store.database import Database  # noqa: PLC0415
    from retinue.store.key_book import KeyBook  # noqa: PLC0415

    book = KeyBook(Database(address))
    try:
        return await what(book)
    finally:
        await book.database.aclose()


async def _every(book: "KeyBook") -> "list[ApiKey]":
    found: list[ApiKey] = []
    while book.database.exists:
        page = await book.page(after=found[-1].id if found else None, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            break
    return found


def _in_options(error: RequestError) -> str:
    """What is wrong, told of the option that it was said with."""
    param = error.param or ""
    option = _OPTIONS.get(param.partition("[")[0])
    return str(error).replace(f"'{param}'", option) if option else str(error)


def _life(text: str | None) -> int | None:
    if text is None:
        return None
    seconds = seconds_in(text)
    if seconds is None:
        raise UsageError(f"--expires '{text}' is not a time: write a number and s, m, h or d")
    return seconds


def _line(told: dict[str, Any]) -> str:
    limits = (f"{name}={text}" for name, text in told["limits"].items() if text)
    agents = (f"agent={name}" for name in told["agents"] or ())
    ends = {name: told[f"{name}_at"] for name in ("expires", "revoked", "last_used")}
    times = (f"{name}={_day(at)}" for name, at in ends.items() if at is not None)
    scopes = ",".join(told["scopes"])
    words = (told["id"], told["name"], told["status"], f"scopes={scopes}", *agents, *limits, *times)
    return "  ".join(words)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
