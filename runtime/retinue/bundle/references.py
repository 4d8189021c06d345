"""The YAML files of an agent → the `${var.x}` and `${env.X}` in them, which its app must set.

An app compiles its files again when it starts, so every reference in them counts: also one in a
part of retinue.yaml that this agent doesn't use.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from retinue.compile.document import read_document
from retinue.compile.interpolate import Reference, parts
from retinue.compile.reader import Reader
from retinue.compile.report import Report
from retinue.compile.tree import Document
from retinue.diagnostics import Location
from retinue.project import AGENT_SUFFIXES

# Set by the platform in every app.
# Source: https://docs.databricks.com/aws/en/dev-tools/databricks-apps/system-env
_IN_EVERY_APP = frozenset(
    {
        "DATABRICKS_APP_NAME",
        "DATABRICKS_APP_PORT",
        "DATABRICKS_APP_URL",
        "DATABRICKS_CLIENT_ID",
        "DATABRICKS_CLIENT_SECRET",
        "DATABRICKS_HOST",
        "DATABRICKS_WORKSPACE_ID",
    }
)


@dataclass(frozen=True, slots=True)
class References:
    """The bundle variables that occur, sorted, and the environment variables that no app has."""

    variables: tuple[str, ...]
    missing: tuple[tuple[Location, str], ...]


@dataclass(frozen=True, slots=True)
class ReferenceScan:
    """Scans the files of a project; one that several agents have is read once."""

    reader: Reader
    _known: dict[str, tuple[tuple[Location, Reference], ...]] = field(default_factory=dict)

    def of(self, sources: Iterable[str]) -> References:
        """What the YAML files among `sources`, paths relative to the root, refer to."""
        found = [
            each
            for path in sources
            if path.endswith(AGENT_SUFFIXES) and not path.startswith("skills/")
            for each in self._in_file(path)
        ]
        missing = (
            (place, reference.name)
            for place, reference in found
            if reference.kind == "env"
            and reference.default is None
            and reference.name not in _IN_EVERY_APP
        )
        variables = {reference.name for _, reference in found if reference.kind == "var"}
        return References(tuple(sorted(variables)), tuple(missing))

    def _in_file(self, path: str) -> tuple[tuple[Location, Reference], ...]:
        if path not in self._known:
            document = read_document(path, self.reader.read(path), Report())
            self._known[path] = tuple(_in_document(document)) if document else ()
        return self._known[path]


def _in_document(document: Document) -> Iterator[tuple[Location, Reference]]:
    for _, node in document.root.where(lambda value: isinstance(value, str) and "${" in value):
        for part in parts(str(node.value)):
            if isinstance(part, Reference):
                yield node.place, part
