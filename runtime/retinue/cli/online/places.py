"""What a check found in an agent → diagnostics at the line that it is about."""

from collections.abc import Iterable, Sequence

from retinue.agent import Agent
from retinue.cli.online.finding import Finding
from retinue.compile import Origin
from retinue.compile.report import Report, split_lines
from retinue.diagnostics import Diagnostic, Location
from retinue.errors import ProjectError
from retinue.project import Project


class Places:
    """Where the values of one agent were written."""

    def __init__(self, agent: Agent, origins: Sequence[Origin], project: Project) -> None:
        self._origins = origins
        self._project = project
        self._first = origins[0].place if origins else Location(agent.sources[0].path)

    def value(self, path: str) -> str | None:
        """What stands at a path such as `mcp_servers.x.url`, with its variables' values."""
        return next((one.value for one in self._origins if one.path == path), None)

    def of(self, prefix: str, value: str | None = None) -> Location:
        """The place of `value` at `prefix` or below; else the first there, else the agent's."""
        there = [o for o in self._origins if o.path == prefix or o.path.startswith(f"{prefix}.")]
        exact = [o for o in there if o.value == value]
        meant = [o for o in there if value is not None and value in o.value]
        return (exact or meant or there or [Origin("", "", self._first)])[0].place

    def diagnostics(self, found: Iterable[tuple[str, Finding]]) -> tuple[Diagnostic, ...]:
        """The findings, each with the path that it is about, in order and with their lines."""
        report = Report()
        for path, finding in found:
            place = self.of(path, finding.value)
            report.add_lines(place.file, self._lines(place.file))
            tell = report.error if finding.severity == "error" else report.warning
            tell(place, finding.message, finding.code, finding.hint)
        return report.diagnostics()

    def _lines(self, file: str) -> list[str]:
        try:
            path = self._project.inside(file)
            return split_lines(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, ProjectError):
            return []
