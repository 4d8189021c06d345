"""A `Route` → a `Model`: one module per way of reaching a provider, and `routed` over them."""

from collections.abc import Mapping
from types import MappingProxyType

from retinue.route import Deployment, Route
from retinue.run.models.direct import DirectModel, is_plain
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.models.routed import RoutedModel
from retinue.run.ports import Lookup, Model, ModelFactory


def open_deployment(deployment: Deployment, lookup: Lookup) -> Model:
    """The deployment through the adapter it names, or else through the cheapest that is safe."""
    adapter = deployment.adapter
    if adapter == "auto":
        adapter = "direct" if is_plain(deployment, lookup) else "litellm"
    kind = DirectModel if adapter == "direct" else LiteLLMModel
    return kind(deployment, lookup)


MODELS: Mapping[str, ModelFactory] = MappingProxyType({"": open_deployment})
"""The adapter for each provider, the part of an id before its slash; `""` for the others."""


def open_model(route: Route, models: Mapping[str, ModelFactory], lookup: Lookup) -> Model:
    """The route's model. Each deployment is opened by its provider's adapter, or `models[""]`."""
    return RoutedModel(route, models, lookup)
