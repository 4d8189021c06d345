"""An answer's text and the form it has to have → the JSON it holds, or what is wrong with it."""

import json
import re
from dataclasses import dataclass

import orjson

from retinue.run.ports import OutputFormat
from retinue.run.schema import full_check, unhurried_check

_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Checked:
    """`text` without what a model wraps JSON in; `problem` says why it isn't of the form."""

    text: str
    problem: str | None = None


class OutputCheck:
    """The check of one form, made once for a run."""

    def __init__(self, form: OutputFormat) -> None:
        self._form = form
        check = full_check if form.trusted else unhurried_check
        self._problems = check(form.schema) if form.schema is not None else None

    def check(self, text: str) -> Checked:
        """Whether the text is JSON of the form."""
        fenced = _FENCED.fullmatch(text)
        bare = fenced.group(1) if fenced else text.strip()
        try:
            value = orjson.loads(bare)
        except orjson.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            return Checked(bare, f"it is not valid JSON ({place})")
        if self._problems is None:
            return Checked(bare, None if isinstance(value, dict) else "it is not a JSON object")
        problems = self._problems(value)
        return Checked(bare, "; ".join(problems) or None)

    def repair(self, problem: str) -> str:
        """What to tell a model whose answer isn't of the form."""
        wanted = "one JSON object"
        if self._form.schema is not None:
            wanted = f"JSON that follows this JSON Schema: {json.dumps(dict(self._form.schema))}"
        return (
            f"Your last answer can't be used: {problem}. Answer again with {wanted}. "
            "Write nothing but the JSON."
        )
