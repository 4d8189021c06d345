"""Instructions and the values of their variables → the text of a prompt."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from jinja2 import UndefinedError

from retinue.agent import Instructions
from retinue.compile.sandbox import MAX_OUTPUT, PromptEnvironment, TooMuchError, budget
from retinue.errors import PromptError
from retinue.values import JsonValue


class Renderer:
    """An agent's instructions, compiled once; may be used by many threads and tasks."""

    def __init__(self, instructions: Instructions) -> None:
        self._origin = instructions.origin
        self._literal = instructions.text
        self._template = None
        if not instructions.literal:
            with _prompt_errors(self._origin):
                made = PromptEnvironment(dict(instructions.includes))
                self._template = made.from_string(instructions.text)

    def render(self, values: Mapping[str, JsonValue]) -> str:
        """The prompt for `values`, by variable name.

        Raises PromptError for a value that is missing, and for a text over MAX_OUTPUT characters
        or MAX_SECONDS of work.
        """
        if self._template is None:
            return self._literal
        pieces: list[str] = []
        length = 0
        with _prompt_errors(self._origin), budget():
            for piece in self._template.generate(values):
                length += len(piece)
                if length > MAX_OUTPUT:
                    raise TooMuchError(f"the prompt is longer than {MAX_OUTPUT:,} characters")
                pieces.append(piece)
        return "".join(pieces)


@contextmanager
def _prompt_errors(origin: str) -> Iterator[None]:
    """Whatever a template does wrong is a PromptError that names the prompt: its expressions may
    raise anything that their operands raise.
    """
    try:
        yield
    except (UndefinedError, TooMuchError) as error:
        raise PromptError(f"{origin}: {error}") from None
    except RecursionError:
        raise PromptError(f"{origin}: the prompt is nested too deeply") from None
    except Exception as error:
        raise PromptError(f"{origin}: the prompt can't be rendered: {error}") from error
