"""Trees of several files → one tree: what a later file says goes over what an earlier one says.

Maps are merged key by key; anything else replaces what was there. A short form under a map stands
for the object that it is short for. Where a layer names another address (a model's name, a server's
url), what belonged to the old one goes with it: a key must not reach somebody else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce

from retinue.compile.tree import Entry, Node, Path

_WHOLE = ("output_schema",)
_SHORT: Mapping[Path, str] = {
    ("model",): "name",
    ("instructions",): "text",
    ("description",): "text",
}
_TEXT: Mapping[str, tuple[str, ...]] = {"text": ("file",), "file": ("text",)}
_OF_ONE_PLACE = (
    "deployments", "api_base", "api_key", "region", "headers", "adapter", "auth", "price",
)  # fmt: skip
# What goes when the key is given anew: of a server also how the other transports were described.
_BELONGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "model": {"name": _OF_ONE_PLACE, "deployments": ("name", *_OF_ONE_PLACE)},
    "instructions": _TEXT,
    "description": _TEXT,
}
_TRANSPORTS: Mapping[str, tuple[str, ...]] = {
    "databricks": ("databricks", "offline"),
    "url": ("url", "headers"),
    "command": ("command", "args", "env"),
}
_ONLY_DATABRICKS = ("auth",)


def merged(layers: Iterable[Node]) -> Node:
    """One tree of at least one, the last one on top. Places stay where each value was written."""
    return reduce(over, layers)


def over(lower: Node, upper: Node, path: Path = ()) -> Node:
    """`upper` merged over `lower`; `path` is theirs in an agent file."""
    lower = _expanded(lower, upper, path)
    if not (isinstance(lower.value, dict) and isinstance(upper.value, dict)) or path == _WHOLE:
        return upper
    gone = _outdated(lower, upper, path)
    entries = {key: entry for key, entry in lower.entries.items() if key not in gone}
    for key, entry in upper.entries.items():
        below = entries.get(key)
        node = over(below.node, entry.node, (*path, key)) if below else entry.node
        entries[key] = Entry(entry.key, node)
    return replace(upper, value=entries, absent=(lower.absent | upper.absent) - entries.keys())


def names_as_map(node: Node) -> Node:
    """A list of names as a map of empty objects; anything else as it is."""
    if not node.items or not all(isinstance(item.value, str) for item in node.items):
        return node
    entries = {str(item.value): Entry(item.place, Node({}, item.place)) for item in node.items}
    return replace(node, value=entries)


def _expanded(lower: Node, upper: Node, path: Path) -> Node:
    """What a map goes over, as a map."""
    if not isinstance(upper.value, dict):
        return lower
    if path in _SHORT and isinstance(lower.value, str):
        return replace(lower, value={_SHORT[path]: Entry(lower.place, lower)})
    return names_as_map(lower) if path == ("mcp_servers",) else lower


def _outdated(lower: Node, upper: Node, path: Path) -> set[str]:
    if len(path) == 2 and path[0] == "mcp_servers":
        return _other_transports(lower, upper)
    belongs = _BELONGS.get(str(path[0]), {}) if len(path) == 1 else {}
    changed = [key for key in belongs if key in upper.entries and _differs(lower, upper, key)]
    return {gone for key in changed for gone in belongs[key]}


def _other_transports(lower: Node, upper: Node) -> set[str]:
    changed = [key for key in _TRANSPORTS if key in upper.entries and _differs(lower, upper, key)]
    if not changed:
        return set()
    gone = {key for group in _TRANSPORTS.values() for key in group}
    return gone if "databricks" in changed else {*gone, *_ONLY_DATABRICKS}


def _differs(lower: Node, upper: Node, key: str) -> bool:
    """Whether `upper` gives the key another value; where `lower` has none, `text` and `file` and
    the transports still exclude each other.
    """
    below, above = lower.child(key), upper.child(key)
    if below is None or above is None:
        return key != "name" or "deployments" in lower.entries
    return below.plain() != above.plain()
