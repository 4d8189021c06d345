"""What is known of a model, held against LiteLLM's own answer to the same id."""

import subprocess
import sys
from typing import Any

import pytest

from retinue.route import Deployment, Price
from retinue.run.events import Usage
from retinue.run.models.catalogue import UNKNOWN, cost, facts, price
from retinue.run.models.litellm import import_litellm

CHAT = ("chat", "completion", "responses")


def test_the_list_is_read_without_litellm() -> None:
    probe = (
        "import sys; from retinue.run.models.catalogue import facts\n"
        "print(facts('openai/gpt-4o').context_window, 'litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["128000", "False"]


@pytest.mark.parametrize(
    ("model", "same_as"),
    [
        ("openai/gpt-4o", "gpt-4o"),
        ("openai/GPT-4o", "gpt-4o"),
        ("openai/gpt-5-2099-01-01", "gpt-5"),
        ("anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("azure_ai/gpt-5", "azure/gpt-5"),
        ("openai/ft:gpt-4o-2024-08-06:org::id", "ft:gpt-4o-2024-08-06"),
        ("gemini/gemini-2.5-pro-001", "gemini/gemini-2.5-pro"),
        (
            "bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "bedrock/us-west-2/anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
    ],
)
def test_an_id_is_found_in_the_forms_that_routes_use(model: str, same_as: str) -> None:
    assert facts(same_as) is not UNKNOWN
    assert facts(model) == facts(same_as)


@pytest.mark.parametrize(
    "model",
    [
        "databricks/my-endpoint",
        # Another version of a model that is known.
        "databricks/databricks-claude-opus-4-9",
        "azure/my-deployment",
        # Another provider's model of the same name.
        "ollama/claude-sonnet-4-5",
        "no-such-model",
        "openai/",
        "/",
        "",
    ],
)
def test_what_is_not_listed_is_unknown(model: str) -> None:
    assert facts(model) is UNKNOWN
    assert price(Deployment(model=model)) is None
    assert cost(Deployment(model=model), Usage(10, 10)) is None


def test_prices_are_per_million_tokens() -> None:
    known = facts("anthropic/claude-sonnet-4-5")
    assert known.price == Price(input=3.0, output=15.0, cached_input=0.3, cache_write=3.75)
    assert known.images
    assert known.reasoning
    assert known.max_output == 64_000


def test_a_long_prompt_has_its_own_price() -> None:
    deployment = Deployment(model="gemini/gemini-2.5-pro")
    assert cost(deployment, Usage(200_000, 0)) == pytest.approx(0.25)
    assert cost(deployment, Usage(200_001, 0)) == pytest.approx(0.5000025)


def test_a_routes_own_price_goes_over_the_list() -> None:
    own = Deployment(model="gemini/gemini-2.5-pro", price=Price(input=1.0, output=2.0))
    assert price(own) == own.price
    assert cost(own, Usage(1_000_000, 500_000)) == pytest.approx(2.0)


def test_it_agrees_with_litellm() -> None:
    """On every seventh model of the list, by its name and with its provider before it."""
    litellm = import_litellm()
    compared = 0
    for name, entry in list(litellm.model_cost.items())[::7]:
        if entry.get("mode", "chat") not in CHAT or entry.get("input_cost_per_token") is None:
            continue
        provider = entry.get("litellm_provider")
        for model in {name, f"{provider}/{name.removeprefix(f'{provider}/')}"}:
            theirs = known_to(litellm, model)
            if theirs and theirs["key"] in litellm.model_cost:
                ours = facts(model)
                assert ours.price, model
                assert ours.price.input == pytest.approx(theirs["input_cost_per_token"] * 1e6), (
                    model
                )
                assert ours.price.output == pytest.approx(theirs["output_cost_per_token"] * 1e6)
                compared += 1
    assert compared > 300


def known_to(litellm: Any, model: str) -> dict[str, Any] | None:
    try:
        return dict(litellm.get_model_info(model))
    except Exception:  # noqa: BLE001 - it raises bare exceptions for what it doesn't know
        return None
