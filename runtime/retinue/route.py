"""How a model is reached: its deployments, fallbacks, deadlines and settings, as frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from retinue.values import JsonValue, Text

_NOTHING: Mapping[str, JsonValue] = MappingProxyType({})

FallbackOn = Literal[
    "rate_limit", "timeout", "unavailable", "context_window", "content_filter", "auth"
]
FALLBACK_ON: tuple[FallbackOn, ...] = ("rate_limit", "timeout", "unavailable")

Adapter = Literal["auto", "direct", "litellm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in US dollars per million tokens.

    Tokens read from or written to the provider's cache cost as much as others where nothing else
    is said.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One place where a model is reached. `model` is a LiteLLM id such as `databricks/<endpoint>`.

    Of several in a route each is asked in proportion to its `weight`. `auth` says whose identity
    a Databricks workspace sees; `price` goes over what LiteLLM's list knows.
    """

    model: str
    api_base: Text | None = None
    api_key: Text | None = None
    region: Text | None = None
    headers: tuple[tuple[str, Text], ...] = ()
    weight: int = 1
    adapter: Adapter = "auto"
    auth: Literal["user", "app"] = "app"
    price: Price | None = None

    @property
    def provider(self) -> str:
        """The part of the id before the first slash; empty where there is none."""
        head, slash, _ = self.model.partition("/")
        return head if slash else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that one model call may take: in all, to its first output, between two pieces."""

    total: float = 60.0
    first_token: float | None = None
    idle: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a request may ask of a setting: numbers from `min` to `max`, or one of `values`."""

    min: float | None = None
    max: float | None = None
    values: tuple[JsonValue, ...] = ()


_NO_BOUNDS: Mapping[str, Bound] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a model is reached: at one or more equal deployments, or else at `fallbacks`.

    `name` is the route's own in retinue.yaml, or else its first model's id. `settings` are OpenAI
    request parameters sent with every call; `bounds` limit what a request may put over them.
    `fallbacks` are asked in order after `retries` failures of a kind in `fallback_on`; they have
    none of their own. With `prompt_caching` the provider is asked to cache the prompt's beginning.
    """

    deployments: tuple[Deployment, ...]
    name: str = ""
    settings: Mapping[str, JsonValue] = field(default_factory=lambda: _NOTHING)
    bounds: Mapping[str, Bound] = field(default_factory=lambda: _NO_BOUNDS)
    timeout: Timeouts = Timeouts()
    fallbacks: tuple["Route", ...] = ()
    fallback_on: tuple[FallbackOn, ...] = FALLBACK_ON
    retries: int = 2
    prompt_caching: bool = False

    @property
    def model(self) -> str:
        """The id of the first deployment."""
        return self.deployments[0].model
