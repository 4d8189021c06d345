"""A folder → the places in it. Only this module knows the layout; no path leaves the root."""

from dataclasses import dataclass
from pathlib import Path

from retinue.errors import ProjectError

_MAX_PATH = 1000
PROJECT_FILE = "retinue.yaml"
"""What the agents of a project share, at its root; optional."""

AGENT_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Project:
    """A project's root, absolute and without links; made by `Project.at` or `Project.find`."""

    root: Path

    @classmethod
    def at(cls, folder: str | Path) -> "Project":
        """The project in `folder`. Raises ProjectError when it holds no `agents/`."""
        root = Path(folder).resolve()
        if not (root / "agents").is_dir():
            raise ProjectError(
                f"{folder} is not a Retinue project: it has no agents/ folder. "
                "Run in a project's folder, or name it with -C."
            )
        return cls(root)

    @classmethod
    def find(cls, start: str | Path = ".") -> "Project":
        """The nearest project at or above `start`. Raises ProjectError when there is none."""
        here = Path(start).resolve()
        for folder in (here, *here.parents):
            if (folder / "agents").is_dir():
                return cls(folder)
        raise ProjectError(
            f"there is no agents/ folder in {here} or above it. Run in a project's folder, name it "
            "with -C, or begin one by writing agents/NAME.yaml."
        )

    @property
    def dotenv(self) -> Path:
        return self.root / ".env"

    def agent_files(self) -> tuple[Path, ...]:
        """Every agent file, sorted by name."""
        folder = self.root / "agents"
        return tuple(
            sorted(
                p for p in folder.iterdir() if p.suffix in AGENT_SUFFIXES and p.name[0] not in "._"
            )
        )

    def skill_names(self) -> tuple[str, ...]:
        """The folders under `skills/`, sorted."""
        folder = self.root / "skills"
        if not folder.is_dir():
            return ()
        return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != "."))

    def skill_folder(self, name: str) -> Path:
        return self.inside(f"skills/{name}")

    def inside(self, relative: str | Path) -> Path:
        """The path with its links followed. Raises ProjectError when it leads out of the root."""
        if "\x00" in str(relative):
            raise ProjectError("a path holds a NUL character")
        if len(str(relative)) > _MAX_PATH:
            raise ProjectError(f"a path has more than {_MAX_PATH} characters")
        try:
            path = (self.root / relative).resolve()
        except (OSError, RuntimeError):  # a loop of links
            raise ProjectError(f"'{relative}' can't be followed") from None
        if not path.is_relative_to(self.root):
            raise ProjectError(f"'{relative}' leads out of the project")
        return path

    def shown(self, path: Path) -> str:
        """The path as messages name it: relative to the root, with forward slashes."""
        return (
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
        )
