"""What one caller may use, as texts → quotas."""

from dataclasses import dataclass
from functools import lru_cache

from retinue.quotas import KINDS, Quota, quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often one caller may ask, such as 60/minute, and how many tokens and dollars its runs may
    use, such as 1000000/day and 5.00/day. None is without a limit. Raises QuotaError.
    """

    rate: str | None = None
    tokens: str | None = None
    usd: str | None = None

    def __post_init__(self) -> None:
        _quotas(self)

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """What is to be counted."""
        return _quotas(self)

    def over(self, usual: "Limits") -> "Limits":
        """These, and of the usual ones those of which these say nothing."""
        return _merged(self, usual)


@lru_cache(4096)
def _quotas(limits: Limits) -> tuple[Quota, ...]:
    told = ((kind, getattr(limits, kind)) for kind in KINDS)
    return tuple(quota(kind, text) for kind, text in told if text is not None)


@lru_cache(4096)
def _merged(own: Limits, usual: Limits) -> Limits:
    return Limits(**{kind: getattr(own, kind) or getattr(usual, kind) for kind in KINDS})
