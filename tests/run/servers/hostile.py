"""A server of the older protocol in plain JSON-RPC, with the fault its argument names."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
QUOTE = f"{'x' * 285} bad key {os.environ.get('THE_KEY')}"
TEXT = {"content": [{"type": "text", "text": "fine"}]}


def tool(name: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"About {name}.", "inputSchema": SCHEMA, **more}


ODD_TOOLS = [
    tool("good"),
    {"name": "no schema"},
    tool("empty", inputSchema={}),
    tool("array", inputSchema={"type": "array"}),
    tool("string", inputSchema="nope"),
    tool("invalid", inputSchema={"type": "object", "properties": {"a": {"type": "strang"}}}),
    tool("output", outputSchema={"properties": 7}),
    tool("task", execution={"taskSupport": "required"}),
    tool("icons", icons="nope", annotations=7, title=7, description=7),
    tool("good", description="a second tool of this name"),
    tool(""),
    tool(None),
    "nothing",
]


BRANCHES: dict[str, Any] = {
    f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(26)
}
SLOW: dict[str, Any] = {
    "branches": {"$ref": "#/$defs/a0", "$defs": {**BRANCHES, "a26": {}}},
    "pattern": {"properties": {"text": {"pattern": "^(a|a)*$"}}},
    "wide": {"properties": {f"p{n}": {"description": "d"} for n in range(200_000)}},
}


def write(raw: bytes) -> None:
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()


def send(message: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


LISTINGS = []


def listed(cursor: str | None) -> dict[str, Any]:
    LISTINGS.append(cursor)
    if FAULT == "changes":
        return {"tools": [tool("good"), tool("other"), tool("new")][: len(LISTINGS) + 1]}
    if FAULT == "changes badly":
        return {"tools": [tool("good"), tool("other")] if len(LISTINGS) == 1 else 7}
    if FAULT == "odd tools":
        return {"tools": ODD_TOOLS}
    if FAULT == "quotes":
        return {"tools": [tool("good", description=QUOTE), tool("other")]}
    if FAULT == "slow schemas":
        return {"tools": [tool(name, inputSchema=schema) for name, schema in SLOW.items()]}
    if FAULT == "pages":
        page = int(cursor or 0)
        more = {"nextCursor": str(page + 1)} if page < 4 else {}
        return {"tools": [tool(f"page_{page}")], **more}
    if FAULT == "endless pages":
        page = int(cursor or 0)
        return {"tools": [tool(f"page_{page}")], "nextCursor": str(page + 1)}
    if FAULT in ("many tools", "long tools"):
        page = int(cursor or 0)
        sys.stderr.write(f"page {page}\n")
        count, text = (900, "") if FAULT == "many tools" else (30, "x" * 100_000)
        tools = [tool(f"t{page}_{n}", description=text) for n in range(count)]
        return {"tools": tools, "nextCursor": str(page + 1)}
    if FAULT == "circular pages":
        return {"tools": [tool("good")], "nextCursor": "again"}
    if FAULT == "no list":
        return {"tools": 7}
    if FAULT == "processes":
        return {"tools": [tool("good"), tool("pid"), tool("grandchild"), tool("crash")]}
    return {"tools": [tool("good"), tool("other")]}


def grandchild() -> int:
    """Start a process that ignores the end of this one, and holds its pipes."""
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    return subprocess.Popen([sys.executable, "-c", code]).pid


def process(request: Any) -> None:
    name = request["params"]["name"]
    if name == "crash":
        os._exit(3)
    text = {"pid": str(os.getpid()), "good": "fine"}.get(name) or str(grandchild())
    send({"id": request["id"], "result": {"content": [{"type": "text", "text": text}]}})


def quoted(request: Any) -> None:
    if request["params"]["name"] == "good":
        result = {"content": [], "structuredContent": {"said": QUOTE}}
        send({"id": request["id"], "result": result})
    else:
        send({"id": request["id"], "error": {"code": -32000, "message": QUOTE}})


def changed(request: Any) -> None:
    for _ in range(5):
        send({"method": "notifications/tools/list_changed"})
    send({"id": request["id"], "result": TEXT})


def called(request: Any) -> None:
    answer = {"id": request["id"], "result": TEXT}
    if FAULT == "hang":
        return
    if FAULT == "exit":
        sys.exit(0)
    if FAULT == "wrong id":
        answer["id"] = 12345
    elif FAULT == "not a result":
        answer["result"] = {"content": 7}
    elif FAULT == "not json-rpc":
        write(b'{"id": %d, "result": [NaN]}\n' % request["id"])
        return
    elif FAULT == "not utf-8":
        write(b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"caf\xe9"}]}}\n'
              % request["id"])  # fmt: skip
        return
    elif FAULT == "wrong structure":
        answer["result"] = {"content": [], "structuredContent": {"rows": "none"}}
    elif FAULT == "error":
        send({"id": request["id"], "error": {"code": -32000, "message": "no\nsuch\x1b[31m luck"}})
        return
    elif FAULT == "endless line":
        for _ in range(40):
            write(b"x" * 2**20)
    elif FAULT == "twice":
        send(answer)
    send(answer)


CALLED = {
    "processes": process, "quotes": quoted, "changes": changed, "changes badly": changed
}  # fmt: skip


def main() -> None:
    if FAULT == "exits at start":
        sys.stderr.write(f"line one\nmissing {os.environ.get('THE_KEY')}\n")
        sys.exit(4)
    if FAULT == "never answers":
        time.sleep(600)
    if FAULT == "slow start":
        time.sleep(0.5)
    if FAULT == "deaf":
        # Answers nothing, and does not leave when its input ends or when asked to.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(sys.argv[2]).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    if FAULT == "junk":
        write(b'Starting...\n\n\xff\xfe\x00\n{}\n[1]\n{"jsonrpc": "2.0"}\nnull\n')
    for line in sys.stdin:
        request = json.loads(line)
        method = request.get("method")
        if method == "initialize" and FAULT == "refuses":
            send({"id": request["id"], "error": {"code": -32000, "message": QUOTE}})
        elif method == "initialize":
            version = request["params"]["protocolVersion"]
            info = {"name": "hostile", "version": "1"}
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            send({"id": request["id"], "result": result})
        elif method == "tools/list":
            send(
                {"id": request["id"], "result": listed((request.get("params") or {}).get("cursor"))}
            )
        elif method == "tools/call":
            CALLED.get(FAULT, called)(request)
        # Whatever else it is asked, it says nothing.


main()
