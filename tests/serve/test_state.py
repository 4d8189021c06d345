"""A server's store: loaded beside its start, and never in the way of who needs none."""

import pytest
from serving import LoopRuntime

from retinue.errors import RequestError
from retinue.serve.state import State
from retinue.store.address import Address
from retinue.testing import ScriptedModel


async def test_without_a_store_whoever_needs_one_is_told_the_key():
    async with State(None) as state:
        assert not state.on
        with pytest.raises(RequestError, match=r"set `store` in retinue\.yaml") as refused:
            await state.store("conversation")
    assert (refused.value.param, refused.value.code) == ("conversation", "unsupported_parameter")


async def test_the_database_is_there_when_it_is_asked_for(address):
    async with State(address) as state:
        store = await state.store("conversation")
        await store.database.prepare()
        assert state.health == "ok"


def test_a_server_says_how_its_store_is(serving, address):
    assert serving(LoopRuntime(ScriptedModel())).http.get("/health").json()["store"] == "off"
    stored = serving(LoopRuntime(ScriptedModel()), store=address)
    assert stored.http.get("/health").json()["store"] == "ok"


def test_chats_do_not_notice_a_store_that_is_away(serving, tmp_path):
    address = Address(url=f"postgresql://nobody@/none?host={tmp_path}")
    with serving(LoopRuntime(ScriptedModel()), store=address).client as client:
        question = [{"role": "user", "content": "hi"}]
        answer = client.chat.completions.create(model="tester", messages=question)
    assert answer.choices[0].message.content == "ok"


def test_a_file_is_made_when_there_is_something_to_keep(serving, tmp_path):
    address = Address(file=tmp_path / "state.db")
    server = serving(LoopRuntime(ScriptedModel()), store=address)
    assert server.http.get("/health").status_code == 200
    assert not address.file.exists()
