"""An agent and its plan → the files of its app's folder, from which it starts with no network."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import retinue
from retinue.agent import Agent, Databricks, ToolServer
from retinue.bundle.agents import BundledAgent
from retinue.bundle.app_file import app_yaml
from retinue.bundle.manifest import FILE, as_bytes, manifest
from retinue.bundle.plan import AppPlan, BundleError
from retinue.project import Project

MAX_FILE_BYTES = 10 * 1_048_576
"""A file of an app has at most so many bytes, by the platform's limit."""

MAX_FILES = 10_000

_RUNTIME = Path(retinue.__file__).parent
_RUNTIME_FOLDER = "retinue/"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def source_files(project: Project, bundled: BundledAgent, plan: AppPlan) -> Mapping[str, bytes]:
    """Paths in the folder, POSIX style and sorted, and their bytes.

    They are the files that the agent was compiled from, the folders of its twins and of its own
    Genie spaces, which it can't be compiled without, this runtime, what the platform installs for
    it, an `app.yaml`, and what it is, in `agent.json`.
    Raises BundleError for a file that is too large or can't be read.
    """
    paths = sorted({path for agent in bundled.all for path in _paths(project, agent)})
    files = {path: _read(project.inside(path), path, plan.agent) for path in paths}
    own = {"app.yaml": app_yaml(plan).encode(), "requirements.txt": _requirements()}
    made = {**own, **_runtime()}
    if clashing := sorted(files.keys() & {*made, FILE}):
        raise BundleError([f"{plan.agent}: the app has a {clashing[0]} of its own: rename yours"])
    every = {**files, **made}
    # The whole of the others shows a change that is none of the agent, such as the runtime's.
    others = digest({**files, **own, _RUNTIME_FOLDER: _runtime_digest()})
    every[FILE] = as_bytes({**manifest(bundled, plan), "files": others})
    if len(every) > MAX_FILES:
        raise BundleError([f"{plan.agent}: {len(every):,} files; at most {MAX_FILES:,} can be"])
    return dict(sorted(every.items()))


def digest(files: Mapping[str, bytes]) -> str:
    """16 hex characters over paths and bytes."""
    whole = hashlib.sha256()
    for path, data in sorted(files.items()):
        whole.update(f"{path}\0{len(data)}\0".encode("utf-8", "surrogateescape"))
        whole.update(data)
    return whole.hexdigest()[:16]


def _paths(project: Project, agent: Agent) -> Iterator[str]:
    yield from (source.path for source in agent.sources)
    for server in agent.mcp_servers:
        yield from _twin_paths(project, server)


def _twin_paths(project: Project, server: ToolServer) -> Iterator[str]:
    own = server.transport.space if isinstance(server.transport, Databricks) else None
    for local in (server.twin, own):
        if local is not None:
            yield from (project.shown(local.path / path) for path in _below(local.path))


def _below(folder: Path) -> Iterator[str]:
    """Regular files under `folder`, relative to it; nothing hidden, and no compiled Python."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inner.parts)
        if not hidden and not path.is_symlink() and path.is_file():
            yield inner.as_posix()


def _read(place: Path, path: str, agent: str) -> bytes:
    try:
        data = place.read_bytes()
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise BundleError([f"{agent}: {path} can't be read: {reason}"]) from None
    if len(data) > MAX_FILE_BYTES:
        size = f"{len(data):,} bytes, and a file of an app at most {MAX_FILE_BYTES:,}"
        raise BundleError([f"{agent}: {path} has {size}: keep it in a volume"])
    return data


@cache
def _runtime() -> Mapping[str, bytes]:
    """The installed package itself: what runs there is what ran here."""
    return {_RUNTIME_FOLDER + path: (_RUNTIME / path).read_bytes() for path in _below(_RUNTIME)}


@cache
def _runtime_digest() -> bytes:
    return digest(_runtime()).encode()


@cache
def _requirements() -> bytes:
    """The libraries that the runtime needs, each version with its hashes and no index."""
    return _REQUIREMENTS.read_bytes()
