"""What a check against the real thing finds."""

from dataclasses import dataclass
from typing import Literal

from retinue.diagnostics import Severity

OnlineCode = Literal[
    "online-credentials",
    "online-model",
    "online-resource",
    "online-secret",
    "online-server",
    "online-tools",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One failure. `value` is the text in the file that it is about, where it is about one."""

    code: OnlineCode
    message: str
    hint: str | None = None
    severity: Severity = "error"
    value: str | None = None
