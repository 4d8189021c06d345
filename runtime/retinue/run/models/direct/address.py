"""A deployment and a request → the URL to post to, and the headers that sign it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from retinue.errors import ModelError
from retinue.route import Deployment
from retinue.run.models.direct.providers import model_name, provider_of
from retinue.run.ports import Lookup, ModelRequest
from retinue.run.references import resolved
from retinue.run.workspace import Workspace
from retinue.values import Ref

_AZURE_VERSION = "2025-02-01-preview"
_AZURE_V1 = frozenset({"preview", "latest", "v1"})
_GATEWAY = "/ai-gateway/mlflow/v1"
_SERVING = "/serving-endpoints"
_BREAK = re.compile(r"[\r\n\0]")
_HOST = Ref("workspace", "host", default="")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a call goes. The headers hold secrets, so they are never shown."""

    url: str
    headers: Mapping[str, str] = field(repr=False)


class AddressBook:
    """The addresses of one deployment. References are looked up anew for each call."""

    def __init__(self, deployment: Deployment, lookup: Lookup) -> None:
        self._deployment = deployment
        self._lookup = lookup
        self._provider = provider_of(deployment)
        self._model = model_name(deployment)
        self._workspace: Workspace | None = None
        self._checked: Address | None = None

    async def find(self, request: ModelRequest) -> Address:
        """Where to send this request.

        Raises MissingReferenceError for a reference without a value, and ModelError where there
        is no address, no key, or no token that may be sent there.
        """
        own = self._deployment
        given = None if own.api_base is None else resolved(own.api_base, self._lookup)
        base = given or self._variable(self._provider.bases)
        if own.provider == "databricks":
            url, signed = await self._databricks(base, request)
        elif own.provider == "azure":
            url, signed = self._azure(base), {"api-key": self._key() or ""}
        else:
            url, signed = f"{self._base(base)}/chat/completions", self._bearer()
        extra = {name: resolved(text, self._lookup) for name, text in own.headers}
        address = Address(url, {**signed, **extra})
        if address != self._checked:
            self._check(address)
            self._checked = address
        return address

    def _check(self, address: Address) -> None:
        model = self._deployment.model
        if not _is_http(address.url):
            raise ModelError("not_found", f"the address of '{model}' is no http or https URL")
        if any(_BREAK.search(value) for value in address.headers.values()):
            raise ModelError("auth", f"a key or header of '{model}' has a line break in it")

    def _variable(self, names: tuple[str, ...]) -> str | None:
        found = (self._lookup(Ref("env", name, default="")) for name in names)
        return next((value for value in found if value), None)

    def _base(self, base: str | None) -> str:
        chosen = base or self._provider.base
        if chosen is None:
            wanted = " or ".join(["api_base on the route", *self._provider.bases])
            raise ModelError("not_found", f"'{self._deployment.model}' needs an address: {wanted}")
        return chosen.rstrip("/")

    def _key(self, *, needed: bool = True) -> str | None:
        """The key. Raises ModelError where one is needed and not set."""
        own = self._deployment
        key = None if own.api_key is None else resolved(own.api_key, self._lookup)
        key = key or self._variable(self._provider.keys)
        if needed and not key and not self._provider.keyless and own.api_base is None:
            names = " or ".join(self._provider.keys)
            raise ModelError(
                "auth", f"the model '{own.model}' needs {names} in the environment or in .env"
            )
        return key

    def _bearer(self) -> dict[str, str]:
        key = self._key()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _azure(self, base: str | None) -> str:
        root = self._base(base)
        version = self._variable(("AZURE_API_VERSION",)) or _AZURE_VERSION
        if version in _AZURE_V1:
            return f"{root}/openai/v1/chat/completions"
        if "/openai/deployments" not in root:
            root = f"{root}/openai/deployments/{self._model}"
        return f"{root}/chat/completions?api-version={version}"

    async def _databricks(
        self, base: str | None, request: ModelRequest
    ) -> tuple[str, dict[str, str]]:
        own = self._deployment
        key = None
        if own.auth == "app":
            key = self._key(needed=False)
        elif not request.user_token:
            raise ModelError(
                "auth",
                f"the model '{own.model}' is asked as the caller (auth: user), and the request "
                "carries no Databricks token of the caller's",
            )
        if key and base:
            return self._endpoint(base), {"Authorization": f"Bearer {key}"}
        home = await self._home()
        url = self._endpoint(base or f"{home}{_SERVING}")
        if key:
            return url, {"Authorization": f"Bearer {key}"}
        if not _same_origin(url, home):
            raise ModelError(
                "auth",
                f"the model '{own.model}' is not on the workspace's own host, and the "
                "workspace's tokens go nowhere else: give the route an api_key",
            )
        if own.auth == "user":
            return url, {"Authorization": f"Bearer {request.user_token}"}
        return url, await (await self._identity()).headers()

    async def _home(self) -> str:
        """The workspace's URL, without a slash at its end."""
        host = self._lookup(_HOST).rstrip("/")
        if not host:
            return (await self._identity()).url
        return host if "://" in host else f"https://{host}"

    async def _identity(self) -> Workspace:
        if self._workspace is None:
            self._workspace = await Workspace.find(self._lookup)
        return self._workspace

    def _endpoint(self, base: str) -> str:
        """A name of three parts, `catalog.schema.model`, is a model service of the AI Gateway."""
        root = base.rstrip("/")
        if self._model.count(".") >= 2 and not root.endswith(_GATEWAY):
            host = root.removesuffix(_SERVING)
            if host != root or not urlsplit(root).path:
                root = f"{host}{_GATEWAY}"
        return f"{root}/chat/completions"


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _same_origin(url: str, other: str) -> bool:
    one, two = urlsplit(url), urlsplit(other)
    return (one.scheme, one.hostname, one.port) == (two.scheme, two.hostname, two.port)
