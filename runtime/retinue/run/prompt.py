"""An agent and its caller → the system prompt of one run."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from retinue.agent import Agent, Variable
from retinue.compile.rendering import Renderer
from retinue.errors import RequestError
from retinue.run.caller import Caller
from retinue.run.skills import catalogue
from retinue.run.untrusted import RULE
from retinue.values import JsonValue


class Prompt:
    """An agent's system prompt, compiled once and rendered for every run."""

    def __init__(
        self, agent: Agent, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._variables = agent.instructions.variables
        self._renderer = Renderer(agent.instructions)
        self._skills = catalogue(agent.skills)
        self._rule = RULE if agent.mcp_servers else ""
        self._now = now

    def render(self, caller: Caller, notices: Sequence[str] = ()) -> str:
        """The instructions, the index of skills, what to believe of tools, then what is amiss.

        Raises RequestError when the request lacks a variable that the prompt requires, or gives
        one of the wrong type.
        """
        values = {v.name: self._value(v, caller) for v in self._variables}
        parts = (self._renderer.render(values), self._skills, self._rule, "\n".join(notices))
        return "\n\n".join(part.strip("\n") for part in parts if part)

    def _value(self, variable: Variable, caller: Caller) -> JsonValue:
        found = self._sourced(variable.source, caller) if variable.source else None
        if found is not None:
            return _typed(variable, found)
        if variable.default is None and variable.required:
            raise RequestError(
                f"this agent needs a value for '{variable.name}' ({variable.source})",
                param=(variable.source or "").removeprefix("request.") or None,
            )
        return variable.default

    def _sourced(self, source: str, caller: Caller) -> str | None:
        origin, _, name = source.partition(".")
        if origin == "request":
            return caller.metadata.get(name.removeprefix("metadata."))
        if origin == "user":
            return {"id": caller.user_id, "name": caller.user_name, "email": caller.user_email}[
                name
            ]
        moment = self._now()
        return {
            "date": moment.date().isoformat(),
            "time": moment.strftime("%H:%M"),
            "datetime": moment.isoformat(timespec="seconds"),
        }[name]


_TRUTH = {"true": True, "false": False}


def _typed(variable: Variable, text: str) -> JsonValue:
    try:
        if variable.type == "integer":
            return int(text)
        if variable.type == "number":
            return float(text)
        if variable.type == "boolean":
            return _TRUTH[text.lower()]
    except (ValueError, KeyError):
        raise RequestError(
            f"'{variable.name}' must be of type {variable.type}",
            param=(variable.source or "").removeprefix("request.") or None,
        ) from None
    return text


_SAMPLES = {"string": "<{}>", "integer": "1", "number": "1.0", "boolean": "true"}


def sample_caller(agent: Agent) -> Caller:
    """A caller that has something to say for every variable, for showing a prompt."""
    variables = [v for v in agent.instructions.variables if v.source and v.default is None]
    return Caller(
        metadata={
            v.source.removeprefix("request.metadata."): _SAMPLES[v.type].format(v.name)
            for v in variables
            if v.source
        },
        user_id="sample-user",
        user_name="Sample User",
        user_email="sample.user@example.com",
    )
