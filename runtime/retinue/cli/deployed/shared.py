"""A bundle and a target → what the apps share there, and what would become of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from retinue.bundle import Bundle
from retinue.cli.deployed.target import Target

Tree = Mapping[str, Any]
Key = tuple[str, str]

# What people call a kind, and the field that names one.
_KINDS = {
    "experiments": ("MLflow experiment", "name"),
    "genie_spaces": ("Genie space", "title"),
    "postgres_projects": ("Lakebase project", "project_id"),
}


@dataclass(frozen=True, slots=True)
class PlannedShared:
    """What becomes of something that several apps use. `kind` is in words."""

    kind: str
    name: str
    status: Literal["new", "unchanged", "removed"]


def made(bundle: Bundle, target: Target) -> dict[Key, Tree]:
    """By kind and key: the resources beside apps that the bundle makes, as the target has them."""
    files = [
        yaml.safe_load(data)
        for path, data in bundle.committed.items()
        if path.endswith(".yml") and not path.endswith("/app.yml")
    ]
    found: dict[Key, Tree] = {}
    for file in files:
        own = file.get("targets", {}).get(target.name, {})
        for part in (file, own):
            for kind, several in part.get("resources", {}).items():
                for key, content in several.items():
                    found[kind, key] = {**found.get((kind, key), {}), **content}
    return found


def planned_shared(
    found: Mapping[Key, Tree], target: Target, deployed: frozenset[Key] | None, *, whole: bool
) -> Iterator[PlannedShared]:
    """`deployed` is what the bundle has deployed there before, None where that isn't known.

    What is gone is told where the `whole` bundle was asked for.
    """
    for (kind, key), content in found.items():
        if kind in _KINDS:
            words, field = _KINDS[kind]
            name = target.text(str(content.get(field)))
            status: Literal["new", "unchanged"] = (
                "unchanged" if deployed and (kind, key) in deployed else "new"
            )
            yield PlannedShared(words, name, status)
    theirs = {(kind, key) for kind, key, _ in target.resources()}
    for kind, key in sorted((deployed or frozenset()) - found.keys() - theirs) if whole else ():
        if kind in _KINDS:
            yield PlannedShared(_KINDS[kind][0], key, "removed")
