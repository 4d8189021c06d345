"""A `Deployment` → a `Model` over OpenAI's own wire, without any provider's client library."""

from retinue.run.models.direct.model import DirectModel
from retinue.run.models.direct.providers import is_plain

__all__ = ["DirectModel", "is_plain"]
