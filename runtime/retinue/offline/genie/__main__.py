"""`python -m retinue.offline.genie FOLDER` → a running MCP server, over stdio or HTTP."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from retinue.diagnostics import CompileError
from retinue.offline.genie.match import Matcher
from retinue.offline.genie.opening import open_space, problems
from retinue.offline.genie.space import Space, load_space
from retinue.offline.genie.warehouse import Warehouse

INVALID = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the space in a folder; 0 when the client leaves, 2 when the space is wrong."""
    options = _options().parse_args(arguments)
    if importlib.util.find_spec("duckdb") is None:
        return _fail("the offline space needs duckdb: pip install 'retinue[offline]'")
    try:
        space = load_space(options.folder)
    except CompileError as error:
        return _fail("\n".join(d.render() for d in error.diagnostics))
    if options.check:
        found = list(problems(space))
        return _fail("\n".join(found)) if found else 0
    _serve(space, options)
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m retinue.offline.genie", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder with space.yaml and its seed")
    parser.add_argument("--http", type=int, metavar="PORT", help="serve http://HOST:PORT/mcp")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument(
        "--wait",
        type=float,
        default=8.0,
        metavar="SECONDS",
        help="how long a question waits before the client must poll; 0 always polls",
    )
    parser.add_argument("--check", action="store_true", help="run everything in the space once")
    return parser


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return INVALID


def _serve(space: Space, options: argparse.Namespace) -> None:
    opened: Future[tuple[Matcher, Warehouse]] = Future()
    # The tools are listed while the data is still being built.
    Thread(target=_open, args=(space, opened), daemon=True).start()
    from retinue.offline.genie.server import GenieSpace, server  # noqa: PLC0415 - mcp costs 0.5 s

    made = server(GenieSpace(space, opened.result, wait=options.wait))
    if options.http is None:
        made.run("stdio")
    else:
        made.run("streamable-http", host=options.host, port=options.http)


def _open(space: Space, opened: "Future[tuple[Matcher, Warehouse]]") -> None:
    try:
        opened.set_result(open_space(space))
    except BaseException as error:  # noqa: BLE001 - handed to whoever asks first
        opened.set_exception(error)


if __name__ == "__main__":
    sys.exit(main())
