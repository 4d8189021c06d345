"""A request → the name of the session that it belongs to."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from retinue.run.messages import Message
from retinue.serve.wire.mistakes import invalid

HEADER = "x-session-id"
_KEY = "session_id"
_LONGEST = 512
UNNAMED = "auto-"
"""How a name begins that no one has given."""


def session_name(
    header: str | None,
    metadata: Mapping[str, str],
    user: str | None,
    messages: Sequence[Message],
) -> str:
    """The header's name, else `metadata.session_id`, else a hash of user and first message.

    Clients that send the whole history each time begin it alike: the hash stays the same. Raises
    RequestError for a name that is too long or can't be printed.
    """
    for place, name in ((HEADER, header), (f"metadata.{_KEY}", metadata.get(_KEY))):
        if name:
            if len(name) > _LONGEST or not name.isprintable():
                rule = f"must have at most {_LONGEST} characters, all of them printable"
                raise invalid(place, rule)
            return name
    first = next((m for m in messages if m.role == "user"), messages[0])
    told = f"{user or ''}\0{first.parts or first.content}".encode("utf-8", "replace")
    return f"{UNNAMED}{sha256(told).hexdigest()[:32]}"
