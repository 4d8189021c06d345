"""The table of what takes runs: path → endpoint and how OpenAPI tells of it."""

from dataclasses import dataclass

from starlette.types import ASGIApp

from retinue.serve.background import Background
from retinue.serve.chat import chat_completions
from retinue.serve.invocations import invocations
from retinue.serve.operations import CHAT, Operation
from retinue.serve.options import ServeOptions
from retinue.serve.responses import responses
from retinue.serve.responses_operations import INVOCATIONS, RESPONSES, ROOT_RESPONSES

# The root too: Databricks' client takes an app's root for its base URL.
PREFIXES = ("/v1", "/api/v1", "")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A POST that takes JSON: an ASGI app, found under every prefix."""

    path: str
    app: ASGIApp
    operation: Operation
    prefixes: tuple[str, ...] = PREFIXES

    @property
    def paths(self) -> tuple[str, ...]:
        """All of its paths; OpenAPI tells of the first."""
        return tuple(prefix + self.path for prefix in self.prefixes)


def endpoints(
    background: Background, options: ServeOptions, *, proxied: bool
) -> tuple[Endpoint, ...]:
    """One line each. Behind Databricks' proxy (`proxied`) its own tests ask at the root."""
    runtime = background.runtime
    pace, max_body = options.pace, options.capacity.max_body
    chat = chat_completions(runtime, pace=pace, max_body=max_body)
    plain = responses(background, pace=pace, max_body=max_body)
    agents = responses(background, "mlflow", pace=pace, max_body=max_body)
    asked = invocations(runtime, pace=pace, max_body=max_body)
    return (
        Endpoint("/chat/completions", chat, CHAT),
        Endpoint("/responses", plain, RESPONSES, ("/v1", "/api/v1")),
        Endpoint("/responses", agents if proxied else plain, ROOT_RESPONSES, ("",)),
        Endpoint("/invocations", asked, INVOCATIONS, ("",)),
    )
