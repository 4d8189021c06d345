"""A request's headers → who calls, or a 401 before anything else of the request is looked at."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from retinue.agent import Agent, AuthMode
from retinue.errors import MissingReferenceError, RequestError, StoreDownError, StoreError
from retinue.run.references import environment, resolved
from retinue.serve.access import record_of
from retinue.serve.answers import send_error
from retinue.serve.identity import Identity
from retinue.serve.keys import AccessError, KeyRing
from retinue.serve.limits import Limits
from retinue.serve.scopes import scope_for
from retinue.serve.stored_keys import StoredKeys
from retinue.serve.wire.errors import RefusedError, answer
from retinue.serve.wire.models import unauthorised
from retinue.store.api_key import ADMIN, ApiKey, digest_of, is_ours
from retinue.values import Ref, Template

VARIABLE = "RETINUE_API_KEYS"
ADMIN_KEYS = "RETINUE_ADMIN_KEYS"
ADMINS = "RETINUE_ADMINS"
_KEYS = Template((Ref("env", VARIABLE),))
_KEY_HEADERS = frozenset((b"api-key", b"x-api-key", b"api-token", b"api_token"))
_AUTHORIZATION = b"authorization"
_BEARER = b"bearer "
_MOST_KEYS = 8
"""Headers of one request that are tried as keys."""
_USER_HEADERS = {
    b"x-forwarded-user": "user_id",
    b"x-forwarded-preferred-username": "user_name",
    b"x-forwarded-email": "user_email",
    b"x-forwarded-access-token": "access_token",
}
_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
_REFUSALS = (RequestError, RefusedError, StoreError, StoreDownError)

Headers = Iterable[tuple[bytes, bytes]]
Find = Callable[[bytes], ApiKey | None]
"""The store's key with that digest, if it is good."""


def _nothing(_digest: bytes) -> ApiKey | None:
    return None


def behind_databricks(env: Mapping[str, str]) -> bool:
    """Whether this process is a Databricks App: only its proxy reaches the port then."""
    return bool(env.get("DATABRICKS_APP_NAME") and env.get("DATABRICKS_APP_PORT"))


class Access:
    """Who may use which agent; `env` is the process's environment.

    An agent that says nothing of `auth` is for `databricks` users behind Databricks' proxy, and
    for anyone elsewhere. `stored` says whether there is a store, whose keys count too, but for
    agents that have keys of their own. Raises AccessError where an agent asks for keys and there
    can be none.
    """

    def __init__(
        self,
        agents: Iterable[Agent],
        env: Mapping[str, str] = _NO_VARIABLES,
        *,
        stored: bool = False,
    ) -> None:
        agents = tuple(agents)
        self.proxied = behind_databricks(env)
        self._modes = {agent.name: self._mode(agent) for agent in agents}
        keyed = [agent for agent in agents if self._modes[agent.name] == "api_key"]
        rings = {agent.name: _ring(agent, env, stored=stored) for agent in keyed}
        self._own = frozenset(agent.name for agent in keyed if agent.auth and agent.auth.keys)
        self._all = KeyRing(())
        for ring in rings.values():
            self._all |= ring
        self._closed = {
            key: frozenset(name for name, ring in rings.items() if key not in ring.names)
            for key in self._all.names
        }
        self._closed_to_strangers = frozenset(rings)
        self._admin_ring = KeyRing.optional(env.get(ADMIN_KEYS, ""), ADMIN_KEYS)
        self._admins = frozenset(_listed(env.get(ADMINS, ""))) if self.proxied else frozenset()
        self._stranger = Identity(closed=self._closed_to_strangers)
        self.shut = len(rings) == len(agents) > 0
        """Whether nothing is open to a caller without a key."""
        self.takes_stored = stored and bool(keyed)
        """Whether the store's keys open anything."""
        self.needs_stored = not all(ring.names for ring in rings.values())
        """Whether nothing else opens some agents."""

    def _mode(self, agent: Agent) -> AuthMode:
        if agent.auth:
            return agent.auth.mode
        return "databricks" if self.proxied else "none"

    @property
    def checks(self) -> bool:
        """Whether headers say anything at all of a caller."""
        return self.proxied or bool(self._closed_to_strangers or self._admin_ring.names)

    @property
    def modes(self) -> Mapping[str, AuthMode]:
        """By the agents' names."""
        return self._modes

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The agents that anyone may use who reaches this process."""
        if self.proxied:
            return ()
        return tuple(name for name, mode in self._modes.items() if mode != "api_key")

    def refuse_open(self) -> None:
        """Raises AccessError where callers from elsewhere would be let in unchecked."""
        if not self.unchecked:
            return
        raise AccessError(
            f"this address can be reached from other machines, and nothing would check who calls "
            f"{', '.join(self.unchecked)}: write `auth: {{mode: api_key}}` in the agent's file or "
            f"in retinue.yaml (`retinue keys create` makes keys), or listen on 127.0.0.1"
        )

    def identify(self, headers: Headers, find: Find = _nothing) -> Identity:
        """Who calls, as far as it is known; `find` has the store's keys.

        Raises RequestError (400) for a header of the proxy's that came twice, but not where a key
        is asked for and there is none: that is told first.
        """
        key, stored, twice, admin = None, None, b"", False
        tried = 0
        user: dict[str, str] = {}
        for name, value in headers:
            if name == _AUTHORIZATION or name in _KEY_HEADERS:
                candidate = _candidate(name, value)
                if candidate and key is None and tried < _MOST_KEYS:
                    tried += 1
                    digest = digest_of(candidate)
                    key = self._all.named(digest)
                    if key is None and (stored := find(digest)):
                        key = stored.id
                    if self._admin_ring.named(digest):
                        admin = True
            elif self.proxied and name in _USER_HEADERS:
                twice = twice or (name if _USER_HEADERS[name] in user else b"")
                user[_USER_HEADERS[name]] = value.decode("utf-8", "replace").strip()
        if twice and not (self.shut and key is None):
            message = f"The header {twice.decode()} came twice."
            raise RequestError(message, code="ambiguous_identity")
        known: dict[str, Any] = {field: text for field, text in user.items() if text}
        if key is None and not known and not admin:
            return self._stranger
        admin = admin or bool(
            self._admins.intersection(v for k, v in known.items() if k != "access_token")
        )
        if stored:
            return self._holder(stored, admin=admin, **known)
        closed = self._closed_to_strangers if key is None else self._closed[key]
        return Identity(key=key, closed=closed, admin=admin, **known)

    def _holder(self, key: ApiKey, *, admin: bool, **known: Any) -> Identity:
        """Of one of the store's keys. Those for some agents alone may name such as have keys of
        their own, too.
        """
        limited = key.rate or key.tokens or key.usd
        return Identity(
            key=key.id,
            closed=self._closed_to_strangers - key.agents if key.agents else self._own,
            admin=admin or ADMIN in key.scopes,
            scopes=key.scopes,
            limits=Limits(rate=key.rate, tokens=key.tokens, usd=key.usd) if limited else None,
            **known,
        )


def _candidate(name: bytes, value: bytes) -> bytes:
    """What a header brings as a key; empty where that is nothing."""
    if name != _AUTHORIZATION:
        return value.strip()
    return value[len(_BEARER) :].strip() if value[:7].lower() == _BEARER else b""


def _ours(headers: Headers) -> list[bytes]:
    """The digests of what has the form of a key of a store's."""
    presented = [
        _candidate(name, value)
        for name, value in headers
        if name == _AUTHORIZATION or name in _KEY_HEADERS
    ]
    return [digest_of(one) for one in filter(None, presented[:_MOST_KEYS]) if is_ours(one)]


def _listed(text: str) -> list[str]:
    return [one for one in text.replace(",", " ").split() if one]


def _ring(agent: Agent, env: Mapping[str, str], *, stored: bool) -> KeyRing:
    own = agent.auth.keys if agent.auth else None
    if stored and not own and not env.get(VARIABLE):
        return KeyRing(())
    keys = own or _KEYS
    try:
        return KeyRing.read(resolved(keys, environment(env)), str(keys))
    except MissingReferenceError as error:
        hint = "" if own else "; or have a store, for the keys of `retinue keys create`"
        raise AccessError(f"{agent.name} is for holders of an API key: {error}{hint}") from None


class Gate:
    """ASGI middleware: who calls goes on the request's record; who may nothing is answered 401.

    `open_paths` are for everyone, such as what a load balancer asks. `keys` are the store's, where
    it has any that count.
    """

    def __init__(
        self,
        access: Access,
        open_paths: frozenset[str],
        app: ASGIApp,
        keys: StoredKeys | None = None,
    ) -> None:
        self._access = access
        self._open = open_paths
        self._app = app
        self._keys = keys
        self._find = keys.find if keys else _nothing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = record_of(scope)
        try:
            identity = self._access.identify(scope["headers"], self._find)
            if self._keys and not self._is_open(scope):
                identity = await self._looked_up(self._keys, scope["headers"], identity)
            record.identity = identity
            self._check(identity, scope)
        except _REFUSALS as error:
            told = answer(error)
            record.fault = told.code or ""
            await send_error(send, told)
        else:
            await self._app(scope, receive, send)

    async def _looked_up(self, keys: StoredKeys, headers: Headers, known: Identity) -> Identity:
        """Who calls with a key that may have been made, or revoked, a moment ago."""
        if known.key is not None:
            if known.scopes is None or not keys.resting:
                return known
            await keys.renew()
        elif digests := _ours(headers):
            await keys.look_for(*digests)
        else:
            return known
        return self._access.identify(headers, self._find)

    def _check(self, identity: Identity, scope: Scope) -> None:
        """Raises RequestError: 401 or 403."""
        known = identity.key is not None or identity.admin
        if self._access.shut and not known and not self._is_open(scope):
            raise unauthorised()
        if identity.scopes is None or ADMIN in identity.scopes:
            return
        needed = scope_for(_path(scope))
        if needed and not identity.may(needed):
            message = f"This API key hasn't the scope '{needed}', which this takes."
            raise RequestError(message, code="permission_denied", status=403)

    def _is_open(self, scope: Scope) -> bool:
        return _path(scope) in self._open and scope["method"] in ("GET", "HEAD")


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
