"""Agents as models, and which agent a request means."""

import pytest
from schemas import conforms

from retinue.errors import RequestError
from retinue.serve.wire.models import find_agent, model_list, model_object
from retinue.testing import agent

AGENTS = {name: agent(name) for name in ("sales", "support")}


def test_the_first_agent_is_the_default():
    assert find_agent(AGENTS, None, ()).name == "sales"
    assert find_agent(AGENTS, "", ()).name == "sales"


@pytest.mark.parametrize("model", ["support", "apps/support"])
def test_an_agent_is_found_by_its_name(model):
    assert find_agent(AGENTS, model, ()).name == "support"


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(RequestError) as caught:
        find_agent(AGENTS, "gpt-4\n" + "x" * 500, ())
    error = caught.value
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert "sales, support" in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 300


def test_the_list_keeps_the_agents_order_and_openais_shape():
    listed = model_list(AGENTS, 5)
    assert [m["id"] for m in listed["data"]] == ["sales", "support"]
    conforms(listed, "ListModelsResponse")
    conforms(model_object(agent("a", description="does b"), 5), "Model")
