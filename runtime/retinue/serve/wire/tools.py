"""The caller's own tools, and its choice among them → what a run is told of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retinue.run.approval import Answers
from retinue.run.options import RunOptions
from retinue.run.ports import NamedTool, OutputFormat, Tool, ToolChoice
from retinue.serve.wire.mistakes import invalid
from retinue.serve.wire.strict import Strict
from retinue.values import JsonValue

MAX_TOOLS = 128
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class FunctionTool(Strict):
    """A function of the caller's. `parameters` is a JSON Schema of an object."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ChosenTools:
    """The caller's tools, whether one has to be called, and the names of those that may be.

    Where `allowed` is None all may be.
    """

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = "auto"
    allowed: frozenset[str] | None = None

    def options(
        self,
        settings: Mapping[str, JsonValue],
        output: OutputFormat | None,
        answers: Answers | None,
    ) -> RunOptions:
        """What the caller asks of the run, with these settings, this form of the answer, and these
        answers to the run's own questions.
        """
        return RunOptions(
            settings=settings,
            tools=self.tools,
            tool_choice=self.choice,
            allowed=self.allowed,
            output=output,
            answers=answers,
        )


def function_tools(given: Iterable[tuple[str, FunctionTool]]) -> tuple[Tool, ...]:
    """The tools; each comes with the place where it stands, as `tools[0].function`.

    Raises RequestError for a name that isn't one or comes twice, and for parameters that aren't
    a schema of an object.
    """
    tools: dict[str, Tool] = {}
    for place, function in given:
        if not _NAME.fullmatch(function.name):
            raise invalid(f"{place}.name", "must be 1 to 64 letters, digits, '_' or '-'")
        if function.name in tools:
            raise invalid(f"{place}.name", "is the name of another tool already")
        schema = function.parameters or {"type": "object", "properties": {}}
        if schema.get("type", "object") != "object":
            raise invalid(f"{place}.parameters", "must be a JSON Schema of type 'object'")
        tools[function.name] = Tool(
            function.name, function.description or "", schema, bool(function.strict)
        )
    return tuple(tools.values())


def chosen(
    tools: Sequence[Tool], choice: str, *, name: str | None = None, param: str = "tool_choice"
) -> ChosenTools:
    """A plain choice (`auto`, `none`, `required`), or `named` with the tool's name."""
    if choice == "none" or (choice == "auto" and not tools):
        return ChosenTools(tuple(tools), "none" if tools else "auto")
    if not tools:
        raise invalid(param, "needs 'tools' to choose from")
    if choice == "auto":
        return ChosenTools(tuple(tools))
    if choice == "required":
        return ChosenTools(tuple(tools), "required")
    if choice == "named" and name is not None:
        return ChosenTools(tuple(tools), NamedTool(_known(name, tools, param)))
    raise invalid(param, "must be 'none', 'auto', 'required' or an object that names a tool")


def allowed(
    tools: Sequence[Tool], names: Sequence[str], mode: str, *, param: str = "tool_choice"
) -> ChosenTools:
    """The choice of some of the tools alone (`allowed_tools`)."""
    if mode not in ("auto", "required"):
        raise invalid(f"{param}.mode", "must be 'auto' or 'required'")
    wanted = frozenset(_known(name, tools, param) for name in names)
    if mode == "required" and not wanted:
        raise invalid(param, "needs 'tools' to choose from")
    return ChosenTools(tuple(tools), "required" if mode == "required" else "auto", wanted)


def _known(name: str, tools: Sequence[Tool], param: str) -> str:
    if all(tool.name != name for tool in tools):
        raise invalid(param, "names a tool that is not among 'tools'")
    return name
