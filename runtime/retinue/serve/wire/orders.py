"""A background run's request ↔ the JSON by which any process can make it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import orjson

from retinue.serve.identity import Identity
from retinue.serve.limits import Limits
from retinue.serve.wire.responses_output import Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`body` is the request's own; the rest is what its headers said.

    The caller's token is not among it: a run that is taken up by another process goes without.
    """

    agent: str
    body: str
    style: Style
    session: str | None
    user_id: str | None = None
    user_name: str | None = None
    user_email: str | None = None
    key: str | None = None
    limits: Limits | None = None

    @property
    def identity(self) -> Identity:
        """Who asked."""
        return Identity(
            user_id=self.user_id,
            user_name=self.user_name,
            user_email=self.user_email,
            key=self.key,
            limits=self.limits,
        )

    def dumped(self) -> str:
        """Its JSON."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def loaded(cls, text: str) -> Self:
        """An order from its JSON."""
        fields: dict[str, Any] = orjson.loads(text)
        limits = fields.pop("limits", None)
        return cls(**fields, limits=limits and Limits(**limits))
