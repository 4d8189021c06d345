"""What one caller may use, in words: how often it asks, and what it spends in a time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Each is an amount and a time, such as 60/minute, 1000000/day and 5.00/day.

    `rate` counts requests, `tokens` those of input and output together; `usd` is in dollars. None
    is without a limit.
    """

    rate: str | None = None
    tokens: str | None = None
    usd: str | None = None
