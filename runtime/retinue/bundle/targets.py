"""databricks.yml → its targets, and whether each gives apps names that the platform takes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from retinue.bundle.names import MAX_AGENT_NAME, MAX_APP_NAME
from retinue.compile.document import Dialect, read_document
from retinue.compile.reader import Reader, ReadError
from retinue.compile.report import Report
from retinue.compile.tree import Node
from retinue.errors import ProjectError
from retinue.project import Project

BUNDLE_FILE = "databricks.yml"
VARIABLE = "app_suffix"
_LONGEST = MAX_APP_NAME - MAX_AGENT_NAME
_SUFFIX = re.compile(r"(?:-[a-z0-9]+)*")


def check_suffixes(project: Project) -> None:
    """An app is named after its agent, with a suffix for each target: together they must fit.

    Raises ProjectError without a databricks.yml, without the variable, and for a value that
    can't end a name. A value that holds a reference is the Databricks CLI's to judge.
    """
    root = _root(project)
    given = [*_given(root)]
    if not given:
        raise ProjectError(
            f"{BUNDLE_FILE} declares no variable '{VARIABLE}', which ends the names of apps: add "
            f'`{VARIABLE}: {{default: ""}}` under variables'
        )
    for node in given:
        suffix = node.value
        if suffix is None or "${" in str(suffix):
            continue
        if len(str(suffix)) > _LONGEST or not _SUFFIX.fullmatch(str(suffix)):
            raise ProjectError(
                f"{node.place}: '{str(suffix)[:40]}' can't end an app's name: a hyphen, then a-z, "
                f"0-9 and hyphens, at most {_LONGEST} characters in all"
            )


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of databricks.yml, and which of them give all of their resources `permissions`
    (`permitting`) or are in the mode `production`.
    """

    names: tuple[str, ...]
    permitting: frozenset[str] = frozenset()
    production: frozenset[str] = frozenset()


def targets_of(project: Project) -> Targets:
    """Raises ProjectError where there is no databricks.yml."""
    root = _root(project)
    names = tuple(_entries(root, "targets"))
    everywhere = root.child("permissions") is not None
    own = {name: root.find(("targets", name)) for name in names}
    permitting = (name for name in names if everywhere or own[name].child("permissions"))
    modes = {name: own[name].child("mode") for name in names}
    production = (name for name, mode in modes.items() if mode and mode.value == "production")
    return Targets(names, frozenset(permitting), frozenset(production))


def _root(project: Project) -> Node:
    try:
        data = Reader(project).read(BUNDLE_FILE)
    except ReadError:
        raise ProjectError(f"there is no {BUNDLE_FILE} here: docs/deploy.md shows one") from None
    document = read_document(BUNDLE_FILE, data, Report(), Dialect(lenient=True))
    if document is None:
        raise ProjectError(f"{BUNDLE_FILE} can't be read as YAML")
    return document.root


def _given(root: Node) -> Iterator[Node]:
    """Every value that the variable is given: its default, and the targets' own."""
    for path in [(), *(("targets", name) for name in _entries(root, "targets"))]:
        holder = root.find(path)
        if VARIABLE in _entries(holder, "variables"):
            node = holder.find(("variables", VARIABLE))
            yield (node.child("default") or replace(node, value=None)) if node.entries else node


def _entries(node: Node, key: str) -> list[str]:
    child = node.child(key)
    return [*child.entries] if child else []
