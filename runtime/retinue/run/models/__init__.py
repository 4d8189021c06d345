"""A `Route` → a `Model`: one module per way of reaching a provider, and `routed` over them."""

from collections.abc import Mapping
from types import MappingProxyType

from retinue.agent import Route
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.models.routed import RoutedModel
from retinue.run.ports import Lookup, Model, ModelFactory

MODELS: Mapping[str, ModelFactory] = MappingProxyType({"": LiteLLMModel})
"""The adapter for each provider, the part of an id before its slash; `""` for the others."""


def open_model(route: Route, models: Mapping[str, ModelFactory], lookup: Lookup) -> Model:
    """The route's model. Each deployment is opened by its provider's adapter, or `models[""]`."""
    return RoutedModel(route, models, lookup)
