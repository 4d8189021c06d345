"""A question for the user → an id that nobody can make up, and that fits no other question.

Shape: `mcpr_` and the base64url of 26 bytes: when it expires (4, Unix seconds), the paused run's
key (8, random), which of its questions it is (1), and an HMAC-SHA256 (13) over these, the
principal, the agent and its digest, the agent whose call it is, the tool and its arguments.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import orjson

from retinue.run.messages import ToolCall
from retinue.run.ports import Lookup
from retinue.values import Ref

_PREFIX = "mcpr_"
_HEAD = 13
_WHOLE = 26
MOST_QUESTIONS = 256

KEY_VARIABLE = "RETINUE_APPROVAL_KEY"
# Each instance of a Databricks App is given the same one, and a new app another.
_SECRETS = (KEY_VARIABLE, "DATABRICKS_CLIENT_SECRET")


@dataclass(frozen=True, slots=True)
class Bound:
    """What an approval is for: this principal's, of this version of the agent, for this call.

    `asks` is the agent whose call it is, which may be another that `agent` has asked.
    """

    principal: str
    agent: str
    digest: str
    asks: str
    call: ToolCall

    @property
    def arguments(self) -> str:
        """The hash of the arguments, however they are written."""
        return sha256(_canonical(self.call.arguments)).hexdigest()


@dataclass(frozen=True, slots=True)
class Id:
    """A question's id, read. `key` names the paused run; `expires` is in Unix seconds."""

    text: str
    key: str
    number: int
    expires: int


class ApprovalIds:
    """Makes the ids of questions and checks them, with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, key: str, number: int, expires: int, bound: Bound) -> str:
        """The id of question `number` of the paused run `key` (16 hex digits)."""
        head = expires.to_bytes(4) + bytes.fromhex(key) + number.to_bytes(1)
        return _PREFIX + urlsafe_b64encode(head + self._seal(head, bound)).decode().rstrip("=")

    def fits(self, given: Id, bound: Bound) -> bool:
        """Whether the id was made for this question."""
        return hmac.compare_digest(
            given.text.encode(),
            self.make(given.key, given.number, given.expires, bound).encode(),
        )

    def _seal(self, head: bytes, bound: Bound) -> bytes:
        said = [bound.principal, bound.agent, bound.digest, bound.asks, bound.call.name]
        told = orjson.dumps([*(_plain(text) for text in said), bound.arguments])
        return hmac.digest(self._key, head + told, "sha256")[: _WHOLE - _HEAD]


def read_id(text: str) -> Id | None:
    """The parts of an id, or None where it isn't one."""
    try:
        raw = urlsafe_b64decode(text.removeprefix(_PREFIX).encode() + b"=")
    except (Error, ValueError):
        return None
    if not text.startswith(_PREFIX) or len(raw) != _WHOLE:
        return None
    return Id(text, raw[4:12].hex(), raw[12], int.from_bytes(raw[:4]))


def new_key() -> str:
    """The key of a run that is paused."""
    return secrets.token_hex(8)


def signing_key(lookup: Lookup) -> bytes:
    """The key that every process which serves the same app has; else one of this process's own."""
    for name in _SECRETS:
        if secret := lookup(Ref("env", name, default="")):
            return sha256(b"retinue approvals\0" + secret.encode("utf-8", "replace")).digest()
    return _own_key()


@cache
def _own_key() -> bytes:
    return secrets.token_bytes(32)


def _canonical(arguments: str) -> bytes:
    """The same bytes for the same arguments: clients write JSON anew."""
    try:
        return orjson.dumps(orjson.loads(arguments or "{}"), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return arguments.encode("utf-8", "replace")


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
