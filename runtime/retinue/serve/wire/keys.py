"""What a new API key shall be → the key and what is kept of it; and keys as objects."""

import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from retinue.serve.wire.mistakes import invalid
from retinue.serve.wire.strict import Strict
from retinue.store.api_key import CHAT, ApiKey, digest_of, id_of, new_key

_LONGEST_LIFE = 10 * 366 * 86_400
_MOST_AGENTS = 100
_NAME = re.compile(r"(?!key_)[\w.@:+-](?:[\w.@:+ -]{0,62}[\w.@:+-])?")
# An amount and a time: what they come to is counted where requests are let in.
_LIMITS = {
    "rate": (re.compile(r"[1-9][0-9]{0,8}/(?:second|minute|hour|day)"), "60/minute"),
    "tokens": (re.compile(r"[1-9][0-9]{0,14}/(?:hour|day|month)"), "1000000/day"),
    "usd": (
        re.compile(r"(?=.*[1-9])[0-9]{1,9}(?:\.[0-9]{1,6})?/(?:hour|day|month)"),
        "5.00/day",
    ),
}


class KeyLimits(Strict):
    """What the key's holder may use, each an amount and a time."""

    model_config = ConfigDict(extra="forbid")

    rate: str | None = None
    tokens: str | None = None
    usd: str | None = None


class CreateKeyRequest(Strict):
    """A new key. `expires_in` is in seconds; without `agents` it is for all of them.

    A name that isn't known is refused: one misspelt could leave a key without its end.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    scopes: (
        Annotated[list[Literal["chat", "logs", "admin"]], Field(min_length=1, max_length=3)] | None
    ) = None
    agents: Annotated[list[str], Field(min_length=1, max_length=_MOST_AGENTS)] | None = None
    expires_in: Annotated[int, Field(ge=1, le=_LONGEST_LIFE)] | None = None
    limits: KeyLimits | None = None

    def made(self, agents: Collection[str]) -> tuple[str, ApiKey]:
        """A key's text and what is kept of it; `agents` are those there are.

        Raises RequestError.
        """
        if not _NAME.fullmatch(self.name):
            rule = (
                "must be 1 to 64 letters, digits, spaces and . _ @ : + -, and not begin with key_"
            )
            raise invalid("name", rule)
        scopes = frozenset(self.scopes or (CHAT,))
        for number, agent in enumerate(self.agents or ()):
            if agent not in agents:
                raise invalid(f"agents[{number}]", f"must be one of {', '.join(sorted(agents))}")
        if self.agents and scopes != {CHAT}:
            raise invalid("agents", "can be chosen for keys whose only scope is chat")
        limits = self.limits or KeyLimits()
        for name, (form, example) in _LIMITS.items():
            text = getattr(limits, name)
            if text is not None and not form.fullmatch(text):
                raise invalid(f"limits.{name}", f"must be an amount and a time, such as {example}")
        text = new_key()
        digest = digest_of(text.encode())
        now = time.time()
        return text, ApiKey(
            id=id_of(digest),
            digest=digest.hex(),
            name=self.name,
            scopes=scopes,
            agents=frozenset(self.agents or ()),
            created_at=now,
            expires_at=None if self.expires_in is None else now + self.expires_in,
            rate=limits.rate,
            tokens=limits.tokens,
            usd=limits.usd,
        )


def key_object(key: ApiKey, text: str | None = None) -> dict[str, Any]:
    """A key as it is told of; times are whole Unix seconds. `text` is only told when it is made."""
    told: dict[str, Any] = {
        "id": key.id,
        "object": "api_key",
        "name": key.name,
        "status": _status(key),
        "scopes": sorted(key.scopes),
        "agents": sorted(key.agents) or None,
        "limits": {"rate": key.rate, "tokens": key.tokens, "usd": key.usd},
        "created_at": int(key.created_at),
        "expires_at": _seconds(key.expires_at),
        "revoked_at": _seconds(key.revoked_at),
        "last_used_at": _seconds(key.used_at),
    }
    return told if text is None else {**told, "key": text}


def _status(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.good(time.time()) else "expired"


def _seconds(moment: float | None) -> int | None:
    return None if moment is None else int(moment)


def key_list(keys: Sequence[ApiKey], limit: int) -> Mapping[str, Any]:
    """A page of at most `limit`; there may be one more, which tells that others follow."""
    data = [key_object(key) for key in keys[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(keys) > limit,
    }
