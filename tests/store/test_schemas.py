"""Apps that share a PostgreSQL database: each has its tables in a schema of its own."""

from dataclasses import replace

import pytest
from psycopg import connect
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text

from retinue.errors import StoreError
from retinue.store.address import Address
from retinue.store.database import Database
from retinue.store.records import Conversation, MissingError
from retinue.store.store import Store


@pytest.fixture
def shared(postgres):
    """A database, and two roles that may connect to it and create in it."""
    url = postgres.new_database()
    name = conninfo_to_dict(url)["dbname"]
    for role in ("one", "two"):
        postgres.run(f"CREATE ROLE {role}_{name} LOGIN")
        postgres.run(f"GRANT CONNECT, CREATE ON DATABASE {name} TO {role}_{name}")

    def of(role: str, schema: str | None) -> Address:
        return Address(url=url.replace("://postgres", f"://{role}_{name}", 1), schema=schema)

    assert of("one", None).url != url
    return of


def tables(address: Address) -> set[tuple[str, str]]:
    where = make_conninfo(address.url)
    with connect(where) as connection:
        found = connection.execute("SELECT schemaname, tablename FROM pg_tables").fetchall()
    return {(schema, table) for schema, table in found if schema[:3] not in ("pg_", "inf")}


async def keep(store: Store, name: str) -> None:
    await store.create_conversation("me", Conversation(name, 0, "{}"), [])


async def test_each_app_has_its_own(shared):
    names = ("my-agent", 'an"other')
    addresses = [shared(role, name) for role, name in zip(("one", "two"), names, strict=True)]
    stores = [Store(address) for address in addresses]
    for store in stores:
        await keep(store, "c")
        await store.aclose()
    found = tables(addresses[0])
    assert {schema for schema, _ in found} == set(names)
    assert {(name, "alembic_version") for name in names} <= found
    # Other processes of the same app find it.
    again = Store(addresses[0])
    assert await again.conversation("c", "me")
    await again.remove_conversation("c", "me")
    await again.aclose()
    other = Store(addresses[1])
    assert await other.conversation("c", "me")
    await other.aclose()


async def test_a_connection_stays_where_it_is_whatever_fails(shared):
    store = Store(shared("one", "a"))

    async def wrong(connection):
        await connection.execute(text("SELECT 1/0"))

    for _ in range(3):
        with pytest.raises(Exception, match="division"):
            await store.database.write(wrong)
        with pytest.raises(MissingError):
            await store.conversation("c", "me")
    await store.aclose()


async def test_tables_of_somebody_else_are_told(shared):
    first = Database(shared("one", "same"))
    await first.prepare()
    second = Database(shared("two", "same"))
    with pytest.raises(StoreError, match="another identity has made them"):
        await second.prepare()
    # The database itself is there: nobody has to wait for it.
    assert not second.down
    for database in (first, second):
        await database.aclose()


async def test_who_may_make_nothing_is_told(shared, postgres):
    address = shared("one", None)
    database = Database(address)
    with pytest.raises(StoreError, match="lacks the right to create"):
        await database.prepare()
    await database.aclose()
    name = conninfo_to_dict(address.url)
    # An administrator has made the place: that is enough.
    where = conninfo_to_dict(postgres.uri) | {"dbname": name["dbname"]}
    with connect(**where, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA ready AUTHORIZATION {name['user']}")
        connection.execute(f"REVOKE CREATE ON DATABASE {name['dbname']} FROM {name['user']}")
    database = Database(replace(address, schema="ready"))
    await database.prepare()
    await database.aclose()
