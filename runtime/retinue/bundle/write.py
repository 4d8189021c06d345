"""A bundle → files on disk: what changed is written, what is over is removed, nothing else."""

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from retinue.bundle.app_file import MARKER
from retinue.bundle.bundles import EXPERIMENT_FILE, FOLDER, SPACES_FOLDER, STORE_FILE, Bundle
from retinue.bundle.shared_file import BODY
from retinue.errors import ProjectError
from retinue.project import Project

_OWN = ("app.yml", "digest.yml")
_SOURCE = "source"
_SOURCE_MARK = "app.yaml"
_UNFINISHED = ".retinue-"


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths relative to the project's root, sorted."""

    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.written or self.removed)


def stale(project: Project, bundle: Bundle) -> Changes:
    """What `write` would change of the files that are kept under version control."""
    changed = tuple(_changed(project, bundle.committed))
    over = (path for path in _over(project, bundle) if not path.endswith("/digest.yml"))
    return Changes(changed, tuple(path for path in over if f"/{_SOURCE}/" not in path))


def write(project: Project, bundle: Bundle) -> Changes:
    """Bring `bundles/` up to date; a file that is right already isn't touched.

    Each file is replaced in one step, so that whoever reads meanwhile sees the old or the new
    one. Files of agents that are gone are removed where they bear our mark. Raises ProjectError
    for a path that leads out of the project or can't be written.
    """
    every = {**bundle.committed, **bundle.generated}
    _refuse_links(project, bundle)
    try:
        # First: what lies in the way of a file may be among it.
        removed = tuple(_over(project, bundle))
        for path in removed:
            _remove(project, path)
        changed = tuple(_changed(project, every))
        for path in changed:
            _replace(project, path, every[path])
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        name = project.shown(Path(error.filename)) if error.filename else FOLDER
        raise ProjectError(f"{name} can't be written: {reason}") from None
    return Changes(changed, removed)


def _refuse_links(project: Project, bundle: Bundle) -> None:
    """A folder that is a link belongs to something else, where nothing may be removed."""
    for source in bundle.sources:
        folder = project.root / source
        for place in (folder.parent.parent, folder.parent, folder):
            if place.is_symlink():
                raise ProjectError(f"{project.shown(place)} is a link: remove it")


def _changed(project: Project, files: Mapping[str, bytes]) -> Iterator[str]:
    # There are thousands of files, and this runs ahead of every command of the Databricks CLI.
    folders = {"": str(project.root)}
    for path, data in sorted(files.items()):
        folder, _, name = path.rpartition("/")
        if not _holds(f"{_found(project, folder, folders)}/{name}", data):
            yield path


def _found(project: Project, folder: str, known: dict[str, str]) -> str:
    """Where a folder of the project is; only that of a link has to be looked up as a whole."""
    if folder not in known:
        above, _, name = folder.rpartition("/")
        place = f"{_found(project, above, known)}/{name}"
        linked = os.path.islink(place)  # noqa: PTH114 - there are many
        known[folder] = str(project.inside(folder)) if linked else place
    return known[folder]


def _holds(place: str, data: bytes) -> bool:
    """Whether there is a regular file of those bytes; a link to one is none."""
    try:
        status = os.lstat(place)
        if not stat.S_ISREG(status.st_mode) or status.st_size != len(data):
            return False
        # A Path takes longer to make than to open, and a file object than to read.
        descriptor = os.open(place, os.O_RDONLY)
        try:
            return os.read(descriptor, len(data) + 1) == data
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _place(project: Project, path: str) -> Path:
    """Where to write: links are followed in its folder, and replaced in its name."""
    folder, _, name = path.rpartition("/")
    return project.inside(folder) / name


def _over(project: Project, bundle: Bundle) -> list[str]:
    """Our files that the bundle doesn't hold: of agents that are gone, and in folders of apps."""
    root = project.root / FOLDER
    kept = bundle.committed.keys() | bundle.generated.keys()
    over = [path for folder in bundle.sources for path in _below(project, project.root / folder)]
    if bundle.whole:
        gone = {app.agent for app in bundle.plans}
        over += [
            path
            for folder in _folders(root)
            if folder.name not in gone
            for path in _ours(project, folder)
        ]
        shared = (EXPERIMENT_FILE, STORE_FILE)
        over += [path for path in shared if _is_ours(project.root / path)]
    return sorted(path for path in over if path not in kept)


def _folders(root: Path) -> list[Path]:
    return (
        sorted(p for p in root.iterdir() if p.is_dir() and not p.is_symlink())
        if root.is_dir()
        else []
    )


def _ours(project: Project, folder: Path) -> Iterator[str]:
    """What this room made in a folder: that of one agent, or of Genie spaces."""
    yield from (project.shown(folder / name) for name in _OWN if _is_ours(folder / name))
    if folder == project.root / SPACES_FOLDER:
        yield from _own_spaces(project, folder)
    if not (folder / _SOURCE).is_symlink() and _is_ours(folder / _SOURCE / _SOURCE_MARK):
        yield from _below(project, folder / _SOURCE)


def _own_spaces(project: Project, folder: Path) -> Iterator[str]:
    """Genie spaces: the mark of a body, which can't have one, is the one beside it."""
    for place in sorted(folder.glob("*.yml")):
        if _is_ours(place):
            body = place.with_name(place.stem + BODY)
            yield from (project.shown(each) for each in (place, body) if each.is_file())


def _below(project: Project, folder: Path) -> Iterator[str]:
    """Everything in a folder but folders; links aren't followed."""
    above = len(str(project.root)) + 1
    for place, folders, names in os.walk(folder):
        shown = place[above:].replace(os.sep, "/")
        links = (name for name in folders if os.path.islink(f"{place}/{name}"))  # noqa: PTH114
        yield from (f"{shown}/{name}" for name in (*names, *links))


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MARKER)) == MARKER.encode()
    except OSError:
        return False


def _replace(project: Project, path: str, data: bytes) -> None:
    place = _place(project, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    # Not beside the file: another run of this would remove it from an app's folder.
    descriptor, name = tempfile.mkstemp(dir=project.root / FOLDER, prefix=_UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _remove(project: Project, path: str) -> None:
    """Remove a file, and the folders that are empty without it, up to `bundles/`."""
    place = project.root / path
    place.unlink(missing_ok=True)
    for folder in place.parents:
        if folder == project.root / FOLDER:
            return
        try:
            folder.rmdir()
        except OSError:  # there is more in it
            return
