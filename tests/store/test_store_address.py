"""Where a store is: what the command line, the files and the surroundings say."""

from functools import partial
from pathlib import Path

import pytest

from retinue.errors import MissingReferenceError, StoreError
from retinue.run.references import environment, resolved
from retinue.storage import Lakebase, Store
from retinue.store.address import Address, Lake, store_address
from retinue.values import Ref, Template

ROOT = Path("/project")


def test_a_file_in_the_project_unless_told_otherwise():
    usual = Address(file=ROOT / ".retinue" / "state.db")
    assert store_address(None, ROOT) == store_address(Store(), ROOT) == usual


def test_nothing_in_an_app_unless_told_otherwise():
    assert (
        store_address(None, ROOT, app="analyst")
        is store_address(Store(), ROOT, app="analyst")
        is None
    )
    said = Store(url="postgresql://db/agents")
    assert store_address(said, ROOT, app="analyst") == Address(
        url="postgresql://db/agents", schema="analyst"
    )


def test_an_app_has_a_schema_of_its_own_unless_the_url_names_one():
    lake = store_address(Store(lakebase=Lakebase(name="agents")), ROOT, app="analyst")
    assert lake.schema == "analyst"
    assert store_address(Store(lakebase=Lakebase(name="agents")), ROOT).schema is None
    url = "postgresql://db/agents?options=-csearch_path%3Dours"
    assert store_address(Store(url=url), ROOT, app="analyst") == Address(url=url)
    assert store_address(Store(url="sqlite:///a.db"), ROOT, app="analyst").schema is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("off", None),
        ("sqlite:///state.db", Address(file=ROOT / "state.db")),
        ("sqlite:////var/lib/state.db", Address(file=Path("/var/lib/state.db"))),
        ("postgresql://u@db/agents", Address(url="postgresql://u@db/agents")),
        ("postgres://u@db/agents", Address(url="postgres://u@db/agents")),
    ],
)
def test_urls(url, address):
    assert store_address(Store(url=url), ROOT) == address
    assert store_address(Store(url="postgresql://other"), ROOT, given=url) == address


@pytest.mark.parametrize(
    "url", ["", "mysql://db/x", "sqlite://", "sqlite:///", "sqlite:///:memory:", "state.db"]
)
def test_what_is_no_stores_url_is_told(url):
    with pytest.raises(StoreError, match="sqlite:///PATH, postgresql://USER@HOST/DATABASE or off"):
        store_address(None, ROOT, given=url)


def test_lakebase_by_name_with_its_references_replaced():
    store = Store(lakebase=Lakebase(name="agents", database="notes"))
    found = store_address(store, ROOT, text=str.upper)
    assert found == Address(lake=Lake("AGENTS", "NOTES"))


def test_a_database_that_the_bundle_makes_is_the_apps_and_a_file_elsewhere():
    endpoint = Template((Ref("env", "RETINUE_STORE_ENDPOINT"),))
    store = Store(lakebase=Lakebase(name=endpoint, database="retinue", project="agents"))
    place = "projects/agents-dev/branches/production/endpoints/primary"
    text = partial(resolved, lookup=environment({"RETINUE_STORE_ENDPOINT": place}))
    found = store_address(store, ROOT, app="genie", text=text)
    assert found == Address(lake=Lake(place, "retinue", made=True), schema="genie")
    assert store_address(store, ROOT) == Address(file=ROOT / ".retinue" / "state.db")
    with pytest.raises(MissingReferenceError, match="RETINUE_STORE_ENDPOINT"):
        store_address(store, ROOT, app="genie", text=partial(resolved, lookup=environment({})))


def test_an_address_shows_no_password():
    address = Address(url="postgresql://me:geheim@db/agents")
    assert "geheim" not in f"{address} {address!r}"


def test_files_are_beside_sqlite_or_where_the_store_says():
    assert store_address(None, ROOT).place == str(ROOT / ".retinue" / "state.files")
    volume = Store(url="postgresql://u@db/agents", files="/Volumes/main/agents/files")
    assert store_address(volume, ROOT).place == "/Volumes/main/agents/files"
    assert store_address(Store(url="sqlite:///a.db", files="kept"), ROOT).place == str(
        ROOT / "kept"
    )
    assert store_address(Store(url="postgresql://u@db/agents"), ROOT).place is None
