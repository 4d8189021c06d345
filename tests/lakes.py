"""A PostgreSQL → a Lakebase before it: TLS, a login by short-lived tokens, connections it ends."""

import asyncio
import json
import secrets
import ssl
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg.conninfo import conninfo_to_dict

_IDLE = b"Z\x00\x00\x00\x05I"
_SSL_REQUEST = 80877103


class LakeWorkspace:
    """Gives out tokens that are good for `life` seconds, by the API that databricks-sdk calls."""

    def __init__(self, life: float) -> None:
        self.life = life
        self.given: dict[str, float] = {}
        """Until when each token is good, in Unix seconds."""
        lake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                body = json.dumps(lake.answer(self.path)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - the server calls it so

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> dict[str, Any]:
        """Of any path: what the SDK needs to know, or nothing."""
        if path != "/api/2.0/database/credentials":
            return {}
        token = secrets.token_hex(8)
        until = datetime.now(UTC) + timedelta(seconds=self.life)
        told = until.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.given[token] = until.timestamp()
        return {"token": token, "expiration_time": told}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class LakeGate:
    """Lets those in whose token is good, looks at it at the login alone, and ends a connection
    that has been idle for a moment when it is `most` seconds old.
    """

    def __init__(self, uri: str, workspace: LakeWorkspace, folder: Path, *, most: float) -> None:
        where = conninfo_to_dict(uri)
        self.database = str(where["dbname"])
        self._user = str(where["user"])
        self._socket = f"{where['host']}/.s.PGSQL.{where.get('port') or 5432}"
        self._workspace = workspace
        self._tls = _tls(folder)
        self._most = most
        self._server: asyncio.Server | None = None
        self.logins = self.refused = self.ended = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()

    @property
    def port(self) -> int:
        assert self._server
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, ssl.SSLError):
            try:
                await self._login(reader, writer)
            finally:
                writer.close()

    async def _login(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size, code = _numbers(await reader.readexactly(8))
        assert (size, code) == (8, _SSL_REQUEST), "Lakebase wants TLS"
        writer.write(b"S")
        await writer.start_tls(self._tls)
        size, _ = _numbers(await reader.readexactly(8))
        await reader.readexactly(size - 8)
        writer.write(b"R\x00\x00\x00\x08\x00\x00\x00\x03")
        assert await reader.readexactly(1) == b"p"
        length = int.from_bytes(await reader.readexactly(4)) - 4
        token = (await reader.readexactly(length))[:-1].decode()
        self.logins += 1
        if time.time() >= self._workspace.given.get(token, 0.0):
            self.refused += 1
            fields = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"
            writer.write(b"E" + (len(fields) + 4).to_bytes(4) + fields)
            await writer.drain()
            return
        within, out = await asyncio.open_unix_connection(self._socket)
        try:
            words = ("user", self._user, "database", self.database, "", "")
            start = (196608).to_bytes(4) + b"\0".join(word.encode() for word in words[:-1])
            start += b"\0"
            out.write((len(start) + 4).to_bytes(4) + start)
            await self._splice((reader, writer), (within, out))
        finally:
            out.close()

    async def _splice(self, client: Any, server: Any) -> None:
        since = time.monotonic()
        idle_since = 0.0

        async def up() -> None:
            nonlocal idle_since
            while some := await client[0].read(65536):
                idle_since = 0.0
                server[1].write(some)
                await server[1].drain()

        async def down() -> None:
            nonlocal idle_since
            while some := await server[0].read(65536):
                idle_since = time.monotonic() if some.endswith(_IDLE) else 0.0
                client[1].write(some)
                await client[1].drain()

        async def end() -> None:
            while True:
                await asyncio.sleep(0.1)
                now = time.monotonic()
                if now - since > self._most and idle_since and now - idle_since > 0.2:
                    self.ended += 1
                    return

        tasks = [asyncio.create_task(one()) for one in (up, down, end)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _numbers(eight: bytes) -> tuple[int, int]:
    return int.from_bytes(eight[:4]), int.from_bytes(eight[4:])


def _tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lake.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "lake.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
