"""Requests to the LiteLLM adapter at an upstream that plays, and what comes of them."""

from dataclasses import replace
from typing import Any

import pytest

from retinue.errors import ModelError
from retinue.route import Deployment, Timeouts
from retinue.run.events import ModelEvent, ModelFinished
from retinue.run.messages import Message
from retinue.run.models import MODELS, open_model
from retinue.run.ports import Model, ModelRequest, Tool
from retinue.run.references import environment
from retinue.testing import route
from retinue.values import Ref, Template
from run.models.fake_upstream import Play, upstream

KEY = "sk-secret"
HELLO = ModelRequest(messages=(Message("user", "hi"),))
ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})


def model_at(url: str, **changes: Any) -> Model:
    key = Template((Ref("env", "THE_KEY"),))
    fields = {
        "api_base": url, "api_key": key, "retries": 0, "adapter": "litellm", **changes
    }  # fmt: skip
    # Importing litellm is part of the first call.
    seconds = Timeouts(total=fields.pop("timeout", 30.0))
    there = route(fields.pop("model", "openai/m"), timeout=seconds, **fields)
    return open_model(there, MODELS, environment({"THE_KEY": KEY}))


def deployment(model: str) -> Deployment:
    return Deployment(model=model)


async def all_of(model: Model, request: ModelRequest) -> list[ModelEvent]:
    """The events, with the finish as the provider gave it."""
    found = [event async for event in model.stream(request)]
    *deltas, finish = found
    assert isinstance(finish, ModelFinished)
    return [*deltas, replace(finish, model="", usage=replace(finish.usage, cost_usd=0.0))]


async def events(play: Play, request: ModelRequest = HELLO, **changes: Any) -> list[ModelEvent]:
    async with upstream(play) as fake:
        return await all_of(model_at(fake.url, **changes), request)


async def error_of(play: Play, **changes: Any) -> tuple[list[ModelEvent], ModelError]:
    seen: list[ModelEvent] = []
    async with upstream(play) as fake:
        with pytest.raises(ModelError) as caught:
            async for item in model_at(fake.url, **changes).stream(HELLO):
                seen += [item]
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.__cause__)
    return seen, caught.value
