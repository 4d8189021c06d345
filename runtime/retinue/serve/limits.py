"""What one caller may use, as texts → quotas."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache

from retinue.agent import Agent
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


def usual_limits(agents: Iterable[Agent], given: Limits) -> Limits:
    """What holds for every caller: what is `given`, over what retinue.yaml says."""
    told = next((agent.caller_limits for agent in agents if agent.caller_limits), None)
    return given.over(Limits(**asdict(told))) if told else given


@lru_cache(4096)
def _quotas(limits: Limits) -> tuple[Quota, ...]:
    told = ((kind, getattr(limits, kind)) for kind in KINDS)
    return tuple(quota(kind, text) for kind, text in told if text is not None)


@lru_cache(4096)
def _merged(own: Limits, usual: Limits) -> Limits:
    return Limits(**{kind: getattr(own, kind) or getattr(usual, kind) for kind in KINDS})
