"""What the stand-in for the `databricks` command does for what several apps of a bundle use."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

# In the order in which they need one another.
KINDS = (
    "experiments",
    "genie_spaces",
    "postgres_projects",
    "postgres_roles",
    "postgres_databases",
)
OBJECTS = {
    "experiments": "experiments",
    "genie_spaces": "genie/spaces",
    "postgres_projects": "database-projects",
}
REFERENCE = re.compile(r"\$\{resources\.([\w-]+)\.([\w-]+)\.([\w-]+)\}")

Send = Callable[..., Any]


class SharedResources:
    """`values` are what is known of each: by (kind, key, field)."""

    def __init__(self, bundle: dict, target: str) -> None:
        self._own = bundle.get("targets", {}).get(target) or {}
        self._everywhere = bundle.get("permissions", [])
        self._target = target
        self.values: dict[tuple[str, str, str], str] = {}

    def declared(self, resolved: Callable[[str], str]) -> dict[tuple[str, str], dict]:
        found: dict[tuple[str, str], dict] = {}
        files = [
            *sorted(Path("bundles").glob("*.yml")),
            *Path("bundles").glob("genie_spaces/*.yml"),
        ]
        for file in files:
            read = yaml.safe_load(resolved(file.read_text()))
            for part in (read, (read.get("targets") or {}).get(self._target) or {}):
                for kind, several in (part.get("resources") or {}).items():
                    for key, content in several.items():
                        found[kind, key] = found.get((kind, key), {}) | content
        keys = [key for _, key in found]
        assert len(keys) == len(set(keys)), "the CLI refuses a key that two kinds have"
        return found

    def filled(self, tree: Any) -> Any:
        """With what references to resources come to, where that is known."""
        text = json.dumps(tree)
        return json.loads(REFERENCE.sub(lambda m: self.values.get(m.groups(), m[0]), text))

    def make(self, declared: dict, state: dict, send: Send) -> None:
        """Those that aren't there yet."""
        for kind in KINDS:
            for (one, key), content in declared.items():
                if one != kind:
                    continue
                entry = state.get(f"resources.{kind}.{key}")
                number = entry["__id__"] if entry else self._made(kind, self.filled(content), send)
                field = "space_id" if kind == "genie_spaces" else "id"
                self.values[kind, key, field] = number
                state[f"resources.{kind}.{key}"] = {"__id__": number, "state": content}

    def _made(self, kind: str, content: dict, send: Send) -> str:
        content = {k: v for k, v in content.items() if k not in ("lifecycle", "permissions")}
        if kind == "experiments":
            made = send("POST", "/api/2.0/mlflow/experiments/create", json=content)
            return str(made["experiment_id"])
        if kind == "genie_spaces":
            body = Path("bundles/genie_spaces", content.pop("file_path")).read_text()
            content["serialized_space"] = body
            return str(send("POST", "/api/2.0/genie/spaces", json=content)["space_id"])
        ids = {"postgres_projects": "project_id", "postgres_roles": "role_id"}
        number = ids.get(kind, "database_id")
        query = {number: content.pop(number)}
        parent = content.pop("parent", "")
        path = f"{parent}/{kind.removeprefix('postgres_')}".lstrip("/")
        made = send("POST", f"/api/2.0/postgres/{path}", params=query, json={"spec": content})
        return str(made["response"]["name"])

    def permit(self, declared: dict, me: str, send: Send) -> None:
        """Set the permissions of those that have any, where they aren't as they should be."""
        everywhere = [*self._everywhere, *self._own.get("permissions", [])]
        for (kind, key), content in declared.items():
            if kind not in OBJECTS:
                continue
            given = [*content.get("permissions", []), *everywhere]
            if not given:
                continue
            wanted = {self._who(self.filled(one)): one["level"] for one in given}
            wanted[me] = "CAN_MANAGE"
            number = next(v for (k, n, _), v in self.values.items() if (k, n) == (kind, key))
            path = f"/api/2.0/permissions/{OBJECTS[kind]}/{number.removeprefix('projects/')}"
            listed = send("GET", path)["access_control_list"]
            there = {
                one["service_principal_name"]: one["all_permissions"][0]["permission_level"]
                for one in listed
            }
            if there != wanted:
                entries = [
                    {"service_principal_name": who, "permission_level": level}
                    for who, level in wanted.items()
                ]
                send("PUT", path, json={"access_control_list": entries})

    def _who(self, grant: dict) -> str:
        (who,) = (value for key, value in grant.items() if key != "level")
        assert "${" not in who, who
        return str(who)
