"""The LiteLLM adapter at a Databricks workspace on loopback: where it is and who asks."""

import pytest

from retinue.errors import ModelError
from retinue.run.events import ModelFinished, TextDelta
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.references import environment
from run.models.fake_upstream import chunk, plays, upstream
from run.models.litellm_asked import HELLO, all_of, deployment


@pytest.mark.usefixtures("no_databricks")
async def test_databricks_without_credentials() -> None:
    model = LiteLLMModel(deployment("databricks/claude"), environment({}))
    with pytest.raises(ModelError, match="DATABRICKS_HOST and DATABRICKS_TOKEN") as caught:
        _ = await all_of(model, HELLO)
    assert caught.value.kind == "auth"


@pytest.mark.usefixtures("no_databricks")
async def test_databricks_by_litellms_own_variables() -> None:
    async with upstream(plays(chunk({"content": "hi"}), chunk({}, "stop"))) as fake:
        given = {"DATABRICKS_API_KEY": "dapi-key", "DATABRICKS_API_BASE": f"{fake.url}/own"}
        model = LiteLLMModel(deployment("databricks/claude"), environment(given))
        assert await all_of(model, HELLO) == [TextDelta("hi"), ModelFinished("stop")]
        head, _ = fake.requests[-1]
    assert head.startswith("POST /v1/own/chat/completions ")
    assert "authorization: bearer dapi-key" in head.lower()


async def test_databricks_by_host_and_token(no_databricks: pytest.MonkeyPatch) -> None:
    async with upstream(plays(chunk({"content": "hi"}), chunk({}, "stop"))) as fake:
        host = fake.url.removesuffix("/v1")
        no_databricks.setenv("DATABRICKS_HOST", host)
        no_databricks.setenv("DATABRICKS_TOKEN", "dapi-token")
        model = LiteLLMModel(deployment("databricks/claude"), environment())
        found = await all_of(model, HELLO)
        head, body = fake.requests[-1]
    assert found == [TextDelta("hi"), ModelFinished("stop")]
    assert head.startswith("POST /serving-endpoints/chat/completions ")
    assert "authorization: bearer dapi-token" in head.lower()
    assert body["model"] == "claude"
