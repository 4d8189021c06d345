"""A server for the clients: a real runtime and HTTP, around a model that follows what is said.

    RETINUE_KEY=some-key python tests/clients/served.py

Prints its URL, and serves until its input is closed.
"""

import json
import os
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from retinue.agent import Auth, Limits, Skill
from retinue.errors import ModelError
from retinue.run.events import ModelEvent, ModelFinished, ReasoningDelta, TextDelta, Usage
from retinue.run.messages import ToolCall
from retinue.run.ports import ModelRequest, NamedTool
from retinue.run.runtime import Runtime
from retinue.serve import app_for
from retinue.serve.admission import VARIABLE, Access
from retinue.serve.server import Server, listen, server_config
from retinue.testing import agent

SKILL = Skill(name="figures", description="How to show figures.", body="Use tables.", root=Path())
FORM = {"sky": "grey", "degrees": 7}
SPENT = Usage(10, 5, cached_tokens=4, reasoning_tokens=2)


class Actor:
    """Does what the last user message names; the checks of every client count on it.

    `skill` calls a tool of the agent's own first. `weather` calls the caller's tool of that name
    and then repeats what it said. `first` repeats the conversation's first user message. `busy`
    fails before a word, `break` after some. A form gets FORM, and so does
    a tool that has to be called. Anything else is answered.
    """

    def __init__(self, *_: object) -> None:
        pass

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        said = [m.content for m in request.messages if m.role == "user"]
        answers = [m.content for m in request.messages if m.role == "tool"]
        last = said[-1]
        if "busy" in last:
            raise ModelError("rate_limit", "It is busy.", retry_after=1, permanent=True)
        yield ReasoningDelta("Hm. ")
        if "skill" in last and not answers:
            yield ToolCall("call_own", "load_skill", json.dumps({"name": "figures"}))
            yield ModelFinished("tool_calls", SPENT)
            return
        if "weather" in last and request.messages[-1].role != "tool":
            yield ToolCall("call_1", "weather", json.dumps({"city": "Bern"}))
            yield ModelFinished("tool_calls", SPENT)
            return
        if isinstance(request.tool_choice, NamedTool):
            yield ToolCall("call_1", request.tool_choice.name, json.dumps(FORM))
            yield ModelFinished("tool_calls", SPENT)
            return
        for word in self._answer(request, said, answers):
            yield TextDelta(word)
        if "break" in last:
            raise ModelError("truncated", "The model's answer broke off.")
        yield ModelFinished("stop", SPENT)

    def _answer(self, request: ModelRequest, said: list[str], answers: list[str]) -> list[str]:
        if request.output:
            return [json.dumps(FORM)]
        if "weather" in said[-1]:
            return ["It ", "says: ", answers[-1]]
        if "first" in said[-1]:
            return ["You ", "said: ", said[0]]
        if "skill" in said[-1]:
            return ["I ", "read ", "it."]
        return ["Hello ", "to ", "you."]

    async def warm(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def main() -> None:
    auth = Auth(mode="api_key")
    served = agent("tester", skills=(SKILL,), limits=Limits(max_turns=4), auth=auth)
    listener = listen("127.0.0.1", 0)
    access = Access([served], {VARIABLE: os.environ["RETINUE_KEY"]})
    app = app_for(Runtime([served], models={"scripted": Actor}), access=access)
    config = server_config(app, log_level="warning")
    server = Server(config, listener, lambda url: print(url, flush=True))

    def until_closed() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=until_closed, daemon=True).start()
    server.run([listener.socket])


if __name__ == "__main__":
    main()
