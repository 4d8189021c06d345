"""What things are called → names that a workspace takes, each once."""

import hashlib
import re
from collections.abc import Iterable, Sequence

MAX_RESOURCE_NAME = 30
MAX_APP_NAME = 30
MAX_AGENT_NAME = 20
"""What an agent's name may take of its app's; the rest is the suffix's."""

DIGEST_PREFIX = "digest_"
"""How the bundle variables start that hold the digests of apps' folders."""

_DIGITS = 6


def named(labels: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """A name for each label: a-z, 0-9 and hyphens, 2 to 30 characters, and no two the same.

    A label has the same name whatever the others are, unless another one comes to that name too.
    """
    used = set(taken)
    names = []
    for label in labels:
        name = _slug(label)
        if name in used:
            name = _shortened(name, label, used)
        used.add(name)
        names.append(name)
    return names


def _slug(label: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", label.replace("${var.", "").lower()).strip("-")
    if len(slug) > MAX_RESOURCE_NAME or len(slug) < 2:
        return _shortened(slug, label, ())
    return slug


def _shortened(slug: str, label: str, used: Iterable[str]) -> str:
    """The beginning of a slug, and digits of its label's hash that tell it from others."""
    count = 0
    while True:
        digest = hashlib.sha256(f"{label}{count or ''}".encode()).hexdigest()[:_DIGITS]
        beginning = slug[: MAX_RESOURCE_NAME - _DIGITS - 1].rstrip("-") or "x"
        name = f"{beginning}-{digest}"
        if name not in used:
            return name
        count += 1


def secret_variable(scope: str, key: str) -> str:
    """The environment variable that an app finds a secret in; the runtime looks for the same."""
    whole = f"{scope}/{key}"
    return "RETINUE_SECRET_" + "".join(c if c.isalnum() else "_" for c in whole).upper()
