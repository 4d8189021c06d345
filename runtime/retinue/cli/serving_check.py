"""Agents → whether what nothing but a server of theirs needs is there: keys, the store, traces."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from retinue.agent import Agent
from retinue.cli.examination import Check
from retinue.errors import MissingReferenceError, StoreDownError, StoreError
from retinue.project import Project
from retinue.run.ports import Lookup
from retinue.serve.admission import VARIABLE
from retinue.serve.factory import agents_store
from retinue.store.address import Address
from retinue.store.engine import engine_for
from retinue.values import Template, Text

_PATIENCE = 15.0
_NOWHERE = "nothing is kept"
_DOWN = (SQLAlchemyError, StoreDownError, MissingReferenceError, TimeoutError, OSError)


async def serving(agents: Sequence[Agent], project: Project, lookup: Lookup) -> list[Check]:
    """Nothing is written: a database is asked whether it answers."""
    state = await _store(agents, project)
    return [*_keys(agents, lookup, state), *_traces(agents, lookup), state]


def _keys(agents: Sequence[Agent], lookup: Lookup, state: Check) -> Iterator[Check]:
    """API keys, where callers have to show one; where there is a store, they may be in it."""
    locked = [a.auth for a in agents if a.auth and a.auth.mode == "api_key"]
    for keys in dict.fromkeys(auth.keys for auth in locked):
        if keys is not None:
            yield _found("callers' API keys", keys, lookup)
        elif os.environ.get(VARIABLE, "").strip():
            yield Check("key", "callers' API keys", "ok", f"{VARIABLE} is set")
        elif state.detail != _NOWHERE:
            detail = f"{VARIABLE} is not set: callers need keys of the store, see `retinue keys`"
            yield Check("key", "callers' API keys", "ok", detail)
        else:
            detail = f"{VARIABLE} is not set in the environment: nobody could call"
            yield Check("key", "callers' API keys", "failed", detail)


def _traces(agents: Sequence[Agent], lookup: Lookup) -> Iterator[Check]:
    watched = dict.fromkeys(agent.observability for agent in agents if agent.observability)
    for observed in watched:
        texts = {"endpoint": observed.otlp_endpoint, **dict(observed.otlp_headers)}
        for name, value in texts.items():
            if isinstance(value, Template):
                yield _found(f"observability.otlp {name}", value, lookup)


def _found(name: str, value: Text, lookup: Lookup) -> Check:
    try:
        filled = value.resolve(lookup) if isinstance(value, Template) else value
    except MissingReferenceError as missing:
        return Check("key", name, "failed", str(missing))
    if not filled.strip():
        return Check("key", name, "failed", f"{value} is empty")
    return Check("key", name, "ok", f"{value} is set")


async def _store(agents: Sequence[Agent], project: Project) -> Check:
    try:
        address = agents_store(agents, project)
    except (StoreError, MissingReferenceError) as error:
        return Check("store", "state", "failed", str(error))
    if address is None:
        return Check("store", "state", "ok", _NOWHERE)
    if address.file and not address.file.exists():
        return _new_file(address, address.file)
    try:
        async with asyncio.timeout(_PATIENCE):
            await _asked(address)
    except _DOWN:
        # What a driver says may quote the address.
        return Check("store", str(address), "failed", "can't be reached, or refuses the login")
    return Check("store", str(address), "ok", "answers")


def _new_file(address: Address, file: Path) -> Check:
    above = next(folder for folder in file.parents if folder.exists())
    if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
        return Check("store", str(address), "ok", "is made when there is something to keep")
    return Check("store", str(address), "failed", f"{above} can't be written")


async def _asked(address: Address) -> None:
    engine = engine_for(address)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    finally:
        await engine.dispose()
