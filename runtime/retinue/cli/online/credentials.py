"""A deployment that isn't the workspace's → whether what would sign its calls is there."""

import asyncio

from retinue.cli.online.finding import Finding
from retinue.route import Deployment
from retinue.run.models.litellm import import_litellm
from retinue.run.ports import Lookup
from retinue.run.references import resolved
from retinue.values import Ref

# They take their identity from the surroundings in ways that no variable tells of.
_WITHOUT_A_KEY = ("azure", "azure_ai", "bedrock", "offline", "sagemaker", "vertex_ai")


async def check_credentials(deployment: Deployment, lookup: Lookup) -> list[Finding]:
    """What its own references, or else its provider's own variables, lack. Nothing is called.

    Raises MissingReferenceError for a reference without a value.
    """
    named = (deployment.api_base, deployment.api_key, deployment.region)
    for text in (*named, *(value for _, value in deployment.headers)):
        if text is not None:
            resolved(text, lookup)
    provider = deployment.provider
    if deployment.api_key is not None or provider in _WITHOUT_A_KEY:
        return []
    if lookup(Ref("env", f"{provider.upper()}_API_KEY", default="")):
        return []
    missing = await asyncio.to_thread(_missing, deployment.model)
    if not missing:
        return []
    names = " and ".join(missing)
    message = f"the model '{deployment.model}' needs {names} in the environment or in .env"
    return [Finding("online-credentials", message)]


def _missing(model: str) -> list[str]:
    """The keys that litellm would look for in the environment and not find."""
    found = import_litellm().validate_environment(model=model)
    return [name for name in found["missing_keys"] if name.endswith("_API_KEY")]
