"""Settings that a model doesn't take → left out and told once, or a refusal that names them."""

import logging
from collections.abc import Set as AbstractSet

from retinue.errors import ModelError

log = logging.getLogger(__name__)

ASIDES = frozenset(
    {"prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store"}
    | {"user", "verbosity"}
)
"""What clients send by habit: it changes no answer, and may be left out whoever says it."""


class LeftOut:
    """What one deployment doesn't take. `names` are those that it was asked without."""

    def __init__(self, model: str) -> None:
        self.names: frozenset[str] = frozenset()
        self._model = model

    def note(self, refused: AbstractSet[str], optional: AbstractSet[str]) -> None:
        """Leave these out. Raises ModelError where the caller asks for one not `optional`."""
        theirs = refused - optional - ASIDES
        if theirs or not refused:
            named = (
                " and ".join(f"'{name}'" for name in sorted(theirs)) or "a setting of this request"
            )
            raise ModelError("not_supported", f"'{self._model}' doesn't take {named}")
        # Calls at the same time may meet the same refusal.
        if fresh := ", ".join(sorted(refused - self.names)):
            log.warning("'%s' doesn't take %s: asked without", self._model, fresh)
        self.names |= refused
