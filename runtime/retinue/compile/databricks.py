"""`databricks` and `offline` of a server's spec → the managed server, and its twin."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as Folder

from retinue.agent import Databricks, DatabricksKind, LocalSpace, Twin
from retinue.compile.interpolate import Pending
from retinue.compile.reader import Reader
from retinue.compile.references import reference
from retinue.compile.report import Report, quoted
from retinue.compile.server_spec import DatabricksSpec, GenieSpaceSpec, OfflineSpec
from retinue.compile.tree import Node, Path
from retinue.diagnostics import Location
from retinue.errors import ProjectError
from retinue.values import Ref, Template, Text

_IN_CATALOG = re.compile(r"[^\s./]+(?:\.[^\s./]+){1,2}")
SHAPES: Mapping[str, tuple[re.Pattern[str], str]] = {
    "functions": (_IN_CATALOG, "CATALOG.SCHEMA or CATALOG.SCHEMA.FUNCTION"),
    "vector_search": (_IN_CATALOG, "CATALOG.SCHEMA or CATALOG.SCHEMA.INDEX"),
    "connection": (re.compile(r"[^\s./]+"), "a connection's name"),
    "app": (re.compile(r"[a-z0-9-]{2,30}"), "an app's name: a-z, 0-9 and hyphens"),
}
"""What the target of a kind looks like, and how to say so."""


@dataclass(frozen=True, slots=True)
class ManagedServer:
    """The server at `path` of a tree with references replaced; `written` is what stood at some
    places before. Mistakes go to `report`.
    """

    path: Path
    written: Mapping[Location, str]
    root: Node
    reader: Reader
    report: Report

    def transport(self, spec: DatabricksSpec) -> Databricks | None:
        path = (*self.path, "databricks")
        every: Mapping[DatabricksKind, GenieSpaceSpec | Text | Pending | bool | None] = {
            "genie_space": spec.genie_space,
            "genie": spec.genie,
            "sql": spec.sql,
            "functions": spec.functions,
            "vector_search": spec.vector_search,
            "connection": spec.connection,
            "app": spec.app,
        }
        given = {kind: value for kind, value in every.items() if value is not None}
        if len(given) != 1:
            self._not_one_kind(list(given), path)
            return None
        ((kind, target),) = given.items()
        if isinstance(target, bool):
            return Databricks(kind=kind, target="")
        if isinstance(target, GenieSpaceSpec):
            return self._genie_space(target, (*path, kind))
        return self._existing(kind, target, (*path, kind))

    def twin(self, spec: OfflineSpec | None, server: Databricks | None) -> Twin | None:
        """What stands in for the server; for a space of the bundle's own, where nothing else is
        said, the folder that it is made of.
        """
        if spec is not None:
            path = self._folder(spec.genie_space, (*self.path, "offline", "genie_space"))
        else:
            path = server.space.path if server and server.space else None
        return None if path is None else Twin(kind="genie_space", path=path)

    def _existing(
        self, kind: DatabricksKind, target: Text | Pending | None, path: Path
    ) -> Databricks:
        found = reference(target, self.root, path, self.report)
        shape = SHAPES.get(kind)
        if isinstance(found, str) and shape and not shape[0].fullmatch(found):
            self.report.error(self.root.at(path), f"expected {shape[1]}", "wrong-value")
        written = self.written.get(self.root.at(path), str(target))
        return Databricks(kind=kind, target=found, written=written)

    def _genie_space(self, spec: GenieSpaceSpec, path: Path) -> Databricks | None:
        given = self.root.find(path)
        if spec.folder is None:
            if spec.warehouse is not None:
                self._refuse((*path, "warehouse"), "'warehouse' goes with 'folder'", "remove it")
            if spec.id is None:
                if not given.absent:
                    message = "the Genie space lacks one of 'id' and 'folder'"
                    self.report.error(self.root.key(path), message, "missing-key")
                return None
            return self._existing("genie_space", spec.id, (*path, "id") if given.entries else path)
        if spec.id is not None:
            self._refuse((*path, "folder"), "'id' and 'folder' exclude each other", "keep one")
        folder = self._folder(spec.folder, (*path, "folder"))
        if spec.warehouse is None:
            if "warehouse" not in given.absent:
                message = "the Genie space lacks the 'warehouse' that runs its queries"
                self.report.error(self.root.key((*path, "folder")), message, "missing-key")
            return None
        return None if folder is None else self._of_folder(folder, spec.warehouse, path)

    def _of_folder(self, folder: Folder, warehouse: Text | Pending, path: Path) -> Databricks:
        place = self.root.at((*path, "warehouse"))
        written = self.written.get(place, str(warehouse))
        space = LocalSpace(path=folder, warehouse=written)
        target = Template((Ref("env", space.variable),))
        return Databricks(kind="genie_space", target=target, written=str(target), space=space)

    def _folder(self, text: str, path: Path) -> Folder | None:
        place = self.root.at(path)
        try:
            folder = self.reader.project.inside(text)
        except ProjectError as error:
            self.report.error(place, str(error), "path-outside")
            return None
        if not folder.is_dir():
            self.report.error(place, f"there is no folder {quoted(text)}", "file-not-found")
        return folder

    def _refuse(self, path: Path, message: str, hint: str) -> None:
        self.report.error(self.root.key(path), message, "conflicting-keys", hint)

    def _not_one_kind(self, given: list[DatabricksKind], path: Path) -> None:
        if given:
            message = f"'{given[0]}' and '{given[1]}' exclude each other"
            self._refuse((*path, given[1]), message, "keep one of them")
        elif not self.root.find(path).absent:
            hint = f"add 'genie_space: <id>', or one of: {', '.join(DatabricksSpec.model_fields)}"
            message = "the server lacks a kind such as 'genie_space'"
            self.report.error(self.root.key(path), message, "missing-key", hint)
