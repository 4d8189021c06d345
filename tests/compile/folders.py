"""Small projects for tests: a mapping of paths to texts becomes a folder."""

from collections.abc import Mapping
from pathlib import Path

from retinue.compile import Compilation, CompileContext, compile_agents
from retinue.project import Project

MINIMAL = "model: x/y\ninstructions: Hi.\n"


def project(root: Path, files: Mapping[str, str | bytes]) -> Project:
    (root / "agents").mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Project.at(root)


def compiled(
    root: Path, files: Mapping[str, str | bytes], context: CompileContext | None = None
) -> Compilation:
    return compile_agents(project(root, files), context=context or CompileContext())


def codes(result: Compilation) -> list[str]:
    return [diagnostic.code for diagnostic in result.diagnostics]
