"""A database of any age → one with the schema of this version."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateSchema

from retinue.errors import StoreError
from retinue.store.engine import WRITES

REVISION = "0006"
"""The newest of `migrations/versions`; they are numbered."""

_SCRIPTS = Path(__file__).parent / "migrations"
# Any number, as long as nobody else takes it.
_LOCK = 7_353_846_201


async def migrate(engine: AsyncEngine, schema: str | None = None) -> None:
    """Bring the tables up to date, whoever else is about to: others wait, and find it done.

    They are in PostgreSQL's `schema`, where one is named, which is made if it isn't there.
    Raises StoreError where a newer version of Retinue has been here.
    """
    async with engine.connect() as connection:
        if await connection.run_sync(_revision) == REVISION:
            return
        await connection.rollback()
        await connection.execution_options(**{WRITES: True})
        async with connection.begin():
            if engine.dialect.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})
            if schema:
                await _make_schema(connection, schema)
            await connection.run_sync(_upgrade)


async def _make_schema(connection: AsyncConnection, schema: str) -> None:
    # To make one that is there takes a right that its users don't need.
    there = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
    if (await connection.execute(there, {"name": schema})).first() is None:
        await connection.execute(CreateSchema(schema))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found > REVISION:
        raise StoreError(
            f"the store was written by a newer version of Retinue (its schema is {found}, and this "
            f"version knows {REVISION}): upgrade Retinue, or name another store"
        )
    return found


def _upgrade(connection: Connection) -> None:
    if _revision(connection) == REVISION:
        return
    # Only a database that isn't up to date needs it.
    from alembic.command import upgrade  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    upgrade(config, REVISION)
