"""Who asks, as a run and its tools know them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and what the request says of itself. Feeds prompt variables; all of it optional.

    `metadata` is the request's own `metadata` object, strings to strings: never to be trusted.
    `token` is the caller's own Databricks token, for the workspace's host and nobody else.
    `session` is the conversation's name, the same in each of its runs and in no other user's; None
    where it isn't known. `depth` is how many agents elsewhere have asked one another up to this
    request.
    `principal` is whose word an approval is: a user, an API key, or, where neither is known, a
    session. `owner` is whose stored files a request may name, empty where nobody is told apart.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    user_id: str | None = None
    user_name: str | None = None
    user_email: str | None = None
    token: str | None = field(default=None, repr=False)
    session: str | None = None
    depth: int = 0
    principal: str = ""
    owner: str = ""
