"""How agents are served, whichever they are: what `retinue serve` and those who host say."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from retinue.serve.answers import Pace
from retinue.serve.limits import Limits
from retinue.serve.overload import Capacity

APIS = (
    "chat",
    "responses",
    "invocations",
    "mcp",
    "models",
    "files",
    "logs",
    "docs",
    "operation",
)
"""The surfaces that can be switched off. What a load balancer asks is always answered."""

Compat = Literal["off", "on", "restart"]
"""`restart` lets administrators restart and end the server over HTTP, too."""

Reach = Literal["local", "public"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What holds for all agents of a server.

    `limits` are those of each caller, over what retinue.yaml says; a key may have its own.
    `created` (what `/v1/models` says) is in Unix seconds, by default when the app is made. `reach`
    says whether only this machine reaches the app, so that pages of other sites are kept out, or
    other machines do, so that callers have to be checked; None where its host sees to that. `apis`
    are the surfaces that it has, and `compat` says whether it has those of older agent servers.
    """

    pace: Pace = field(default_factory=Pace)
    capacity: Capacity = field(default_factory=Capacity)
    limits: Limits = field(default_factory=Limits)
    created: int | None = None
    reach: Reach | None = None
    apis: tuple[str, ...] = APIS
    compat: Compat = "off"

    def plain(self) -> dict[str, Any]:
        """As JSON can carry it to another process."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "ServeOptions":
        """The reverse of `plain`."""
        return cls(
            **{
                **plain,
                "pace": Pace(**plain["pace"]),
                "capacity": Capacity(**plain["capacity"]),
                "limits": Limits(**plain["limits"]),
                "apis": tuple(plain["apis"]),
            }
        )
