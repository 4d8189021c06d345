"""A database that stops while the server runs: what goes on, what waits, and what comes back."""

import time

import openai
from serving import LoopRuntime, eventually

from retinue.store.address import Address
from retinue.testing import ScriptedModel, says

QUESTION = [{"role": "user", "content": "hi"}]


def test_only_what_needs_it_notices_and_nothing_is_lost(serving, postgres):
    model = ScriptedModel(says("It is 3."), [2.0, *says("late")], says("It is 3."))
    store = Address(url=postgres.new_database())
    with serving(LoopRuntime(model), store=store).client as client:
        kept = client.responses.create(model="tester", input="hi")
        begun = client.responses.create(model="tester", input="hi", background=True)
        eventually(lambda: len(model.requests) == 2, within=10)
        postgres.crash()
        try:
            for _ in range(20):
                answer = client.chat.completions.create(model="tester", messages=QUESTION)
                assert answer.choices[0].message.content == "It is 3."
                unkept = client.responses.create(model="tester", input="hi")
                assert (unkept.output_text, unkept.store) == ("It is 3.", False)
                start = time.monotonic()
                try:
                    client.responses.retrieve(kept.id)
                except openai.InternalServerError as down:
                    assert (down.status_code, down.code) == (503, "store_unavailable")
                assert time.monotonic() - start < 8
            # The run in the background ends meanwhile.
            time.sleep(2)
        finally:
            postgres.start()

        def there(response_id):
            try:
                return client.responses.retrieve(response_id).status == "completed"
            except openai.InternalServerError:
                return False

        eventually(lambda: there(kept.id), within=60)
        eventually(lambda: there(begun.id), within=60)
        assert client.responses.retrieve(begun.id).output_text == "late"
        assert client.responses.create(model="tester", input="hi").store is True
