"""A request → whether its caller may ask now, and what its run used → the caller's account."""

import math
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from types import TracebackType
from typing import Self

from retinue.quotas import NANO, Quota, Window
from retinue.serve.access import RequestRecord
from retinue.serve.limits import Limits
from retinue.serve.shared_counts import SharedCounts
from retinue.serve.tally import Charge
from retinue.serve.wire.errors import ErrorAnswer, RefusedError, too_many, used_up

_HEADERS = {"rate": b"requests", "tokens": b"tokens"}
_MOST = 10**16
"""Of one run: whatever a provider says that it took, sums stay numbers that databases have."""


class Meter:
    """Counts what callers ask and use: `usual` holds for those who have no limits of their own.

    It counts in an `async with`. A run that is under way isn't stopped, so that what was used may
    go over the limit once. `clock` gives Unix seconds.
    """

    def __init__(
        self, usual: Limits, counts: SharedCounts, clock: Callable[[], float] = time.time
    ) -> None:
        self.counts = counts
        self._usual = usual
        self._clock = clock

    async def __aenter__(self) -> Self:
        await self.counts.__aenter__()
        if self._usual.quotas:
            await self.counts.ready()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.counts.__aexit__(kind, error, trace)

    async def admit(self, record: RequestRecord) -> None:
        """Count the request. Raises RefusedError (429) where its caller has to wait."""
        await self._take(record, self._quotas(record))

    async def still(self, record: RequestRecord) -> None:
        """Raises RefusedError where the caller has used up meanwhile what it may use: for a run
        that was let in before and had to wait its turn.
        """
        await self._take(record, [one for one in self._quotas(record) if one.kind != "rate"])

    async def _take(self, record: RequestRecord, quotas: Sequence[Quota]) -> None:
        if not quotas:
            return
        now = self._clock()
        windows = [quota.window(now) for quota in quotas]
        charges = [
            _charge(quota, window, record.identity.subject, int(quota.kind == "rate"))
            for quota, window in zip(quotas, windows, strict=True)
        ]
        totals = await self.counts.take(charges)
        refusal: ErrorAnswer | None = None
        for quota, window, total in zip(quotas, windows, totals, strict=True):
            wait = max(1, math.ceil(window.end - now))
            _tell(record, quota, total, wait)
            if total > quota.amount or (quota.kind != "rate" and total == quota.amount):
                refusal = _refusal(quota, wait)
        if refusal:
            raise RefusedError(refusal)

    def charge(self, record: RequestRecord) -> None:
        """Put what a run used on its caller's account, some time soon: an observer."""
        usage = record.usage
        if usage is None:
            return
        dollars = min(usage.cost_usd or 0.0, _MOST / NANO)
        used = {"tokens": min(usage.total_tokens, _MOST), "usd": round(dollars * NANO)}
        now = self._clock()
        charges = [
            _charge(quota, quota.window(now), record.identity.subject, used[quota.kind])
            for quota in self._quotas(record)
            if used.get(quota.kind)
        ]
        if charges:
            self.counts.put(charges)

    def _quotas(self, record: RequestRecord) -> Sequence[Quota]:
        own = record.identity.limits
        return (own.over(self._usual) if own else self._usual).quotas


def _charge(quota: Quota, window: Window, subject: str, amount: int) -> Charge:
    name = f"{quota.kind}/{quota.count}{quota.unit}/{window.index}/{_hidden(subject)}"
    return Charge(name, amount, window.end)


@lru_cache(4096)
def _hidden(subject: str) -> str:
    """A caller as counters know it: an address is nobody's business there."""
    return sha256(subject.encode("utf-8", "replace")).hexdigest()[:32]


def _tell(record: RequestRecord, quota: Quota, total: int, wait: int) -> None:
    """The headers of OpenAI's API, which has none for dollars."""
    if what := _HEADERS.get(quota.kind):
        record.headers += [
            (b"x-ratelimit-limit-" + what, b"%d" % quota.amount),
            (b"x-ratelimit-remaining-" + what, b"%d" % max(0, quota.amount - total)),
            (b"x-ratelimit-reset-" + what, duration(wait).encode()),
        ]


def duration(seconds: int) -> str:
    """As Go writes it, and OpenAI's API: `1s`, `6m0s`, `1h0m0s`."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _refusal(quota: Quota, wait: int) -> ErrorAnswer:
    if quota.kind == "rate":
        message = f"At most {quota.amount} requests per {quota.span} are answered."
        return too_many(message, wait)
    most = f"{quota.amount} tokens" if quota.kind == "tokens" else f"${quota.amount / NANO:.2f}"
    message = f"You have used up what you may use, which is {most} per {quota.span}."
    return used_up(message, wait)
