"""The migrations make what the modules say, and are counted right."""

import importlib
import pkgutil
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import retinue.store
from retinue.store import migrate, store
from retinue.store.tables import metadata

# Each module says what tables it has, once it is loaded.
for found in pkgutil.iter_modules(retinue.store.__path__, "retinue.store."):
    importlib.import_module(found.name)


def test_the_newest_is_the_one_that_is_named():
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_current_head() == migrate.REVISION


def _is_alembics(change) -> bool:
    return change[0] == "remove_table" and change[1].name == "alembic_version"


async def test_they_make_the_tables_that_the_modules_use(address):
    database = store.Store(address).database

    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), metadata)

    await database.prepare()
    found = await database.read(lambda connection: connection.run_sync(differences))
    assert [change for change in found if not _is_alembics(change)] == []
    await database.aclose()
