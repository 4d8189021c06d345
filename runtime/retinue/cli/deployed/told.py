"""What stands between a caller and an app instead of the app's answer → OpenAI's error object."""

import json
from dataclasses import dataclass
from typing import Any

_LOGIN = (
    "The workspace asks for a login instead of letting the request through to the app '{app}'. "
    "Apps take OAuth tokens alone, no personal access tokens: run `databricks auth login` for the "
    "profile in use, and start this again."
)
_NOT_ALLOWED = (
    "The workspace lets nobody through to the app '{app}' without the permission Can use: ask its "
    "owner for it."
)
_CUT = "The platform cuts off what takes longer than 120 s: ask for less at once, or stream."
_DOWN = "The app '{app}' doesn't answer: see `databricks apps logs {app}`."


@dataclass(frozen=True, slots=True)
class Told:
    """An error for the caller; a repetition is pointless where `status` is below 500."""

    status: int
    kind: str
    message: str
    code: str

    @property
    def object(self) -> dict[str, Any]:
        keys = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return {"error": keys}

    @property
    def body(self) -> bytes:
        return json.dumps(self.object).encode()


def told(status: int, kind: str, body: bytes, app: str) -> Told | None:
    """Why an answer isn't the app's own; None where it is. A page is never passed on.

    `kind` is the answer's content type. The app's own errors are OpenAI's objects.
    """
    kind = kind.partition(";")[0].strip().lower()
    if status < 300 and kind != "text/html":
        return None
    if kind == "application/json" and _is_error_object(body):
        return None
    if status < 400 or status == 401:
        return Told(401, "authentication_error", _LOGIN.format(app=app), "login_required")
    if status == 403:
        return Told(403, "permission_error", _NOT_ALLOWED.format(app=app), "no_permission")
    if status == 504:
        return Told(504, "server_error", _CUT, "timeout")
    return unreachable(app)


def unreachable(app: str) -> Told:
    """No answer came, it broke off, or it was the platform's."""
    return Told(502, "server_error", _DOWN.format(app=app), "app_unavailable")


def _is_error_object(body: bytes) -> bool:
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("error"), dict)
