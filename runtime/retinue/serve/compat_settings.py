"""The switches and variables of older agent servers → this server's own."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from retinue.errors import UsageError

MODES: Mapping[str, tuple[str, ...]] = {
    "chat": ("chat", "responses", "invocations", "files"),
    "agent": ("models", "mcp", "operation", "docs"),
    "logs": ("logs",),
    "health": (),
}
_YES = ("1", "true", "yes", "on")
_PARTS = ("HOST", "NAME", "USER", "PASSWORD")


def allowed_apis(modes: str) -> list[str]:
    """The surfaces of `chat agent logs health`, with spaces or commas between them.

    Health is always answered. Raises UsageError for a mode that there isn't.
    """
    names = modes.replace(",", " ").split()
    for name in names:
        if name not in MODES:
            raise UsageError(f"there is no mode '{name}': there are {', '.join(MODES)}")
    return [api for name in names for api in MODES[name]]


def refuse_unchecked(env: Mapping[str, str], agents: Sequence[str]) -> None:
    """Raises UsageError where older variables ask for checks that these `agents` don't have."""
    asked = any(_set(env, name) for name in ("AGENT_AUTH_ENABLED", "FORCE_AUTH"))
    if asked and agents:
        raise UsageError(
            "AGENT_AUTH_ENABLED or FORCE_AUTH is set, and nothing would check who calls "
            f"{', '.join(agents)}: write `auth: {{mode: api_key}}` in the agent's file or in "
            "retinue.yaml and set RETINUE_API_KEYS"
        )


def store_url(env: Mapping[str, str]) -> str | None:
    """The PostgreSQL of DB_LOGGING_ENABLED and LOGGING_DB_…; None where it isn't switched on.

    Raises UsageError where a part is missing.
    """
    if not _set(env, "DB_LOGGING_ENABLED"):
        return None
    found = {part: env.get(f"LOGGING_DB_{part}", "") for part in _PARTS}
    for part, value in found.items():
        if not value:
            raise UsageError(f"DB_LOGGING_ENABLED is set, and LOGGING_DB_{part} is not")
    user, password, name = (quote(found[part], safe="") for part in ("USER", "PASSWORD", "NAME"))
    port = env.get("LOGGING_DB_PORT") or "5432"
    if not port.isdecimal():
        raise UsageError("LOGGING_DB_PORT is no port")
    return f"postgresql://{user}:{password}@{found['HOST']}:{port}/{name}"


def _set(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "").strip().lower() in _YES
