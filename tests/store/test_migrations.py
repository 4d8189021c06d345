"""The migrations make what the modules say, and are counted right."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from retinue.store import counters, files, keys, log, migrate, store
from retinue.store.tables import metadata


def test_the_newest_is_the_one_that_is_named():
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_current_head() == migrate.REVISION


TABLES = {table.name for table in (counters.counters, files.files, keys.api_keys, log.request_log)}


def _is_alembics(change) -> bool:
    return change[0] == "remove_table" and change[1].name == "alembic_version"


async def test_they_make_the_tables_that_the_modules_use(address):
    assert metadata.tables.keys() >= TABLES
    database = store.Store(address).database

    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), metadata)

    await database.prepare()
    found = await database.read(lambda connection: connection.run_sync(differences))
    assert [change for change in found if not _is_alembics(change)] == []
    await database.aclose()
