"""A server forgets what its project says, files too, and doesn't wake a database for it."""

import time
from dataclasses import replace

import httpx
import pytest
from serving import LoopRuntime, eventually, running
from sqlalchemy import update

from retinue.serve.files_kept import KeptFiles
from retinue.serve.state import State
from retinue.serve.sweeper import Sweeper, keep_of
from retinue.storage import Keep
from retinue.storage import Store as StoreKeys
from retinue.store.chores import chores
from retinue.store.conversations import conversations
from retinue.store.files import files
from retinue.store.store import Store
from retinue.testing import ScriptedModel, agent


async def age(address, table, **columns) -> None:
    store = Store(address)

    async def work(connection):
        await connection.execute(update(table).values(columns))

    await store.database.write(work)
    await store.aclose()


def upload(http: httpx.Client) -> str:
    sent = http.post("/v1/files", files={"file": ("a.txt", b"text")}, data={"purpose": "user_data"})
    return sent.json()["id"]


@pytest.fixture
def kept(address, tmp_path):
    return replace(address, files=str(tmp_path / "files"))


def server(kept, **keep):
    said = agent("tester", store=StoreKeys(keep=Keep(**keep)))
    return running(LoopRuntime(ScriptedModel(), agents=[said]), store=kept)


async def test_a_server_forgets_as_its_project_says(kept, tmp_path):
    with server(kept) as running_server, running_server.http as http:
        talk = http.post("/v1/conversations", json={}).json()["id"]
        file = upload(http)
    hours_ago = time.time() - 7200
    await age(kept, conversations, used_at=hours_ago)
    await age(kept, files, created_at=hours_ago)
    await age(kept, chores, begun_at=0.0)
    with server(kept, conversations=3600.0, files=3600.0) as again, again.http as http:
        new = http.post("/v1/conversations", json={}).json()["id"]
        paths = (f"/v1/conversations/{talk}", f"/v1/files/{file}")
        eventually(lambda: {http.get(path).status_code for path in paths} == {404}, within=20)
        assert http.get(f"/v1/conversations/{new}").status_code == 200
        eventually(lambda: not list((tmp_path / "files").iterdir()), within=20)


async def test_two_servers_sweep_in_turn(kept):
    async with State(kept) as one, State(kept) as other:
        sweepers = [Sweeper(state, KeptFiles(state), Keep()) for state in (one, other)]
        writes = []
        for sweeper, state in zip(sweepers, (one, other), strict=True):
            database = (await state.store("store")).database
            await database.prepare()
            before = database.writes
            await sweeper.sweep()
            writes.append(database.writes - before)
    assert writes[0] > writes[1] == 1


def test_the_project_says_for_how_long():
    assert keep_of([agent("a")]) == Keep()
    assert keep_of([agent("a", store=StoreKeys(keep=Keep(files=1.0)))]) == Keep(files=1.0)
