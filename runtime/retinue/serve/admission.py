"""A request's headers → who calls, or a 401 before anything else of the request is looked at."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from starlette.types import ASGIApp, Receive, Scope, Send

from retinue.agent import Agent, AuthMode
from retinue.errors import MissingReferenceError, RequestError
from retinue.run.references import environment, resolved
from retinue.serve.access import record_of
from retinue.serve.answers import send_error
from retinue.serve.identity import Identity
from retinue.serve.keys import AccessError, KeyRing
from retinue.serve.wire.errors import request_error
from retinue.serve.wire.models import unauthorised
from retinue.values import Ref, Template

VARIABLE = "RETINUE_API_KEYS"
ADMIN_KEYS = "RETINUE_ADMIN_KEYS"
ADMINS = "RETINUE_ADMINS"
_KEYS = Template((Ref("env", VARIABLE),))
_KEY_HEADERS = frozenset((b"api-key", b"x-api-key", b"api-token", b"api_token"))
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

Headers = Iterable[tuple[bytes, bytes]]


def behind_databricks(env: Mapping[str, str]) -> bool:
    """Whether this process is a Databricks App: only its proxy reaches the port then."""
    return bool(env.get("DATABRICKS_APP_NAME") and env.get("DATABRICKS_APP_PORT"))


class Access:
    """Who may use which agent; `env` is the process's environment.

    An agent that says nothing of `auth` is for `databricks` users behind Databricks' proxy, and
    for anyone elsewhere. Raises AccessError where an agent asks for keys and there are none.
    """

    def __init__(self, agents: Iterable[Agent], env: Mapping[str, str] = _NO_VARIABLES) -> None:
        agents = tuple(agents)
        self.proxied = behind_databricks(env)
        self._modes = {agent.name: self._mode(agent) for agent in agents}
        rings = {a.name: _ring(a, env) for a in agents if self._modes[a.name] == "api_key"}
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
            f"in retinue.yaml and set {VARIABLE}, or listen on 127.0.0.1"
        )

    def identify(self, headers: Headers) -> Identity:
        """Who calls, as far as it is known.

        Raises RequestError (400) for a header of the proxy's that came twice, but not where a key
        is asked for and there is none: that is told first.
        """
        key, twice, admin = None, b"", False
        tried = 0
        user: dict[str, str] = {}
        for name, value in headers:
            if name == b"authorization":
                candidate = value[len(_BEARER) :] if value[:7].lower() == _BEARER else b""
            elif name in _KEY_HEADERS:
                candidate = value
            else:
                if self.proxied and name in _USER_HEADERS:
                    twice = twice or (name if _USER_HEADERS[name] in user else b"")
                    user[_USER_HEADERS[name]] = value.decode("utf-8", "replace").strip()
                continue
            if candidate and key is None and tried < _MOST_KEYS:
                tried += 1
                key = self._all.find(candidate.strip())
                if self._admin_ring.find(candidate.strip()):
                    admin = True
        if twice and not (self.shut and key is None):
            message = f"The header {twice.decode()} came twice."
            raise RequestError(message, code="ambiguous_identity")
        known = {field: text for field, text in user.items() if text}
        if key is None and not known and not admin:
            return self._stranger
        admin = admin or bool(
            self._admins.intersection(v for k, v in known.items() if k != "access_token")
        )
        closed = self._closed_to_strangers if key is None else self._closed[key]
        return Identity(key=key, closed=closed, admin=admin, **known)


def _listed(text: str) -> list[str]:
    return [one for one in text.replace(",", " ").split() if one]


def _ring(agent: Agent, env: Mapping[str, str]) -> KeyRing:
    keys = agent.auth.keys if agent.auth and agent.auth.keys else _KEYS
    try:
        return KeyRing.read(resolved(keys, environment(env)), str(keys))
    except MissingReferenceError as error:
        raise AccessError(f"{agent.name} is for holders of an API key: {error}") from None


class Gate:
    """ASGI middleware: who calls goes on the request's record; who may nothing is answered 401.

    `open_paths` are for everyone, such as what a load balancer asks.
    """

    def __init__(self, access: Access, open_paths: frozenset[str], app: ASGIApp) -> None:
        self._access = access
        self._open = open_paths
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = record_of(scope)
        try:
            record.identity = self._access.identify(scope["headers"])
            known = record.identity.key is not None or record.identity.admin
            if self._access.shut and not known and not self._is_open(scope):
                raise unauthorised()
        except RequestError as error:
            record.fault = error.code or ""
            await send_error(send, request_error(error))
        else:
            await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return path in self._open and scope["method"] in ("GET", "HEAD")
