"""Hostile projects → what each cost and said, one JSON line each; run as a process of its own."""

import faulthandler
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from hostile import cases
from hostile_folders import Case

from retinue.compile import CompileContext, compile_agents
from retinue.compile.rendering import Renderer
from retinue.errors import PromptError
from retinue.project import Project

MAX_WALL = 60
"""Seconds after which a case that still runs ends the process, with its stack."""

_CONTEXT = CompileContext(env={"A": "a"})


def main() -> None:
    memory = 1_000_000_000
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    root = Path(tempfile.mkdtemp(prefix="hostile-")).resolve()
    try:
        for number, (name, case) in enumerate(cases().items()):
            print(json.dumps(_measured(name, case, root / str(number))), flush=True)
    finally:
        shutil.rmtree(root)


def _measured(name: str, case: Case, root: Path) -> dict[str, Any]:
    case.make(root)
    faulthandler.dump_traceback_later(MAX_WALL, exit=True)
    started = time.process_time()
    try:
        result = compile_agents(Project.at(root), context=_CONTEXT)
    except Exception:  # noqa: BLE001 - whatever it is, the case has failed
        return {"name": name, "crash": traceback.format_exc()}
    used = time.process_time() - started
    started = time.process_time()
    rendered = [_rendered(agent.instructions) for agent in result.agents]
    rendering = time.process_time() - started
    faulthandler.cancel_dump_traceback_later()
    return {
        "name": name,
        "seconds": used,
        "rendering": rendering,
        "peak": _peak(),
        "agents": len(result.agents),
        "rendered": rendered,
        "bad_places": [str(d.location) for d in result.diagnostics if not _is_there(d, root)],
        "said": [[d.severity, d.code, d.render()] for d in result.diagnostics],
    }


def _peak() -> int:
    """Bytes. Not `ru_maxrss` where there is another way: Linux counts the parent's in, at fork."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    return found[0] if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _rendered(instructions: Any) -> str:
    try:
        return str(len(Renderer(instructions).render({})))
    except PromptError as error:
        return str(error)


def _is_there(diagnostic: Any, root: Path) -> bool:
    """Whether the place is a line of a file, or a file or folder that can't be read."""
    path = root / diagnostic.location.file
    away = not Path(os.path.realpath(path)).is_relative_to(root)
    if away or not path.is_file() or path.stat().st_size > 10_000_000:
        return os.path.lexists(path) and diagnostic.location.line == 1
    lines = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
    return 1 <= diagnostic.location.line <= lines


if __name__ == "__main__":
    sys.exit(main())
