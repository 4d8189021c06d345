"""A deployment → whether its provider speaks OpenAI's wire as it stands, and where.

The table is ours; a test holds it against LiteLLM's. A provider is in it only where LiteLLM's own
adapter passes OpenAI's requests and answers on without translating them; there are more
"compatible" ones than these.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from retinue.route import Deployment
from retinue.run.ports import Lookup
from retinue.values import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """`bases` and `keys` are environment variables, in the order in which they count.

    Where no address is set it is `base`; without one the deployment has to name it. `keyless`
    servers are asked without a key where there is none. With `old_limit` a server knows
    `max_tokens` and not `max_completion_tokens`.
    """

    base: str | None = None
    bases: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    keyless: bool = False
    old_limit: bool = False


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "openai": Provider(
            base="https://api.openai.com/v1",
            bases=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
            keys=("OPENAI_API_KEY",),
        ),
        "custom_openai": Provider(
            base="https://api.openai.com/v1",
            bases=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
            keys=("OPENAI_API_KEY",),
            old_limit=True,
        ),
        "azure": Provider(bases=("AZURE_API_BASE",), keys=("AZURE_API_KEY",)),
        "databricks": Provider(
            bases=("DATABRICKS_API_BASE",), keys=("DATABRICKS_API_KEY",), old_limit=True
        ),
        "hosted_vllm": Provider(
            bases=("HOSTED_VLLM_API_BASE",), keys=("HOSTED_VLLM_API_KEY",), keyless=True
        ),
        "litellm_proxy": Provider(
            bases=("LITELLM_PROXY_API_BASE",), keys=("LITELLM_PROXY_API_KEY",), keyless=True
        ),
        "lm_studio": Provider(
            bases=("LM_STUDIO_API_BASE",), keys=("LM_STUDIO_API_KEY",), keyless=True
        ),
        "nebius": Provider(
            base="https://api.studio.nebius.ai/v1", keys=("NEBIUS_API_KEY",), old_limit=True
        ),
        "novita": Provider(base="https://api.novita.ai/v3/openai", keys=("NOVITA_API_KEY",)),
    }
)

OTHER = Provider(keyless=True)
"""Any server that a route says speaks OpenAI's wire."""

# Models of OpenAI's that LiteLLM asks through another endpoint than chat completions.
_NOT_CHAT = re.compile(
    r"^(responses|o_series|gpt5_series)/|codex|deep-research|-pro\b|search|audio"
)


def is_plain(deployment: Deployment, lookup: Lookup) -> bool:
    """Whether nothing about the deployment's requests or answers needs a translation."""
    provider = deployment.provider
    if provider not in PROVIDERS or deployment.region is not None:
        return False
    if provider == "azure":
        # Without a key LiteLLM asks Entra ID for a token, in one of many ways.
        has_key = deployment.api_key or lookup(Ref("env", "AZURE_API_KEY", default=""))
        return bool(has_key) and not _NOT_CHAT.search(model_name(deployment))
    if provider in ("openai", "custom_openai") and deployment.api_base is None:
        return not _NOT_CHAT.search(model_name(deployment))
    return True


def provider_of(deployment: Deployment) -> Provider:
    """The deployment's row of the table, or what goes for servers that aren't in it."""
    return PROVIDERS.get(deployment.provider, OTHER)


def model_name(deployment: Deployment) -> str:
    """The model as its provider knows it: the id after its first slash."""
    head, slash, name = deployment.model.partition("/")
    return name if slash else head
