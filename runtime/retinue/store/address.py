"""What the files and the command line say of the store → the address of a database, or none."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from retinue.errors import ConfigurationError, StoreError
from retinue.storage import Store
from retinue.values import Text

OFF = "off"
_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
_SEARCH_PATH = "search_path"
_FOLDER = ".retinue"
_FILE = "state.db"


class AddressError(StoreError, ConfigurationError):
    """What is given for a store is none, or can't be used as this is installed."""


@dataclass(frozen=True, slots=True)
class Lake:
    """A Lakebase database: `name` is an instance's, or an endpoint's path; without references.
    `made` is true of the one that the bundle made, whose name is known.
    """

    name: str
    database: str
    made: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is: exactly one of a `file` (SQLite), a `url` (PostgreSQL) and a `lake`.

    `files` is a folder or a volume's path for the bytes of callers' files, where one is given. With
    PostgreSQL `schema` is where the tables are, by default where the database says.
    """

    file: Path | None = None
    url: str | None = field(default=None, repr=False)
    lake: Lake | None = None
    files: str | None = None
    schema: str | None = None

    @property
    def place(self) -> str | None:
        """Where those bytes are: by default beside SQLite's file, and nowhere with others, which
        may not be on this machine.
        """
        return self.files or (str(self.file.with_suffix(".files")) if self.file else None)

    def __str__(self) -> str:
        """As it may be shown: a URL holds a password."""
        if self.file:
            return f"SQLite at {self.file}"
        return f"Lakebase {self.lake.name}" if self.lake else "PostgreSQL"


def store_address(
    store: Store | None,
    root: Path,
    *,
    given: str | None = None,
    app: str | None = None,
    text: Callable[[Text], str] = str,
) -> Address | None:
    """Where state is kept: what the command line gives, else the files, else a file in `.retinue`.

    None where it is off, as it is by default in a Databricks App, whose disk is lost. `app` is the
    name of the one that this is, which has a schema of that name to itself: others would take up
    its runs, and have no rights to its tables. A database that the bundle makes is the apps':
    elsewhere it is the usual file. `text` replaces the references in what the files say. Raises
    AddressError for what is no store's URL, and what `text` does.
    """
    address = _database(store, root, given, app is not None, text)
    if address and not address.file and _SEARCH_PATH not in (address.url or ""):
        address = replace(address, schema=app)
    if address and store and store.files:
        return replace(address, files=str(root / text(store.files)))
    return address


def _database(
    store: Store | None, root: Path, given: str | None, app: bool, text: Callable[[Text], str]
) -> Address | None:
    if given is not None:
        return _at(given, root)
    lakebase = store and store.lakebase
    elsewhere = lakebase and lakebase.project and not app
    if store is None or elsewhere or (store.url is None and lakebase is None):
        return None if app else Address(file=root / _FOLDER / _FILE)
    if lakebase:
        _check_driver()
        made = lakebase.project is not None
        return Address(lake=Lake(text(lakebase.name), text(lakebase.database), made))
    return _at(text(store.url or OFF), root)


def _check_driver() -> None:
    if find_spec("psycopg") is None:
        raise AddressError(
            "a store in PostgreSQL needs its driver: pip install 'retinue[postgres]'"
        )


def _at(url: str, root: Path) -> Address | None:
    if url == OFF:
        return None
    if url.startswith(_POSTGRES):
        _check_driver()
        return Address(url=url)
    path = url.removeprefix(_SQLITE).partition("?")[0]
    if not url.startswith(_SQLITE) or not path or path.startswith(":"):
        raise AddressError(
            "a store is sqlite:///PATH, postgresql://USER@HOST/DATABASE or off; what is given as "
            "store is none of these"
        )
    return Address(file=root / path)
