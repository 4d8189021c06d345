"""Numbers by name, each until its window ends → sums, in this process alone."""

from typing import NamedTuple

MOST = 100_000


class Charge(NamedTuple):
    """So much more for what is counted under a name until that time, in Unix seconds."""

    name: str
    amount: int
    until: float


class Tally:
    """Sums by name, of `most` names at a time: the oldest make room."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._sums: dict[str, Charge] = {}

    def add(self, charge: Charge) -> int:
        """The sum with it."""
        amount = charge.amount + self.sum(charge.name)
        self.learn(charge._replace(amount=amount))
        return amount

    def sum(self, name: str) -> int:
        """Zero where nothing is known."""
        known = self._sums.get(name)
        return known.amount if known else 0

    def learn(self, charge: Charge) -> None:
        """Its amount is the sum, whatever was known of it."""
        if len(self._sums) >= self._most and charge.name not in self._sums:
            del self._sums[next(iter(self._sums))]
        self._sums[charge.name] = charge

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Every name with its sum."""
        return tuple(self._sums.values())

    def forget(self, now: float) -> None:
        """Those whose windows are over."""
        self._sums = {name: charge for name, charge in self._sums.items() if charge.until > now}
