"""Real clients against a served agent: `make test-clients`, or with the names of some of them.

    python tests/clients/run.py openai-3 langchain

Each has an environment of its own, made once for its pinned requirements and kept in `.clients/`:
they don't agree on a version of the official client.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".clients"
_OFFICIAL = ("openai_python.py", "openai_responses.py")
PYTHON = {
    "openai-2": _OFFICIAL,
    "openai-3": _OFFICIAL,
    "langchain": ("langchain_openai_client.py",),
    "pydantic-ai": ("pydantic_ai_client.py",),
    "litellm": ("litellm_client.py",),
    "openai-agents": ("openai_agents_client.py",),
    "instructor": ("instructor_client.py",),
    "databricks": ("databricks_client.py",),
    "open-webui": ("open_webui.py",),
}
NODE = {
    "openai-node": (".", ("openai.mjs", "openai_responses.mjs")),
    "ai-sdk": (".", ("ai_sdk.mjs",)),
    "langchain-js": ("langchain", ("langchain.mjs",)),
    "databricks-ui": ("databricks", ("databricks_ui.mjs",)),
}
"""The folder that says which packages, and the scripts."""
KEY = "key-of-the-clients"
SECONDS = 180
"""How long one client's script may take."""


def python_commands(name: str) -> list[list[str]]:
    """The scripts with the interpreter of their environment."""
    pins = HERE / "requirements" / f"{name}.txt"
    place = _place(name, pins)
    python = place / "bin" / "python"
    if not place.exists():
        uv = [str(Path(sys.executable).parent / "uv")]
        making = place.with_suffix(".making")
        shutil.rmtree(making, ignore_errors=True)
        _made([*uv, "venv", "--quiet", "--no-config", "--relocatable", str(making)])
        install = ["pip", "install", "--quiet", "--no-config", "--require-hashes"]
        # The pins are all that is needed: some leave out what a package only asks for.
        install += ["--no-deps", "-r", str(pins)]
        _made([*uv, *install, "--python", str(making / "bin" / "python")])
        making.rename(place)
    return [[str(python), str(HERE / script)] for script in PYTHON[name]]


def node_commands(name: str) -> list[list[str]]:
    """The scripts in a folder with the packages that they import."""
    packages, scripts = NODE[name]
    folder = HERE / "node" / packages
    place = _place("node", folder / "package-lock.json")
    if not place.exists():
        making = place.with_suffix(".making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(folder / file, making)
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        _made([*install, "--prefix", str(making)])
        making.rename(place)
    for file in (HERE / "node").glob("*.mjs"):
        shutil.copy(file, place)
    return [["node", str(place / script)] for script in scripts]


def _place(name: str, pins: Path) -> Path:
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:12]
    return CACHE / f"{name}-{digest}"


def _made(command: list[str]) -> None:
    subprocess.run(command, check=True)


def main(names: list[str]) -> int:
    unknown = set(names) - {*PYTHON, *NODE}
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join([*PYTHON, *NODE])}")
        return 2
    node = NODE if shutil.which("node") and shutil.which("npm") else {}
    if not node:
        print("no node here: its clients are left out")
    failed = []
    for name in names or [*PYTHON, *node]:
        commands = python_commands(name) if name in PYTHON else node_commands(name)
        for command in commands:
            print(f"== {name}: {Path(command[-1]).name}", flush=True)
            if not passes(command):
                failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return bool(failed)


def passes(command: list[str]) -> bool:
    """Run one script against a server of its own."""
    env = {**os.environ, "RETINUE_KEY": KEY}
    served = [sys.executable, str(HERE / "served.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(served, stdin=pipe, stdout=pipe, text=True, env=env) as server:
        url = server.stdout.readline().strip()
        try:
            return (
                bool(url)
                and subprocess.run(command, env=_env(url), timeout=SECONDS, check=False).returncode
                == 0
            )
        except subprocess.TimeoutExpired:
            print(f"FAIL it took more than {SECONDS} s")
            return False
        finally:
            server.stdin.close()


def _env(url: str) -> dict[str, str]:
    """Nothing of the caller's own keys and proxies: only the server on loopback is asked."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, "RETINUE_URL": url, "NO_PROXY": "127.0.0.1", "RETINUE_KEY": KEY}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
