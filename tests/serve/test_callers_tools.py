"""The caller's tools and its choice among them."""

import pytest

from retinue.errors import RequestError
from retinue.run.ports import NamedTool, Tool
from retinue.serve.wire.tools import ChosenTools, FunctionTool, allowed, chosen, function_tools

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
ADD, SUB = Tool("add", "Adds.", SCHEMA), Tool("sub", "", SCHEMA)
BOTH = (ADD, SUB)


def tools(*functions):
    return function_tools((f"tools[{i}]", FunctionTool(**f)) for i, f in enumerate(functions))


def test_functions_become_tools():
    assert tools(
        {"name": "add", "description": "Adds.", "parameters": SCHEMA},
        {"name": "now", "strict": True},
    ) == (ADD, Tool("now", "", {"type": "object", "properties": {}}, strict=True))


@pytest.mark.parametrize(
    ("functions", "param"),
    [
        ([{"name": ""}], "tools[0].name"),
        ([{"name": "a b"}], "tools[0].name"),
        ([{"name": "a" * 65}], "tools[0].name"),
        ([{"name": "ä"}], "tools[0].name"),
        ([{"name": "a\n"}], "tools[0].name"),
        ([{"name": "a"}, {"name": "a"}], "tools[1].name"),
        ([{"name": "a", "parameters": {"type": "string"}}], "tools[0].parameters"),
    ],
)
def test_a_wrong_function_is_named(functions, param):
    with pytest.raises(RequestError) as caught:
        tools(*functions)
    assert caught.value.param == param


def test_choices():
    assert chosen(BOTH, "auto") == ChosenTools(BOTH)
    assert chosen(BOTH, "none") == ChosenTools(BOTH, "none")
    assert chosen(BOTH, "required") == ChosenTools(BOTH, "required")
    assert chosen(BOTH, "named", name="sub") == ChosenTools(BOTH, NamedTool("sub"))
    assert chosen((), "auto") == chosen((), "none") == ChosenTools()
    assert allowed(BOTH, ["sub"], "auto") == ChosenTools(BOTH, allowed=frozenset({"sub"}))
    assert allowed(BOTH, ["add"], "required") == ChosenTools(BOTH, "required", frozenset({"add"}))


@pytest.mark.parametrize(
    ("make", "param"),
    [
        (lambda: chosen(BOTH, "perhaps"), "tool_choice"),
        (lambda: chosen(BOTH, "named", name="mul"), "tool_choice"),
        (lambda: chosen(BOTH, "named"), "tool_choice"),
        (lambda: chosen((), "required"), "tool_choice"),
        (lambda: chosen((), "named", name="add"), "tool_choice"),
        (lambda: allowed(BOTH, ["mul"], "auto"), "tool_choice"),
        (lambda: allowed(BOTH, ["add"], "none", param="here"), "here.mode"),
        (lambda: allowed(BOTH, [], "required"), "tool_choice"),
    ],
)
def test_a_choice_that_cannot_be_met_is_refused(make, param):
    with pytest.raises(RequestError) as caught:
        make()
    assert caught.value.param == param
