"""A `Route` → a `Model`: one module per way of reaching a provider."""

from collections.abc import Mapping
from types import MappingProxyType

from retinue.agent import Route
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.ports import Lookup, Model, ModelFactory

MODELS: Mapping[str, ModelFactory] = MappingProxyType({"": LiteLLMModel})
"""The adapter for each provider, the part of a route's id before its slash; `""` for the others."""


def open_model(route: Route, models: Mapping[str, ModelFactory], lookup: Lookup) -> Model:
    """The route's model, by the adapter of its provider or else the one for `""`."""
    factory = models.get(route.provider) or models[""]
    return factory(route, lookup)
