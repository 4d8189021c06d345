"""What the gate has found out of a caller, for endpoints to pass on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from retinue.run.caller import Caller
from retinue.serve.limits import Limits
from retinue.serve.wire.session import UNNAMED
from retinue.store.api_key import ADMIN, LOGS

_NO_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who calls; nothing of it comes from the request's body.

    `user_id`, `user_name`, `user_email` and `access_token` are the Databricks proxy's word and
    None elsewhere; `key` is the name of the API key. `closed` are the agents that the caller may
    not use; `admin` says whether it may operate the server. Where the key is one of the store,
    `scopes` are what it is for, and `limits` what its holder may use. The token is the user's
    own: it goes to their workspace and nowhere else.
    """

    user_id: str | None = None
    user_name: str | None = None
    user_email: str | None = None
    key: str | None = None
    access_token: str | None = field(default=None, repr=False)
    admin: bool = False
    closed: frozenset[str] = _NO_NAMES
    scopes: frozenset[str] | None = None
    limits: Limits | None = None

    def may(self, scope: str) -> bool:
        """Whether the caller's key is for that, or isn't for anything in particular."""
        return self.scopes is None or scope in self.scopes or ADMIN in self.scopes

    @property
    def reads_all(self) -> bool:
        """Whether the log tells this caller of everybody's requests."""
        return self.admin or (self.scopes is not None and LOGS in self.scopes)

    @property
    def subject(self) -> str:
        """What limits are counted by; empty for those that nothing is known of, who share one."""
        return self.user_id or self.user_email or self.key or ""

    def caller(self, metadata: Mapping[str, str], session: str = "", depth: int = 0) -> Caller:
        """As a run sees it, with the request's own metadata and what the session is called; `depth`
        is how many agents have asked one another before.

        Nothing is kept for a session that was named after its first message alone, unless the
        proxy has told its user: those behind one key, or none, may begin alike.
        """
        known = self.user_id or self.user_email
        named = bool(session) and (bool(known) or not session.startswith(UNNAMED))
        return Caller(
            session=self._own(session) if named else None,
            depth=depth,
            metadata=metadata,
            user_id=self.user_id,
            user_name=self.user_name,
            user_email=self.user_email,
            token=self.access_token,
            principal=self._principal or f"session:{session}",
            owner=self.subject,
        )

    def _own(self, session: str) -> str:
        """The session's name among everybody's."""
        owned = "\0".join((self.user_id or "", self.user_email or "", self.key or "", session))
        return sha256(owned.encode("utf-8", "replace")).hexdigest()

    @property
    def _principal(self) -> str:
        user = self.user_id or self.user_email
        if user:
            return f"user:{user}"
        return f"key:{self.key}" if self.key else ""


ANYONE = Identity()
