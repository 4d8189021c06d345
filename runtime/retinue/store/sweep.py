"""How long things are kept → those that are older, forgotten."""

import asyncio
from collections.abc import Iterator
from functools import partial

from retinue.storage import Keep
from retinue.store import answered, chores, conversations, log, notes, responses
from retinue.store.database import Database, Work

_CHORE = "sweep"
_PAUSE = 0.05
"""Seconds between transactions, for those who wait for the database."""


async def begin(database: Database, every: float) -> bool:
    """Whether this process is to sweep: none has in the last `every` seconds."""
    return await database.write(partial(chores.begin, name=_CHORE, every=every))


async def sweep(database: Database, keep: Keep) -> None:
    """Forget what is old, some of it in each transaction. Raises what the database does."""
    for forget in _all(keep):
        gone = 1
        while gone:
            gone = await database.write(forget)
            await asyncio.sleep(_PAUSE)


def _all(keep: Keep) -> Iterator[Work[int]]:
    yield answered.forget
    yield notes.forget
    if keep.responses is not None:
        yield partial(responses.forget, seconds=keep.responses)
    if keep.conversations is not None:
        yield partial(conversations.forget, seconds=keep.conversations)
    if keep.logs is not None:
        yield partial(log.forget, seconds=keep.logs)
