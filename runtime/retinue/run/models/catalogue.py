"""A LiteLLM id → what its model costs and takes, from the list that LiteLLM is installed with.

The list is `model_prices_and_context_window_backup.json` of the litellm package, read without
importing it. Nothing is guessed: what the list doesn't say of a model is unknown.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from retinue.route import Deployment, Price
from retinue.run.events import Usage

_LIST = "model_prices_and_context_window_backup.json"
_CHAT = frozenset({"chat", "completion", "responses"})
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of a model; None is unknown. `context_window` and `max_output` are in tokens.

    `long_prices` are those of prompts of more than so many tokens, the longest first.
    """

    price: Price | None = None
    long_prices: tuple[tuple[int, Price], ...] = ()
    context_window: int | None = None
    max_output: int | None = None
    images: bool | None = None
    audio: bool | None = None
    pdf: bool | None = None
    tools: bool | None = None
    reasoning: bool | None = None
    response_schema: bool | None = None


UNKNOWN = ModelFacts()


@lru_cache(maxsize=1024)
def facts(model: str) -> ModelFacts:
    """What is known of the model with this id; `UNKNOWN` where the list doesn't have it.

    The list is read at the first call, which takes some 40 ms.
    """
    listed = _listed()
    provider = model.partition("/")[0] if "/" in model else ""
    for key in _keys(model, provider):
        owner, found = listed.get(key.lower(), ("", UNKNOWN))
        if found is not UNKNOWN and _goes_with(provider, owner, key):
            return found
    return UNKNOWN


def price(deployment: Deployment) -> Price | None:
    """What the deployment's own file says it costs, or else the list."""
    return deployment.price or facts(deployment.model).price


def cost(deployment: Deployment, usage: Usage) -> float | None:
    """US dollars of one call, at the price of a prompt of its length; None where it isn't known."""
    if deployment.price:
        return usage.cost(deployment.price)
    known = facts(deployment.model)
    for tokens, longer in known.long_prices:
        if usage.input_tokens > tokens:
            return usage.cost(longer)
    return usage.cost(known.price) if known.price else None


# Ids ------------------------------------------------------------------------------------------

_BEDROCK_ROUTE = re.compile(r"^(?:chat_completions|converse|converse_like|invoke|openai)/")
_BEDROCK_REGION = re.compile(r"^[a-z]{2}(?:-[a-z]+)+-\d/")
_BEDROCK_PROFILE = re.compile(r"^(?:us-gov|global|apac|us|eu|ap|jp|au|ca|sa)\.")
_BEDROCK_LENGTH = re.compile(r"(?<=:\d):\d+k$")
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_STABLE = re.compile(r"-\d{3}$")
_FINE_TUNED = re.compile(r"^(ft:[^:]+)(?::[^:]*){3}$")

# A provider of ids whose own models the list has under another's name.
_BORROWED: Mapping[str, tuple[str, ...]] = {"azure_ai": ("azure", "openai")}


def _keys(model: str, provider: str) -> Iterator[str]:
    """Names that the list may have the model under, the closest first. The rules are LiteLLM's
    (`litellm.utils.get_potential_model_names`), without those that take another version's price.
    """
    bare = model.partition("/")[2] if provider else model
    if provider == "bedrock":
        yield from _bedrock_keys(bare)
        return
    yield model
    yield bare
    if tuned := _FINE_TUNED.match(bare):
        bare = tuned[1]
    elif provider in ("gemini", "vertex_ai"):
        bare = _STABLE.sub("", bare)
    else:
        bare = _SNAPSHOT.sub("", bare)
    yield f"{provider}/{bare}"
    yield bare


def _bedrock_keys(bare: str) -> Iterator[str]:
    bare = _BEDROCK_ROUTE.sub("", bare)
    yield f"bedrock/{bare}"
    yield bare
    # A region of its own in the path has its own prices, or else those of the model anywhere.
    bare = _BEDROCK_REGION.sub("", bare)
    yield bare
    bare = _BEDROCK_LENGTH.sub("", bare)
    yield bare
    yield _BEDROCK_PROFILE.sub("", bare)


def _goes_with(provider: str, owner: str, key: str) -> bool:
    """Whether an entry of `owner` is one of `provider`: the same name may be sold by several."""
    if not provider or not owner or owner == provider or key.startswith(f"{provider}/"):
        return True
    if provider in ("bedrock", "fireworks_ai", "vertex_ai"):
        return owner.startswith(provider)
    return owner in _BORROWED.get(provider, ())


# The list -------------------------------------------------------------------------------------


@cache
def _listed() -> dict[str, tuple[str, ModelFacts]]:
    """Every model that chats, by its name in small letters, with its provider."""
    # Named by its package alone: finding a submodule would import the package.
    package = find_spec("litellm")
    if package is None or not package.submodule_search_locations:
        return {}
    path = Path(package.submodule_search_locations[0]) / _LIST
    entries: dict[str, dict[str, Any]] = orjson.loads(path.read_bytes())
    return {
        name.lower(): (str(entry.get("litellm_provider") or ""), _facts(entry))
        for name, entry in entries.items()
        if entry.get("mode", "chat") in _CHAT
    }


def _facts(entry: Mapping[str, Any]) -> ModelFacts:
    return ModelFacts(
        price=_price(entry),
        long_prices=_long_prices(entry),
        context_window=_count(entry.get("max_input_tokens")),
        max_output=_count(entry.get("max_output_tokens")),
        images=_takes(entry, "supports_vision", "image"),
        audio=_takes(entry, "supports_audio_input", "audio"),
        pdf=_says(entry, "supports_pdf_input"),
        tools=_says(entry, "supports_function_calling"),
        reasoning=_says(entry, "supports_reasoning"),
        response_schema=_says(entry, "supports_response_schema"),
    )


def _says(entry: Mapping[str, Any], key: str) -> bool | None:
    value = entry.get(key)
    return value if isinstance(value, bool) else None


def _takes(entry: Mapping[str, Any], key: str, modality: str) -> bool | None:
    said, listed = _says(entry, key), entry.get("supported_modalities")
    if said is None and isinstance(listed, list):
        return modality in listed
    return said


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


# Thousands of tokens from which on prompts have another price.
_LENGTHS = (512, 272, 256, 200, 128, 100)


def _long_prices(entry: Mapping[str, Any]) -> tuple[tuple[int, Price], ...]:
    found = ((1000 * size, _price(entry, f"_above_{size}k_tokens")) for size in _LENGTHS)
    return tuple((tokens, price) for tokens, price in found if price)


def _price(entry: Mapping[str, Any], length: str = "") -> Price | None:
    def each(key: str) -> float | None:
        value = entry.get(key + length)
        return round(value * _MILLION, 6) if isinstance(value, int | float) else None

    given = each("input_cost_per_token")
    answered = None if given is None else each("output_cost_per_token")
    if given is None or answered is None:
        return None
    return Price(
        input=given,
        output=answered,
        cached_input=each("cache_read_input_token_cost"),
        cache_write=each("cache_creation_input_token_cost"),
    )
