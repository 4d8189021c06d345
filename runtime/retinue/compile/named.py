"""Names of retinue.yaml's models and servers in an agent's tree → what they stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from retinue.compile.merge import names_as_map, over
from retinue.compile.report import Report, quoted
from retinue.compile.tree import Entry, Node, Path
from retinue.diagnostics import Location, did_you_mean

TRANSPORTS = ("databricks", "url", "command")
"""The keys that say where a server is."""


@dataclass(frozen=True, slots=True)
class Named:
    """What agents may take by name: trees in which everything is right, or None for what was
    wrong as a whole, and is told already.
    """

    models: Mapping[str, Node | None]
    servers: Mapping[str, Node | None]

    def taken(self, root: Node) -> list[Path]:
        """Where in retinue.yaml stands what an agent's tree names."""
        model, servers = root.child("model"), root.child("mcp_servers")
        name = model and _name(model)
        paths: list[Path] = [("models", name)] if name in self.models and name else []
        entries = names_as_map(servers).entries if servers else {}
        return paths + [
            ("mcp_servers", name)
            for name, entry in entries.items()
            if name in self.servers and not _says_where(entry.node)
        ]

    def applied(self, root: Node, report: Report) -> Node:
        """The agent's tree with names replaced; unknown names go to `report`."""
        changes: dict[str, Node] = {}
        model, servers = root.child("model"), root.child("mcp_servers")
        if model:
            changes["model"] = self.model(model, report)
        if servers:
            changes["mcp_servers"] = self._servers(servers, report)
        return root.changed({(key,): node for key, node in changes.items()})

    def route_name(self, root: Node) -> str:
        """The model of retinue.yaml that the agent's tree names; empty for none."""
        node = root.child("model")
        name = _name(node) if node else None
        return name if name and name in self.models else ""

    def model(self, node: Node, report: Report) -> Node:
        """The route that a model's name stands for, with the agent's own keys over it."""
        name = _name(node)
        if name is None:
            return node
        if name not in self.models:
            check_id(name, node.at(("name",)), list(self.models), report)
            return node
        route = self.models[name]
        own = Node({}, node.place) if isinstance(node.value, str) else _without_name(node)
        return over(route, own, ("model",)) if route else node

    def _servers(self, node: Node, report: Report) -> Node:
        listed = not isinstance(node.value, dict)
        _check_repeats(node, report)
        node = names_as_map(node)
        entries: dict[str, Entry] = {}
        absent = set(node.absent)
        for name, entry in node.entries.items():
            if _says_where(entry.node):
                entries[name] = entry
            elif name in self.servers:
                if server := self.servers[name]:
                    whole = over(server, entry.node, ("mcp_servers", name))
                    entries[name] = Entry(entry.key, whole)
                else:
                    absent.add(name)
            elif listed or self._is_near(name):
                self._unknown_server(name, entry, report)
                absent.add(name)
            else:
                entries[name] = entry
        return replace(node, value=entries, absent=frozenset(absent)) if entries or absent else node

    def _is_near(self, name: str) -> bool:
        return (did_you_mean(name[:60], list(self.servers)) or "").startswith("did")

    def _unknown_server(self, name: str, entry: Entry, report: Report) -> None:
        hint = did_you_mean(name[:60], list(self.servers))
        message = f"there is no server {quoted(name)} in retinue.yaml"
        report.error(entry.key, message, "unknown-server", hint or "declare it there, or here")


def check_id(name: str, place: Location, models: Sequence[str], report: Report) -> None:
    """A LiteLLM id may lack a slash; one that looks like a model of retinue.yaml was meant so."""
    if "/" in name or not models:
        return
    near = did_you_mean(name[:60], models)
    message = f"{quoted(name)} is not a model of retinue.yaml"
    if near and near.startswith("did"):
        report.error(place, message, "unknown-model", near)
    else:
        hint = "write provider/model for a LiteLLM id, or name one of retinue.yaml's models"
        report.warning(place, message, "unknown-model", hint)


def _name(model: Node) -> str | None:
    """The name that a model is given by, in short or as an object."""
    name = model if isinstance(model.value, str) else model.child("name")
    return name.value if name and isinstance(name.value, str) else None


def _without_name(node: Node) -> Node:
    entries = {key: entry for key, entry in node.entries.items() if key != "name"}
    return replace(node, value=entries)


def _says_where(node: Node) -> bool:
    """Whether the agent describes a server of its own; what isn't an object is told later."""
    if not isinstance(node.value, dict):
        return True
    return any(key in node.entries or key in node.absent for key in TRANSPORTS)


def _check_repeats(node: Node, report: Report) -> None:
    seen: set[object] = set()
    for item in node.items:
        if isinstance(item.value, str) and item.value in seen:
            message = f"the server {quoted(item.value)} is listed twice"
            report.error(item.place, message, "duplicate-server", "remove one of them")
        if isinstance(item.value, str):
            seen.add(item.value)
