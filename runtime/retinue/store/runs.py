"""Runs in the background: who works on which, and the events of their streams."""

from collections.abc import Callable, Collection, Sequence

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.now import now
from retinue.store.records import Batch, Claim, FullError, LostError, Tail
from retinue.store.responses import responses
from retinue.store.tables import metadata
from retinue.store.workers import alive

MAX_WAITING = 1000
MAX_OWNERS = 100
"""Runs that wait for somebody to work on them, of all owners and of one."""
_BATCHES = 64
_FORSAKEN = 600.0
"""After how many seconds a run is taken up also where its agent isn't served, which ends it."""

runs = Table(
    "runs",
    metadata,
    Column(
        "response_id",
        String(64),
        ForeignKey("responses.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("state", String(16), nullable=False, index=True),
    Column("created_at", Double, nullable=False),
    Column("worker", String(64)),
    Column("attempts", Integer, nullable=False),
    Column("request", Text, nullable=False),
    Column("streamed", Boolean, nullable=False),
    # Whether something may have been done that can't be done twice.
    Column("touched", Boolean, nullable=False),
)
events = Table(
    "events",
    metadata,
    Column(
        "response_id",
        String(64),
        ForeignKey("responses.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("first", Integer, primary_key=True),
    Column("last", Integer, nullable=False),
    Column("frames", LargeBinary, nullable=False),
)


async def submit(
    connection: AsyncConnection,
    response_id: str,
    request: str,
    worker: str | None,
    *,
    streamed: bool,
) -> None:
    """A new run, which `worker` begins at once, or whoever is free. Raises FullError."""
    if worker is None:
        await _check_queue(connection, response_id)
    await connection.execute(
        insert(runs).values(
            response_id=response_id,
            state="running" if worker else "queued",
            created_at=now(),
            worker=worker,
            attempts=1 if worker else 0,
            request=request,
            streamed=streamed,
            touched=False,
        )
    )


async def _check_queue(connection: AsyncConnection, response_id: str) -> None:
    new = responses.alias()
    owned = (
        responses.c.owner == select(new.c.owner).where(new.c.id == response_id).scalar_subquery()
    )
    waiting = (
        select(func.count(), func.count().filter(owned))
        .select_from(runs.join(responses, responses.c.id == runs.c.response_id))
        .where(runs.c.state == "queued")
    )
    of_all, of_owner = (await connection.execute(waiting)).one()
    if of_all >= MAX_WAITING or of_owner >= MAX_OWNERS:
        raise FullError


def _free(agents: Collection[str]) -> ColumnElement[bool]:
    """Runs of these agents that nobody works on: new ones, and those of processes that live no
    more. Those of other agents are left to who serves them, if anybody does.
    """
    orphaned = and_(runs.c.state == "running", runs.c.worker.not_in(alive()))
    ours = or_(responses.c.agent.in_(agents), runs.c.created_at < now() - _FORSAKEN)
    return and_(or_(runs.c.state == "queued", orphaned), ours)


async def look(
    connection: AsyncConnection, worker: str, agents: Collection[str]
) -> tuple[bool, set[str]]:
    """Whether there is something to claim, and what is the worker's own."""
    both = runs.join(responses, responses.c.id == runs.c.response_id)
    free = select(runs.c.response_id).select_from(both).where(_free(agents)).limit(1)
    mine = select(runs.c.response_id).where(runs.c.state == "running", runs.c.worker == worker)
    return (
        (await connection.execute(free)).first() is not None,
        set((await connection.execute(mine)).scalars()),
    )


async def claim(
    connection: AsyncConnection, worker: str, most: int, agents: Collection[str]
) -> list[Claim]:
    """Up to `most` runs of these agents that nobody works on, the oldest first: they are the
    worker's now.
    """
    wanted = (
        select(runs, responses.c.owner, responses.c.created_at.label("created"))
        .join(responses, responses.c.id == runs.c.response_id)
        .where(_free(agents))
        .order_by(runs.c.created_at)
        .limit(most)
        .with_for_update(skip_locked=True, of=runs)
    )
    claimed = []
    for row in (await connection.execute(wanted)).all():
        await connection.execute(
            update(runs)
            .where(runs.c.response_id == row.response_id)
            .values(state="running", worker=worker, attempts=row.attempts + 1)
        )
        await connection.execute(
            update(responses).where(responses.c.id == row.response_id).values(status="in_progress")
        )
        last = select(func.max(events.c.last)).where(events.c.response_id == row.response_id)
        claimed.append(
            Claim(
                response_id=row.response_id,
                owner=row.owner,
                created_at=row.created,
                request=row.request,
                streamed=row.streamed,
                touched=row.touched,
                attempts=row.attempts + 1,
                told=(await connection.execute(last)).scalar(),
            )
        )
    return claimed


async def give_back(connection: AsyncConnection, worker: str, response_ids: Sequence[str]) -> None:
    """The worker doesn't work on these: somebody else may."""
    mine = (runs.c.worker == worker) & runs.c.response_id.in_(response_ids)
    going = mine & (runs.c.state == "running")
    await connection.execute(update(runs).where(going).values(state="queued", worker=None))


async def touch(connection: AsyncConnection, response_id: str, worker: str) -> None:
    """From here on it can't be run again. Raises LostError."""
    mine = _mine(response_id, worker)
    if not (await connection.execute(update(runs).where(mine).values(touched=True))).rowcount:
        raise LostError


async def append(connection: AsyncConnection, response_id: str, worker: str, batch: Batch) -> None:
    """More of its stream. Raises LostError."""
    mine = _mine(response_id, worker)
    # Written to, so that nobody can take it away meanwhile.
    if not (await connection.execute(update(runs).where(mine).values(worker=worker))).rowcount:
        raise LostError
    await _add(connection, response_id, batch)


async def restart(connection: AsyncConnection, response_id: str) -> None:
    """Its stream begins anew."""
    await connection.execute(delete(events).where(events.c.response_id == response_id))


async def finish(
    connection: AsyncConnection,
    response_id: str,
    worker: str,
    batch: Batch | None,
    *,
    status: str,
    body: str,
    messages: str = "[]",
) -> None:
    """It is over. Raises LostError."""
    done = update(runs).where(_mine(response_id, worker)).values(state="done", worker=None)
    if not (await connection.execute(done)).rowcount:
        raise LostError
    await _end(connection, response_id, batch, status=status, body=body, messages=messages)


async def cancel(
    connection: AsyncConnection, response_id: str, told: Callable[[int], tuple[Batch | None, str]]
) -> bool:
    """It is over, whoever works on it; whether it wasn't already. `told` is as `Store` has it."""
    going = (runs.c.response_id == response_id) & (runs.c.state != "done")
    done = update(runs).where(going).values(state="done", worker=None)
    if not (await connection.execute(done)).rowcount:
        return False
    batch, body = told(await last_event(connection, response_id))
    await _end(connection, response_id, batch, status="cancelled", body=body, messages="[]")
    return True


async def _end(
    connection: AsyncConnection,
    response_id: str,
    batch: Batch | None,
    *,
    status: str,
    body: str,
    messages: str,
) -> None:
    await connection.execute(
        update(responses)
        .where(responses.c.id == response_id)
        .values(status=status, body=body, messages=messages)
    )
    if batch:
        await _add(connection, response_id, batch)


async def _add(connection: AsyncConnection, response_id: str, batch: Batch) -> None:
    await connection.execute(
        insert(events).values(
            response_id=response_id, first=batch.first, last=batch.last, frames=batch.frames
        )
    )


def _mine(response_id: str, worker: str) -> ColumnElement[bool]:
    r = runs.c
    return (r.response_id == response_id) & (r.state == "running") & (r.worker == worker)


async def last_event(connection: AsyncConnection, response_id: str) -> int:
    """The number of the last event that was told; -1 before the first."""
    last = select(func.max(events.c.last)).where(events.c.response_id == response_id)
    found = (await connection.execute(last)).scalar()
    return -1 if found is None else int(found)


async def tail(
    connection: AsyncConnection, response_id: str, owner: str, after: int
) -> Tail | None:
    """What its stream tells after the event `after`; None where the owner has no such run."""
    state = (
        select(runs.c.state, runs.c.streamed)
        .join(responses, responses.c.id == runs.c.response_id)
        .where(runs.c.response_id == response_id, responses.c.owner == owner)
    )
    row = (await connection.execute(state)).one_or_none()
    if row is None:
        return None
    e = events.c
    found = await connection.execute(
        select(e.first, e.last, e.frames)
        .where(e.response_id == response_id, e.last > after)
        .order_by(e.first)
        .limit(_BATCHES)
    )
    batches = tuple(Batch(*one) for one in found)
    return Tail(over=row.state == "done", streamed=row.streamed, batches=batches)
