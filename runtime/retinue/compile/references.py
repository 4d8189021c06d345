"""A value of a tree that may hold references → the text to keep, checked."""

import re

from retinue.compile.interpolate import Pending
from retinue.compile.report import Report, holds_secret
from retinue.compile.tree import Node, Path
from retinue.compile.urls import url_mistake
from retinue.values import Template, Text

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110."""

_CREDENTIALS = re.compile(r"(?i)(?:bearer|basic)\s+\S{8,}")
_LINE_BREAK = re.compile(r"[\r\n]")
_NUL = re.compile("\0")
# How shells and templates elsewhere write a variable.
_FOREIGN = re.compile(r"^(\$[A-Za-z_]\w*|%\w+%)$|\{\{.*\}\}")
_CLEAR = "write ${secret.scope/key} or ${env.NAME}, and revoke the secret if it was shared"


def reference(
    value: Text | Pending | None,
    root: Node,
    path: Path,
    report: Report,
    *,
    url: bool = False,
    line: bool = False,
) -> Text | None:
    """A value that may hold references. A secret in the clear, a `url` that isn't one, and a line
    break in what must be a `line` are errors.
    """
    if value is None or isinstance(value, Pending):
        return None
    if _is_clear(value):
        message = "this looks like a secret in the clear"
        report.error(root.at(path), message, "secret-in-clear", _CLEAR)
    if _NUL.search(str(value)) or ((url or line) and _LINE_BREAK.search(str(value))):
        message = "a line break or NUL character can't be used here"
        report.error(root.at(path), message, "control-character")
    if _FOREIGN.search(str(value)):
        # A program's arguments may mean it so.
        tell = report.error if url or line else report.warning
        message = "this stands there as it is: it is no reference"
        tell(root.at(path), message, "bad-reference", "write ${env.NAME}")
    if url and (mistake := url_mistake(value)):
        report.error(root.at(path), *mistake)
    return value if isinstance(value, Template) else str(value)


def _is_clear(value: Text) -> bool:
    literals = [value] if isinstance(value, str) else [p for p in value.parts if isinstance(p, str)]
    return any(holds_secret(text) or _CREDENTIALS.match(text) for text in literals)
