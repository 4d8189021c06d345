"""The text of a URL, with references in it → why no request could go there, or that it could."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from retinue.values import Text

_HOST = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(\.(?!-)[\w-]{1,63}(?<!-))*\.?")
_MAX_HOST = 253
_ELSEWHERE = "keep what is secret in a header, or in ${secret.scope/key}"

Mistake = tuple[str, str, str | None]
"""Message, code and hint."""


def url_mistake(value: Text) -> Mistake | None:
    """What is wrong with an address. What a reference gives is known later: it may be any part.

    Line breaks and NUL characters are not looked for.
    """
    parts = [value] if isinstance(value, str) else value.parts
    if not isinstance(parts[0], str):
        return None
    if not parts[0].lower().startswith(("http://", "https://")):
        return "a URL starts with https:// or http://", "bad-url", None
    problem = _problem(_filled(parts, "1"))
    if problem:
        return problem, "bad-url", None
    if _holds_credentials(_filled(parts, "")):
        return "the URL holds credentials", "secret-in-clear", _ELSEWHERE
    return None


def _filled(parts: Sequence[object], reference: str) -> str:
    """The text with something in place of its references."""
    return "".join(part if isinstance(part, str) else reference for part in parts)


def _problem(url: str) -> str | None:
    if any(c == "\\" or c.isspace() or not c.isprintable() for c in url if c not in "\r\n\0"):
        return "a URL holds no blanks, backslashes or characters that can't be seen"
    try:
        split = urlsplit(url)
        host = split.hostname or ""
    except ValueError:
        return "the URL's host is malformed"
    if not host:
        return "the URL lacks a host"
    if len(host) > _MAX_HOST or not (":" in host or _HOST.fullmatch(host)):
        return "the URL's host is malformed"
    try:
        bad_port = split.port == 0
    except ValueError:
        bad_port = True
    return "a URL's port is a number from 1 to 65535" if bad_port else None


def _holds_credentials(url: str) -> bool:
    """Whether a user or password stands there in the clear."""
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    name, colon, password = user.partition(":")
    return bool(at) and bool(password if colon else name)
